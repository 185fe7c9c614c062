//! Batching takes no memory from the system once it is warm: what a frame needs was taken by the frames before it.
//!
//! Measured around networks that need none themselves, because a runtime's own use of memory is not ours to promise. What is made
//! of the answers, a posterior and what the witnesses add to it, is new memory for every frame: the page may keep it.

use smgeo_engine::batched::{Batched, LocatorOutputs, Networks, Queries};
use smgeo_engine::{
    Backend, BackendInfo, EncoderImage, EngineError, Features, LocateRequest, Maps, Mosaic, Package, View,
};

/// Networks whose features are the first bytes of the image and whose heat is the sum of query and window.
struct Plain {
    length: usize,
}

impl Networks for Plain {
    type Window = f32;

    fn encode(&mut self, images: &[(&EncoderImage, View)], features: &mut Vec<f32>) -> Result<(), EngineError> {
        features.clear();
        for (image, _) in images {
            features.extend(image.bytes()[..self.length].iter().map(|byte| f32::from(*byte)));
        }
        Ok(())
    }

    fn prepare(&mut self, window: &Mosaic) -> Result<f32, EngineError> {
        Ok(window.values()[0])
    }

    fn locate(
        &mut self,
        queries: &Queries,
        window: &Mosaic,
        prepared: &f32,
        outputs: &mut LocatorOutputs,
    ) -> Result<(), EngineError> {
        let LocatorOutputs { heat, boxes, attention } = outputs;
        let area = window.width() * window.height();
        [&mut *heat, boxes, attention].into_iter().for_each(Vec::clear);
        for query in queries.features.chunks(self.length) {
            heat.extend(std::iter::repeat_n(query[0] + prepared, area));
            boxes.extend(std::iter::repeat_n(0.0, 4 * area));
            attention.extend(std::iter::repeat_n(0.0, area));
        }
        Ok(())
    }
}

struct Frame {
    backend: Batched<Plain>,
    queries: Vec<EncoderImage>,
    windows: Vec<Mosaic>,
    features: Vec<Features>,
    maps: Vec<Maps>,
}

impl Frame {
    fn new() -> Frame {
        let package = Package::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/matched")).unwrap();
        let info = BackendInfo::of("plain", "f32", 1, &package);
        let length = info.cells() * info.cells() * info.channels;
        let backend = Batched::of(info.clone(), Plain { length }, 16).unwrap();
        let query = |seed: usize| EncoderImage::query_from((9.0, 9.0), |x, y| [(x + seed) as u8, y as u8, 0]).unwrap();
        let tile = Features::new(vec![1.0; length].into(), info.cells(), info.channels).unwrap();
        let windows = [1, 3].map(|edge| Mosaic::of_tiles(edge, edge, &vec![tile.clone(); edge * edge]).unwrap());
        Frame {
            backend,
            queries: (0..4).map(query).collect(),
            windows: windows.into(),
            features: Vec::new(),
            maps: Vec::new(),
        }
    }

    /// Four targets, two a window.
    fn run(&mut self) {
        let Frame { backend, queries, windows, features, maps } = self;
        let images: [(&EncoderImage, View); 4] = std::array::from_fn(|at| (&queries[at], View::Query));
        backend.encode_into(&images, features).unwrap();
        let request =
            |at: usize| LocateRequest { query: &features[at], click: [9.0, 9.0], reference: &windows[at % 2] };
        let requests: [LocateRequest; 4] = std::array::from_fn(request);
        backend.locate_into(&requests, maps).unwrap();
    }
}

#[test]
fn a_warm_frame_allocates_nothing() {
    let mut frame = Frame::new();
    let cold = allocation_counter::measure(|| frame.run());
    assert!(cold.count_total > 0, "the first frame has to take its memory somewhere");
    let warm = allocation_counter::measure(|| (0..10).for_each(|_| frame.run()));
    assert_eq!((warm.count_total, warm.bytes_total), (0, 0));
    assert_eq!(frame.maps[3].heat, vec![3.0 + 1.0; 48 * 48]);
}
