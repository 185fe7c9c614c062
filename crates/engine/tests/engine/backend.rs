//! The rten backend: the shared suite, and the right answers on a network that can be known.

use std::num::NonZeroUsize;

use image::{Rgb, RgbImage};
use smgeo_engine::config::Precision;
use smgeo_engine::package::MANIFEST;
use smgeo_engine::pose_search::{self, PoseGrid};
use smgeo_engine::stills::{QueryCrop, TiledReference};
use smgeo_engine::{
    Backend, BackendName, DiskCache, EncoderImage, EngineConfig, FeatureCache, FeatureKey, Features, ImageryHash,
    LocateRequest, Located, Maps, Mosaic, Package, RtenBackend, RtenConfig, View, conformance, decode,
};

use crate::matched_filter;

pub fn package() -> Package {
    Package::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/matched")).unwrap()
}

pub fn backend() -> RtenBackend {
    backend_of(&package())
}

pub fn backend_of(package: &Package) -> RtenBackend {
    let config = RtenConfig { threads: NonZeroUsize::new(1), ..Default::default() };
    RtenBackend::new(package, &config).unwrap()
}

/// The packages in `models/`, which ship with the program.
pub fn shipped() -> Vec<Package> {
    let Ok(folders) = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models")) else {
        return Vec::new();
    };
    let folders = folders.map(|folder| folder.unwrap().path());
    folders.filter(|folder| folder.join(MANIFEST).exists()).map(|folder| Package::open(folder).unwrap()).collect()
}

/// Noise that is the same everywhere and always: every 4 px part of it is unlike every other.
pub fn noise(width: u32, height: u32) -> RgbImage {
    let mix = |x: u32, y: u32, colour: u32| {
        let mut state =
            (x / 4).wrapping_mul(0x9E37_79B1) ^ (y / 4).wrapping_mul(0x85EB_CA77) ^ colour.wrapping_mul(0xC2B2_AE3D);
        state ^= state >> 15;
        state = state.wrapping_mul(0x2C1B_3C6D);
        (state >> 24) as u8
    };
    RgbImage::from_fn(width, height, |x, y| Rgb([mix(x, y, 1), mix(x, y, 2), mix(x, y, 3)]))
}

fn encoded(backend: &mut RtenBackend, tiled: &TiledReference) -> Vec<Features> {
    let images: Vec<(&EncoderImage, View)> = tiled.tiles.iter().map(|tile| (tile, View::Tile)).collect();
    backend.encode(&images).unwrap()
}

/// Locates what is at `left`, `top` of the reference, from a query cut there and clicked at `click`.
fn located(backend: &mut RtenBackend, reference: &RgbImage, left: u32, top: u32, click: [f32; 2]) -> Located {
    let tiled = TiledReference::cut(reference).unwrap();
    let mosaic = tiled.mosaic(&encoded(backend, &tiled)).unwrap();
    let picture = image::imageops::crop_imm(reference, left, top, 256, 256).to_image();
    let crop = QueryCrop::cut(&picture, (click[0], click[1])).unwrap();
    let query = backend.encode(&[(&crop.image, View::Query)]).unwrap().remove(0);
    let request = LocateRequest { query: &query, click: crop.click, reference: &mosaic };
    let maps = backend.locate(&[request]).unwrap().remove(0);
    decode(&maps, matched_filter::STRIDE_PX, 1.0).unwrap()
}

#[test]
fn rten_passes_the_suite() {
    let report = conformance::check(&mut backend(), conformance::Tolerance::F32).unwrap();
    assert!(report.holds(), "{report}");
}

#[test]
fn rten_passes_the_suite_on_every_package_that_ships() {
    for package in shipped() {
        let report = conformance::check(&mut backend_of(&package), conformance::Tolerance::F32).unwrap();
        assert!(report.holds(), "{}\n{report}", package.manifest().name);
    }
}

// Whether a trained package may fly in int8 is decided by the gate, on pairs; here its numbers are near.
#[test]
fn rten_in_int8_passes_the_suite_and_agrees_with_f32() {
    for package in std::iter::once(package()).chain(shipped()) {
        let config = RtenConfig { threads: NonZeroUsize::new(1), precision: Precision::Int8, ..Default::default() };
        let mut int8 = RtenBackend::new(&package, &config).unwrap();
        assert_eq!(int8.info().precision, "int8");
        let report = conformance::check(&mut int8, conformance::Tolerance::INT8).unwrap();
        assert!(report.holds(), "{}\n{report}", package.manifest().name);
        let limit = conformance::Tolerance::INT8.backends;
        let report = conformance::compare(&mut int8, &mut backend_of(&package), limit).unwrap();
        assert!(report.holds(), "{}\n{report}", package.manifest().name);
    }
}

#[test]
fn features_on_rten_are_the_same_to_the_bit_whatever_is_encoded_beside_them() {
    let package = shipped().into_iter().next().unwrap_or_else(package);
    let two = RtenConfig { threads: NonZeroUsize::new(2), ..Default::default() };
    let mut alone = backend_of(&package);
    let mut together = RtenBackend::new(&package, &two).unwrap();
    let tiled = TiledReference::cut(&noise(1280, 256)).unwrap();
    let one_by_one = tiled.tiles.iter().map(|tile| alone.encode(&[(tile, View::Tile)]).unwrap().remove(0));
    assert_eq!(one_by_one.collect::<Vec<_>>(), encoded(&mut together, &tiled));
}

#[test]
fn rten_agrees_with_itself_on_more_threads_and_smaller_batches() {
    let batch_images_max = NonZeroUsize::new(2).unwrap();
    let config = RtenConfig { threads: NonZeroUsize::new(2), batch_images_max, ..Default::default() };
    let mut other = RtenBackend::new(&package(), &config).unwrap();
    let report = conformance::compare(&mut other, &mut backend(), conformance::Tolerance::F32.batch).unwrap();
    assert!(report.holds(), "{report}");
}

#[test]
fn what_was_cut_out_is_found_where_it_was() {
    let reference = noise(1024, 768);
    let mut backend = backend();
    for (left, top, click) in [(0, 0, [8.0, 8.0]), (512, 256, [100.0, 200.0]), (336, 128, [255.9, 0.0])] {
        let found = located(&mut backend, &reference, left, top, click);
        let cell = [(left + click[0] as u32) as usize / 16, (top + click[1] as u32) as usize / 16];
        assert_eq!(found.cell, cell);
        assert!(found.score > 0.99 && found.mass > 0.95, "{} {}", found.score, found.mass);
        let centre = [cell[0] as f64 * 16.0 + 8.0, cell[1] as f64 * 16.0 + 8.0];
        assert!((found.mean_px[0] - centre[0]).abs() < 1.0 && (found.mean_px[1] - centre[1]).abs() < 1.0);
    }
}

#[test]
fn a_photo_is_found_where_it_was_taken_whichever_way_it_is_turned() {
    let reference = noise(768, 512);
    let mut backend = backend();
    let tiled = TiledReference::cut(&reference).unwrap();
    let mosaic = tiled.mosaic(&encoded(&mut backend, &tiled)).unwrap();
    let picture = image::imageops::crop_imm(&reference, 320, 128, 256, 256).to_image();
    // From above and to scale: what is left open is the heading. Clicks keep to the cells of this package, which knows no others.
    let quarters = PoseGrid {
        headings_deg: vec![0.0, 90.0, 180.0, 270.0],
        tilts_deg: vec![0.0],
        scales: vec![1.0],
        field_of_view_deg: 60.0,
    };
    for (photo, click, heading_deg) in [
        (picture.clone(), [144.0, 80.0], 0.0),
        // A camera whose top looks east sees north on its left.
        (image::imageops::rotate270(&picture), [80.0, 112.0], 90.0),
        (image::imageops::rotate180(&picture), [112.0, 176.0], 180.0),
    ] {
        let sought = pose_search::locate(&mut backend, &photo, click, &mosaic, &quarters).unwrap();
        assert_eq!((sought.pose.heading_deg, sought.tried), (heading_deg, 20));
        let found = decode(&sought.maps, matched_filter::STRIDE_PX, 1.0).unwrap();
        assert_eq!(found.cell, [(320 + 144) / 16, (128 + 80) / 16], "heading {heading_deg}");
        assert!(found.mass > 0.9, "{}", found.mass);
    }
}

#[test]
fn what_is_not_in_the_window_is_absent() {
    let reference = noise(512, 512);
    let elsewhere = image::imageops::rotate90(&noise(512, 512));
    let mut backend = backend();
    let tiled = TiledReference::cut(&elsewhere).unwrap();
    let mosaic = tiled.mosaic(&encoded(&mut backend, &tiled)).unwrap();
    let picture = image::imageops::crop_imm(&reference, 0, 0, 256, 256).to_image();
    let crop = QueryCrop::cut(&picture, (100.0, 100.0)).unwrap();
    let query = backend.encode(&[(&crop.image, View::Query)]).unwrap().remove(0);
    let request = LocateRequest { query: &query, click: crop.click, reference: &mosaic };
    let maps = backend.locate(&[request]).unwrap().remove(0);
    let found = decode(&maps, matched_filter::STRIDE_PX, 1.0).unwrap();
    assert!(found.posterior.absent() > 0.5, "{}", found.posterior.absent());
}

#[test]
fn nothing_is_found_in_padding_or_missing_tiles() {
    let reference = noise(700, 300);
    let mut backend = backend();
    let tiled = TiledReference::cut(&reference).unwrap();
    let features = encoded(&mut backend, &tiled);
    let grid: Vec<Option<&Features>> = features.iter().enumerate().map(|(at, one)| (at != 0).then_some(one)).collect();
    let mosaic = Mosaic::assemble(tiled.rows, tiled.columns, &grid).unwrap().clipped(tiled.width_px, tiled.height_px);
    let query = backend.encode(&[(&tiled.tiles[0], View::Query)]).unwrap().remove(0);
    let request = LocateRequest { query: &query, click: [20.0, 20.0], reference: &mosaic };
    let maps = backend.locate(&[request]).unwrap().remove(0);
    let found = decode(&maps, matched_filter::STRIDE_PX, 1.0).unwrap();
    let impossible = (0..mosaic.width() * mosaic.height()).filter(|at| mosaic.is_masked(*at));
    assert!(impossible.clone().count() > 300);
    assert!(impossible.into_iter().all(|at| found.posterior.probabilities()[at] == 0.0));
}

#[test]
fn answers_from_cached_tiles_are_those_from_fresh_ones_to_the_bit() {
    for package in shipped().into_iter().chain(std::iter::once(package())) {
        for precision in [Precision::F32, Precision::Int8] {
            let config = RtenConfig { threads: NonZeroUsize::new(1), precision, ..Default::default() };
            let mut backend = RtenBackend::new(&package, &config).unwrap();
            let reference = noise(512, 512);
            let tiled = TiledReference::cut(&reference).unwrap();
            let fresh = encoded(&mut backend, &tiled);
            let picture = image::imageops::crop_imm(&reference, 130, 170, 256, 256).to_image();
            let crop = QueryCrop::cut(&picture, (140.0, 100.0)).unwrap();
            let query = backend.encode(&[(&crop.image, View::Query)]).unwrap().remove(0);
            let [from_memory, from_disk] = cached(&mut backend, &tiled);
            let mut answer = |tiles: &[Features]| {
                let mosaic = tiled.mosaic(tiles).unwrap();
                let request = LocateRequest { query: &query, click: crop.click, reference: &mosaic };
                bits(&backend.locate(&[request]).unwrap().remove(0))
            };
            let expected = answer(&fresh);
            let name = format!("{} {}", package.manifest().name, precision.name());
            assert!(answer(&from_memory) == expected, "{name}: memory");
            assert!(answer(&from_disk) == expected, "{name}: disk");
        }
    }
}

/// The tiles as a cache has them in memory, and as it has them from its file after a restart.
fn cached(backend: &mut RtenBackend, tiled: &TiledReference) -> [Vec<Features>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("features.sqlite");
    let open = || FeatureCache::new(1 << 24).with_disk(DiskCache::open(&file, 1 << 24).unwrap());
    let encoder = backend.info().encoder();
    let key = |tile: usize| FeatureKey { tile: tile as u64, imagery: ImageryHash::of(b"noise"), encoder };
    let before = open();
    encoded(backend, tiled).into_iter().enumerate().for_each(|(tile, features)| before.put(key(tile), features));
    let held = |cache: &FeatureCache| (0..tiled.tiles.len()).map(|tile| cache.get(&key(tile)).unwrap()).collect();
    let from_memory = held(&before);
    drop(before);
    let after = open();
    let from_disk = held(&after);
    assert_eq!(after.counts().disk_hits, tiled.tiles.len() as u64);
    [from_memory, from_disk]
}

/// All numbers of an answer.
fn bits(maps: &Maps) -> Vec<u32> {
    [&maps.heat, &maps.boxes, &maps.attention].into_iter().flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn the_automatic_choice_always_finds_a_backend() {
    let config = EngineConfig { threads: NonZeroUsize::new(1), ..EngineConfig::of(package().folder()) };
    let mut chosen = config.build(&package()).unwrap();
    let report = conformance::check(chosen.as_mut(), conformance::Tolerance::F32).unwrap();
    assert!(report.holds(), "{report}");
    let bf16 = EngineConfig { backend: BackendName::Rten, precision: Precision::Bf16, ..config.clone() };
    let error = bf16.build(&package()).err().unwrap();
    assert!(error.to_string().contains("needs backend = \"openvino\""), "{error}");
    let int8 = EngineConfig { backend: BackendName::OpenVino, precision: Precision::Int8, ..config };
    let error = int8.build(&package()).err().unwrap();
    assert!(error.to_string().contains("needs backend = \"rten\""), "{error}");
}
