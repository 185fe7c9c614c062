//! Before take-off: the map of the town, its elevation, and the film of the flight.

use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use smgeo_runtime::film::{Film, FilmWriter};
use smgeo_world::Day;
use smgeo_world::elevation::write_elevation;
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::tiles::{TilePlan, write_mbtiles};

use super::flight_plan::FlightPlan;

/// Zoom of the map: half a metre a pixel at the towns' latitudes.
const MAP_ZOOM: u8 = 18;

/// The map's lowest zoom, for the page.
const MAP_ZOOM_MIN: u8 = 15;

/// Zoom of the elevation model: a few metres a pixel.
const ELEVATION_ZOOM: u8 = 15;

/// Pictures rendered at a time, so that both cores work and memory stays small.
const FRAMES_AT_A_TIME: u64 = 8;

/// The map's file in a flight's folder.
pub const MAP: &str = "satellite.mbtiles";
/// The elevation model's file in a flight's folder.
pub const ELEVATION: &str = "terrain.mbtiles";

/// Makes the town's map and elevation model, if they are not there, and returns the flight's folder.
pub fn world(root: &Path, plan: &FlightPlan) -> anyhow::Result<PathBuf> {
    let folder = root.join(format!("seed-{}", plan.seed));
    forget_another_version(&folder, plan)?;
    made(&folder.join(MAP), |path| {
        let bar = bar("map tiles");
        let day = Day::new(&plan.town, plan.map_date());
        let tiles = TilePlan { zoom_min: MAP_ZOOM_MIN, ..TilePlan::town(MAP_ZOOM) };
        let look = SatelliteLook::from_seed(plan.seed);
        write_mbtiles(path, &plan.town, &day, &look, &tiles, |done, of| progress(&bar, done, of))?;
        bar.finish();
        Ok(())
    })?;
    made(&folder.join(ELEVATION), |path| {
        let bar = bar("elevation tiles");
        let tiles = TilePlan { half_m: 1_600.0, ..TilePlan::town(ELEVATION_ZOOM) };
        write_elevation(path, &plan.town, &tiles, |done, of| progress(&bar, done, of))?;
        bar.finish();
        Ok(())
    })?;
    Ok(folder)
}

/// Empties a folder that an older version filled: its map and its films show another town than the one that is flown over.
fn forget_another_version(folder: &Path, plan: &FlightPlan) -> anyhow::Result<()> {
    let mark = folder.join("fingerprint");
    let fingerprint = format!("{:016x}\n", plan.fingerprint());
    if folder.exists() && std::fs::read_to_string(&mark).is_ok_and(|text| text == fingerprint) {
        return Ok(());
    }
    if folder.exists() {
        println!("{} was made by another version; it is made anew", folder.display());
        std::fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    std::fs::write(&mark, fingerprint).with_context(|| format!("writing {}", mark.display()))
}

/// Opens the flight's film; renders and encodes it first, if it is not there.
pub fn film(folder: &Path, plan: &FlightPlan) -> anyhow::Result<Film> {
    let folder = folder.join(format!("film-{}s", plan.period_s));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if let Some(film) = Film::open(&folder, &plan.film())? {
        return Ok(film);
    }
    let bar = bar("frames filmed");
    bar.set_length(plan.frames());
    let mut writer = FilmWriter::create(&folder, plan.film())?;
    let camera = plan.camera();
    for first in (0..plan.frames()).step_by(FRAMES_AT_A_TIME as usize) {
        let indices = first..(first + FRAMES_AT_A_TIME).min(plan.frames());
        let pictures: Vec<Vec<u8>> = indices
            .into_par_iter()
            .map_init(Renderer::default, |renderer, index| {
                let look = DroneLook { seed: index, ..DroneLook::from_seed(plan.seed) };
                let pose = plan.pose(plan.frame_s(index));
                renderer.drone(&plan.town, &plan.day, &camera, &pose, &look).into_raw()
            })
            .collect();
        for picture in pictures {
            writer.push(picture)?;
            bar.inc(1);
        }
    }
    writer.finish()?;
    bar.finish();
    Film::open(&folder, &plan.film())?.context("the film that was just made cannot be opened")
}

/// Makes a file under another name first, so that one that was begun and not finished is never taken for whole.
fn made(path: &Path, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let begun = path.with_extension("begun");
    if begun.exists() {
        std::fs::remove_file(&begun).with_context(|| format!("removing {}", begun.display()))?;
    }
    make(&begun).with_context(|| format!("making {}", path.display()))?;
    std::fs::rename(&begun, path).with_context(|| format!("naming {}", path.display()))
}

fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>16} {wide_bar} {pos}/{len}  {eta} left");
    let bar = ProgressBar::new(0).with_prefix(what);
    // The template is a constant; a bar in the default style is no loss.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn progress(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}
