//! The locator is run in two halves, the first once per window; the answer must be the whole locator's. Where a backend fuses
//! operators over the cut the last bit moves, so the answers are held together and not the bits.

use rten::{ModelOptions, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::NdTensorView;
use smgeo_engine::package::LOCATOR;
use smgeo_engine::{Backend, EncoderImage, Features, LocateRequest, Mosaic, Package, View};

use crate::backend::{backend_of, noise, package, shipped};

/// Heat of the whole file, run as it is.
fn whole(package: &Package, query: &Features, click: [f32; 2], window: &Mosaic) -> Vec<f32> {
    let model = ModelOptions::with_all_ops().load(package.read(LOCATOR).unwrap()).unwrap();
    let (cells, channels) = (query.cells(), query.channels());
    let inputs: [(&str, ValueOrView); 4] = [
        ("query", NdTensorView::from_data([1, cells, cells, channels], query.values()).into()),
        ("click", NdTensorView::from_data([1, 2], &click).into()),
        ("reference", NdTensorView::from_data([1, window.height(), window.width(), channels], window.values()).into()),
        ("window", NdTensorView::from_data([1], &[0i32]).into()),
    ];
    let inputs = inputs.into_iter().map(|(name, value)| (model.node_id(name).unwrap(), value)).collect();
    let one_thread = RunOptions::default().with_thread_pool(Some(ThreadPool::with_num_threads(1).into()));
    let [heat] = model.run_n(inputs, [model.node_id("heat").unwrap()], Some(one_thread)).unwrap();
    heat.into_tensor::<f32>().unwrap().into_data()
}

#[test]
fn a_locator_in_halves_answers_as_the_whole_does() {
    let picture = noise(256, 256);
    for package in std::iter::once(package()).chain(shipped()) {
        let mut backend = backend_of(&package);
        let query = EncoderImage::query(picture.as_raw(), (100.0, 120.0)).unwrap();
        let tiles: Vec<EncoderImage> =
            (1..5).map(|seed| EncoderImage::tile_from(|x, y| [(x * seed) as u8, (y * seed) as u8, 9])).collect();
        let images: Vec<(&EncoderImage, View)> = tiles.iter().map(|tile| (tile, View::Tile)).collect();
        let tiles = backend.encode(&images).unwrap();
        let query = backend.encode(&[(&query, View::Query)]).unwrap().remove(0);
        for window in [Mosaic::of_tiles(2, 2, &tiles).unwrap(), Mosaic::of_tiles(1, 3, &tiles[1..]).unwrap()] {
            for click in [[100.0, 120.0], [3.0, 250.0]] {
                let request = LocateRequest { query: &query, click, reference: &window };
                let answer = backend.locate(&[request]).unwrap().remove(0);
                let expected = whole(&package, &query, click, &window);
                let largest = expected.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
                let differences = answer.heat.iter().zip(&expected).map(|(one, other)| (one - other).abs());
                let worst = differences.fold(0.0f32, f32::max) / largest;
                assert!(worst < 1e-6, "{}: {worst}", package.manifest().name);
            }
        }
    }
}
