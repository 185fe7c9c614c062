//! What any backend's networks may not give, and what is kept of what they gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smgeo_engine::batched::{Batched, LocatorOutputs, Networks, Queries};
use smgeo_engine::{Backend, BackendInfo, EncoderImage, EngineError, Features, LocateRequest, Mosaic, View};

use crate::backend::package;

/// Networks that give the same number everywhere, each its own.
struct Same {
    length: usize,
    feature: f32,
    heat: f32,
    prepared: Arc<AtomicUsize>,
}

impl Networks for Same {
    type Window = ();

    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        features.clear();
        features.resize(images.len() * self.length, self.feature);
        Ok(())
    }

    fn prepare(&mut self, _window: &Mosaic) -> Result<(), EngineError> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        _prepared: &(),
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError> {
        let cells = queries.windows.len() * window.width() * window.height();
        *outputs =
            LocatorOutputs { heat: vec![self.heat; cells], boxes: vec![0.0; 4 * cells], attention: vec![0.0; cells] };
        Ok(())
    }
}

fn same(feature: f32, heat: f32) -> (Result<Batched<Same>, EngineError>, Arc<AtomicUsize>) {
    let info = BackendInfo::of("same", "f32", 1, &package());
    let length = info.cells() * info.cells() * info.channels;
    let prepared = Arc::new(AtomicUsize::new(0));
    (Batched::of(info, Same { length, feature, heat, prepared: prepared.clone() }, 4), prepared)
}

#[test]
fn networks_that_give_no_numbers_are_refused_at_the_start() {
    assert!(same(1.0, 1.0).0.is_ok());
    for (feature, heat, what) in
        [(f32::NAN, 1.0, "features that are not finite"), (1.0, f32::NAN, "maps that are not finite")]
    {
        let error = same(feature, heat).0.err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn windows_that_are_asked_about_in_turn_are_prepared_once_and_forgotten_after_a_second() {
    let (backend, prepared) = same(1.0, 1.0);
    let mut backend = backend.unwrap();
    let info = backend.info().clone();
    let length = info.cells() * info.cells() * info.channels;
    let tile = Features::new(vec![1.0; length].into(), info.cells(), info.channels).unwrap();
    let windows: Vec<Mosaic> = (0..3).map(|_| Mosaic::of_tiles(1, 1, std::slice::from_ref(&tile)).unwrap()).collect();
    let mut ask = |window: usize| {
        let before = prepared.load(Ordering::Relaxed);
        let request = LocateRequest { query: &tile, click: [9.0, 9.0], reference: &windows[window] };
        backend.locate(&[request]).unwrap();
        prepared.load(Ordering::Relaxed) - before
    };
    assert_eq!([0, 1, 0, 1, 1, 0].map(&mut ask), [1, 1, 0, 0, 0, 0]);
    assert_eq!((0..24).map(|_| ask(2)).sum::<usize>(), 1);
    assert_eq!(ask(1), 0);
    assert_eq!((0..26).map(|_| ask(2)).sum::<usize>(), 0);
    assert_eq!([0, 1].map(&mut ask), [1, 1]);
}
