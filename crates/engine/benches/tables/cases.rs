//! A frame's cost on each backend, and encoders side by side.

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;

use smgeo_engine::Mosaic;

use crate::arguments::{Arguments, from_workspace};
use crate::report::{Report, Times, Work, digits, in_turn};
use crate::scene::{Pictures, Scene, WAYS, tile_batch};

const TARGETS: usize = 8;

/// Cold pair, warm prompt, eight targets, a window four times larger, and a prompt as it is flown, on every backend in turn.
pub fn measure(folder: &Path, arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let pictures = Pictures::draw();
    let mut frames = Vec::new();
    for way in WAYS {
        frames.extend(Scene::start(folder, way, arguments, &pictures)?.map(Frame::over));
    }
    let Some(first) = frames.first() else { return Ok(()) };
    report.heading(&format!("A frame with {}", first.scene.borrow().package.manifest().name));
    let mut works: Vec<Work> = frames.iter().flat_map(|frame| frame.works(&pictures)).collect();
    let times = in_turn(&mut works, arguments.rounds)?;
    let row = |(frame, times): (&Frame, &[Times])| {
        let ratio = |one: usize, other: usize| digits(times[one].median() / times[other].median());
        let mut row = vec![frame.scene.borrow().name()];
        row.extend(times.iter().map(Times::shown));
        row.extend([ratio(0, 1), ratio(2, 1), ratio(4, 1), ratio(0, 5)]);
        row
    };
    let rows: Vec<_> = frames.iter().zip(times.chunks_exact(CASES)).map(row).collect();
    let columns = [
        "engine",
        "cold pair (query + 16 tiles)",
        "warm prompt, 4 x 4 tiles",
        "8 targets, one window",
        "8 targets, a window each",
        "warm prompt, 8 x 8 tiles",
        "warm prompt with four witnesses",
        "cold / warm (12 or more)",
        "8 / 1 (7 or less)",
        "8 x 8 / 4 x 4 (1.25 or less)",
        "cold / with witnesses",
    ];
    report.table(&columns, &rows)
}

/// Cases of a frame.
const CASES: usize = 6;

/// A backend with the windows of its own features.
struct Frame {
    scene: RefCell<Scene>,
    windows: Vec<Mosaic>,
    large: Mosaic,
}

impl Frame {
    fn over(scene: Scene) -> Self {
        let windows = (0..TARGETS).map(|_| scene.window(4)).collect();
        Self { large: scene.window(8), windows, scene: RefCell::new(scene) }
    }

    fn works<'a>(&'a self, pictures: &'a Pictures) -> [Work<'a>; CASES] {
        let Self { scene, windows, large } = self;
        let prompt = |windows: &[&Mosaic]| Ok(scene.borrow_mut().prompt(pictures, windows)?);
        let apart: Vec<&Mosaic> = windows.iter().collect();
        [
            Box::new(|| Ok(scene.borrow_mut().cold_pair(pictures)?)),
            Box::new(move || prompt(&[&windows[0]])),
            Box::new(move || prompt(&[&windows[0]; TARGETS])),
            Box::new(move || prompt(&apart)),
            Box::new(move || prompt(&[large])),
            Box::new(|| Ok(scene.borrow_mut().prompt_with_witnesses(pictures, &[&windows[0]])?)),
        ]
    }
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
