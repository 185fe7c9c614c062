//! How a prompt's time grows with targets, window and cached area.

use std::error::Error;
use std::path::Path;

use smgeo_engine::{BackendName, FeatureCache, FeatureKey, Features, ImageryHash, Mosaic, Precision};

use crate::arguments::Arguments;
use crate::report::{Report, Times, Work, in_turn};
use crate::scene::{Pictures, Scene};

/// Tiles of 256 px at 0.6 m a pixel on a square kilometre.
const TILES_A_KM2: f64 = 1e6 / (256.0 * 0.6 * 256.0 * 0.6);
const AREAS_KM2: [f64; 3] = [1.0, 10.0, 100.0];
const TARGETS: [usize; 5] = [1, 2, 4, 8, 16];
const EDGES: [usize; 4] = [1, 2, 4, 6];

/// Writes the three tables, on the fastest way in f32 that is there.
pub fn measure(folder: &Path, arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let pictures = Pictures::draw();
    let mut scene = None;
    for way in [(BackendName::OpenVino, Precision::F32), (BackendName::Rten, Precision::F32)] {
        if scene.is_none() {
            scene = Scene::start(folder, way, arguments, &pictures)?;
        }
    }
    let Some(mut scene) = scene else { return Ok(()) };
    let (name, engine) = (scene.package.manifest().name.clone(), scene.name());
    report.heading(&format!("Growth, {name} on {engine}"));
    let windows: Vec<Mosaic> = EDGES.iter().map(|edge| scene.window(*edge)).collect();
    let targets: Vec<Vec<&Mosaic>> = TARGETS.iter().map(|count| vec![&windows[2]; *count]).collect();
    let sizes: Vec<Vec<&Mosaic>> = windows.iter().map(|window| vec![window]).collect();
    let times = prompts(&mut scene, &pictures, &targets, arguments.rounds)?;
    row(report, "targets", TARGETS.map(|count| count.to_string()).as_slice(), &times)?;
    report.line("");
    let times = prompts(&mut scene, &pictures, &sizes, arguments.rounds)?;
    row(report, "window, tiles", EDGES.map(|edge| (edge * edge).to_string()).as_slice(), &times)?;
    report.line("");
    let caches: Vec<FeatureCache> = AREAS_KM2.iter().map(|area| filled(&scene, *area)).collect();
    let scene = std::cell::RefCell::new(&mut scene);
    let (scene, pictures) = (&scene, &pictures);
    let work = |cache| -> Work<'_> { Box::new(move || cached_prompt(&mut scene.borrow_mut(), pictures, cache)) };
    // A difference of two in a hundred needs more rounds than the others.
    let times = in_turn(&mut caches.iter().map(work).collect::<Vec<_>>(), 5 * arguments.rounds)?;
    row(report, "cached area, km2", AREAS_KM2.map(|area| area.to_string()).as_slice(), &times)
}

fn prompts(
    scene: &mut Scene,
    pictures: &Pictures,
    cases: &[Vec<&Mosaic>],
    rounds: usize,
) -> Result<Vec<Times>, Box<dyn Error>> {
    let scene = std::cell::RefCell::new(scene);
    let scene = &scene;
    let work = |windows| -> Work<'_> {
        let windows: &Vec<&Mosaic> = windows;
        Box::new(move || Ok(scene.borrow_mut().prompt(pictures, windows)?))
    };
    in_turn(&mut cases.iter().map(work).collect::<Vec<_>>(), rounds)
}

fn row(report: &mut Report, what: &str, sizes: &[String], times: &[Times]) -> Result<(), Box<dyn Error>> {
    let columns: Vec<&str> = std::iter::once(what).chain(sizes.iter().map(String::as_str)).collect();
    let first = times[0].median();
    let mut shown = vec!["ms".to_owned()];
    shown.extend(times.iter().map(Times::shown));
    let mut ratios = vec!["to the first".to_owned()];
    ratios.extend(times.iter().map(|times| format!("{:.3}", times.median() / first)));
    report.table(&columns, &[shown, ratios])
}

fn key(scene: &Scene, tile: u64) -> FeatureKey {
    FeatureKey { tile, imagery: ImageryHash([1; 32]), encoder: scene.backend.info().encoder() }
}

/// A cache with an area's tiles, each with numbers of its own.
fn filled(scene: &Scene, area_km2: f64) -> FeatureCache {
    let cache = FeatureCache::new(4 << 30);
    for tile in 0..(area_km2 * TILES_A_KM2).ceil() as u64 {
        let like = &scene.tiles[tile as usize % scene.tiles.len()];
        let own = Features::new(like.values().to_vec().into(), like.cells(), like.channels());
        cache.put(key(scene, tile), own.expect("the same shape"));
    }
    cache
}

/// A prompt that looks its sixteen tiles up and lays its window of them.
fn cached_prompt(scene: &mut Scene, pictures: &Pictures, cache: &FeatureCache) -> Result<(), Box<dyn Error>> {
    let tiles: Vec<Features> = (0..16).filter_map(|tile| cache.get(&key(scene, tile))).collect();
    let window = Mosaic::of_tiles(4, 4, &tiles)?;
    Ok(scene.prompt(pictures, &[&window])?)
}
