//! What any backend's networks may not give.

use smgeo_engine::batched::{Batched, LocatorOutputs, Networks, Queries};
use smgeo_engine::{BackendInfo, EncoderImage, EngineError, Mosaic, View};

use crate::backend::package;

/// Networks that give the same number everywhere, each its own.
struct Same {
    length: usize,
    feature: f32,
    heat: f32,
}

impl Networks for Same {
    type Window = ();

    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        features.clear();
        features.resize(images.len() * self.length, self.feature);
        Ok(())
    }

    fn prepare(&mut self, _window: &Mosaic) -> Result<(), EngineError> {
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

#[test]
fn networks_that_give_no_numbers_are_refused_at_the_start() {
    let info = BackendInfo::of("same", "f32", 1, &package());
    let length = info.cells() * info.cells() * info.channels;
    let started = |feature, heat| Batched::of(info.clone(), Same { length, feature, heat }, 4).map(drop);
    assert!(started(1.0, 1.0).is_ok());
    for (feature, heat, what) in
        [(f32::NAN, 1.0, "features that are not finite"), (1.0, f32::NAN, "maps that are not finite")]
    {
        let error = started(feature, heat).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
