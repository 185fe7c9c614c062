//! Before take-off: the map of the town, its elevation, and the film of the flight.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use smgeo_runtime::film::{Film, FilmWriter};
use smgeo_world::Day;
use smgeo_world::elevation::write_elevation;
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::tiles::{TilePlan, write_mbtiles};

use super::flight_plan::FlightPlan;
use crate::output::say;

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

/// Which town or flight the files beside it show.
const FINGERPRINT: &str = "fingerprint";
/// Suffix of a file that is being made.
const BEGUN: &str = "begun";
/// What `FilmWriter` makes in a film's folder; the index says that the film is whole, so it goes first.
const FILM: [&str; 2] = ["film.json", "film.h264"];

/// Makes the town's map and elevation model, if they are not there, and returns the flight's folder.
pub fn world(root: &Path, plan: &FlightPlan) -> anyhow::Result<PathBuf> {
    let folder = root.join(format!("seed-{}", plan.seed));
    claim(&folder, &plan.town_fingerprint())?;
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

/// Takes a folder for the map of a town. One that holds anything, but no fingerprint of a town, is somebody else's and refused.
fn claim(folder: &Path, fingerprint: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut held = std::fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))?;
    if !folder.join(FINGERPRINT).exists() && held.next().is_some() {
        bail!(
            "{} holds files and no {FINGERPRINT} of a made town, so they are not the simulator's: name another --folder, or empty it",
            folder.display()
        );
    }
    let begun = |name: &str| Path::new(name).with_extension(BEGUN).to_string_lossy().into_owned();
    renew(folder, fingerprint, &[MAP, ELEVATION, &begun(MAP), &begun(ELEVATION)])
}

/// Removes `files`, which this program made in `folder`, if they show another town or flight than is flown now, and marks the
/// folder with what they will show.
fn renew(folder: &Path, fingerprint: &str, files: &[&str]) -> anyhow::Result<()> {
    let mark = folder.join(FINGERPRINT);
    if std::fs::read_to_string(&mark).is_ok_and(|text| text.trim() == fingerprint) {
        return Ok(());
    }
    let old: Vec<PathBuf> = files.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect();
    if !old.is_empty() {
        say!("{} was made by another version; it is made anew", folder.display())?;
    }
    for path in old {
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    std::fs::write(&mark, format!("{fingerprint}\n")).with_context(|| format!("writing {}", mark.display()))
}

/// Opens the flight's film; renders and encodes it first, if it is not there.
pub fn film(folder: &Path, plan: &FlightPlan) -> anyhow::Result<Film> {
    let folder = folder.join(format!("film-{}s", plan.period_s));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    renew(&folder, &plan.flight_fingerprint(), &FILM)?;
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
    let begun = path.with_extension(BEGUN);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path, names: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        names.iter().for_each(|name| std::fs::write(folder.join(name), name).unwrap());
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_of_somebody_elses_is_refused_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("seed-7");
        filled(&folder, &["photo.jpg", MAP]);
        let error = claim(&folder, "town").unwrap_err().to_string();
        assert!(error.contains("seed-7") && error.contains("--folder"), "{error}");
        assert_eq!(names(&folder), ["photo.jpg", MAP]);
    }

    #[test]
    fn another_town_replaces_the_map_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("seed-7");
        claim(&folder, "town").unwrap();
        filled(&folder, &["notes.txt", MAP, ELEVATION, "satellite.begun"]);
        claim(&folder, "town").unwrap();
        assert_eq!(names(&folder).len(), 5, "the same town again");
        claim(&folder, "other town").unwrap();
        assert_eq!(names(&folder), [FINGERPRINT, "notes.txt"]);
        assert_eq!(std::fs::read_to_string(folder.join(FINGERPRINT)).unwrap(), "other town\n");
    }

    #[test]
    fn another_flight_replaces_its_own_film() {
        let root = tempfile::tempdir().unwrap();
        let film = root.path().join("film-60s");
        // As an earlier version left it: without a mark.
        filled(&film, &FILM);
        renew(&film, "flight", &FILM).unwrap();
        assert_eq!(names(&film), [FINGERPRINT]);
        filled(&film, &FILM);
        renew(&film, "flight", &FILM).unwrap();
        assert_eq!(names(&film).len(), 3);
    }
}
