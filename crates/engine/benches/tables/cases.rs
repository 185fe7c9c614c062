//! A frame's cost on each backend, and encoders side by side.

use std::error::Error;
use std::path::Path;

use smgeo_engine::Mosaic;

use crate::arguments::{Arguments, from_workspace};
use crate::report::{Report, Times, Work, digits, in_turn};
use crate::scene::{Pictures, Scene, WAYS, tile_batch};

const TARGETS: usize = 8;

/// Cold pair, warm prompt, eight targets, and a window four times larger.
pub fn measure(folder: &Path, arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let pictures = Pictures::draw();
    let mut rows = Vec::new();
    let mut name = String::new();
    for way in WAYS {
        let Some(mut scene) = Scene::start(folder, way, arguments, &pictures)? else { continue };
        name = scene.package.manifest().name.clone();
        let times = frame(&mut scene, &pictures, arguments.rounds)?;
        let ratio = |one: usize, other: usize| digits(times[one].median() / times[other].median());
        let mut row = vec![scene.name()];
        row.extend(times.iter().map(Times::shown));
        row.extend([ratio(0, 1), ratio(2, 1), ratio(4, 1)]);
        rows.push(row);
    }
    report.heading(&format!("A frame with {name}"));
    let columns = [
        "engine",
        "cold pair (query + 16 tiles)",
        "warm prompt, 4 x 4 tiles",
        "8 targets, one window",
        "8 targets, a window each",
        "warm prompt, 8 x 8 tiles",
        "cold / warm (12 or more)",
        "8 / 1 (7 or less)",
        "8 x 8 / 4 x 4 (1.25 or less)",
    ];
    report.table(&columns, &rows)
}

fn frame(scene: &mut Scene, pictures: &Pictures, rounds: usize) -> Result<Vec<Times>, Box<dyn Error>> {
    let windows: Vec<Mosaic> = (0..TARGETS).map(|_| scene.window(4)).collect();
    let (large, shared) = (scene.window(8), vec![&windows[0]; TARGETS]);
    let apart: Vec<&Mosaic> = windows.iter().collect();
    let scene = std::cell::RefCell::new(scene);
    let prompt = |windows: &[&Mosaic]| Ok(scene.borrow_mut().prompt(pictures, windows)?);
    let mut works: [Work; 5] = [
        Box::new(|| Ok(scene.borrow_mut().cold_pair(pictures)?)),
        Box::new(|| prompt(&[&windows[0]])),
        Box::new(|| prompt(&shared)),
        Box::new(|| prompt(&apart)),
        Box::new(|| prompt(&[&large])),
    ];
    in_turn(&mut works, rounds)
}

/// Encoders of several packages on the same tile, in turn; `group` is `name=folder,name=folder`, ratios are to the first.
pub fn compare_encoders(group: &str, arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let pictures = Pictures::draw();
    let members: Vec<(&str, &str)> = group.split(',').filter_map(|member| member.split_once('=')).collect();
    let mut rows = Vec::new();
    for way in WAYS {
        let mut scenes = Vec::new();
        for (_, folder) in &members {
            scenes.extend(Scene::start(&from_workspace(folder), way, arguments, &pictures)?);
        }
        let Some(first) = scenes.first() else { continue };
        let mut row = vec![first.name()];
        let batch = tile_batch(&pictures.tiles[..4]);
        let mut works: Vec<Work> = Vec::new();
        for scene in &mut scenes {
            works.push(Box::new(|| Ok(scene.backend.encode(&batch).map(drop)?)));
        }
        let times = in_turn(&mut works, arguments.rounds)?;
        let first = times[0].median();
        row.extend(times.iter().map(|times| format!("{}, x {:.2}", times.shown(), times.median() / first)));
        rows.push(row);
    }
    let names: Vec<&str> = std::iter::once("four tiles on").chain(members.iter().map(|(name, _)| *name)).collect();
    report.heading(&format!("Encoders: {}", names[1..].join(", ")));
    report.table(&names, &rows)
}
