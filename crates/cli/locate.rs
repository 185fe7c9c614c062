//! `smgeo locate`: the engine on two still pictures. Click an object in one, get its box and position in the other.

mod georeference;
mod overlay;
mod photograph;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use image::RgbImage;
use serde::Serialize;
use smgeo_engine::pose_search::{self, Pose, PoseGrid, Sought};
use smgeo_engine::stills::{QueryCrop, TiledReference};
use smgeo_engine::witness::{self, Witnesses};
use smgeo_engine::{
    Backend, BackendName, EncoderImage, EngineConfig, LocateRequest, Located, Maps, Mosaic, Package, TILE_PX, View,
    decode,
};

use crate::output::{self, say};
use crate::trust::Trust;
use georeference::{Bounds, Georeference, Place};
use photograph::{Gimbal, Photograph};

/// Finds an object clicked in one still picture on another one, usually a satellite picture.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the engine package.
    #[arg(long, value_name = "FOLDER")]
    package: PathBuf,
    /// Picture with the object, as the drone sees it (JPEG, PNG, WebP or TIFF).
    #[arg(long, value_name = "FILE")]
    query: PathBuf,
    /// The object in that picture, pixels from its upper left corner.
    #[arg(long, value_name = "X,Y", value_parser = numbers::<2>, allow_hyphen_values = true)]
    click: Numbers<2>,
    /// Picture to search, of any size, north up when it has bounds.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// Ground resolution of the reference, metres a pixel.
    #[arg(long, value_name = "G", conflicts_with = "bounds")]
    gsd_m: Option<f64>,
    /// Edges of the reference, degrees: west, south, east, north.
    #[arg(long, value_name = "W,S,E,N", value_parser = numbers::<4>, allow_hyphen_values = true)]
    bounds: Option<Numbers<4>>,
    /// Which way the top of the query looks, degrees clockwise from north. What of the pose is neither given nor written in the
    /// picture is tried: 16 headings, 4 tilts, 4 scales. DJI's cameras write all of it.
    #[arg(long, value_name = "H", allow_hyphen_values = true)]
    heading_deg: Option<f64>,
    /// How far the camera looked up from straight down, degrees.
    #[arg(long, value_name = "T")]
    tilt_deg: Option<f64>,
    /// Ground resolution of the query where it is clicked, across the line of sight, metres a pixel.
    #[arg(long, value_name = "G")]
    query_gsd_m: Option<f64>,
    /// Horizontal field of view of the query's camera, degrees. Otherwise it follows from the focal length in the picture, or is 60.
    #[arg(long, value_name = "F")]
    fov_deg: Option<f64>,
    /// The query is laid out like the reference already, north up, and its largest square shows as much as 256 reference pixels.
    #[arg(long, conflicts_with_all = ["heading_deg", "tilt_deg", "query_gsd_m", "fov_deg"])]
    as_is: bool,
    /// Writes a picture with the click, the heat map and the box.
    #[arg(long, value_name = "PNG")]
    overlay: Option<PathBuf>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// What computes: auto, rten, openvino or tensorrt.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    backend: BackendName,
    /// Threads to compute on; as many as there are cores unless given.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    trust: Trust,
}

/// So many numbers, separated by commas.
#[derive(Clone, Copy, Debug)]
struct Numbers<const N: usize>([f64; N]);

/// A drone's compass is off by some degrees, and north may be the magnetic one.
const COMPASS_DEG: f64 = 12.0;

/// What was clicked lies so many times further away, or nearer, than the height over the place of take-off says: ground is not level.
const RANGES: [f64; 3] = [0.85, 1.0, 1.18];

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let query = Photograph::open(&args.query)?;
    let reference = Photograph::open(&args.reference)?.picture;
    let georeference = georeference(&args, &reference)?;
    let package = args.trust.open(&args.package)?;
    let config = EngineConfig { backend: args.backend, threads: args.threads, ..EngineConfig::of(&args.package) };
    let mut backend = smgeo_runtime::backend::build(&config, &package).context("starting the engine")?;
    let tiled = TiledReference::cut(&reference).with_context(|| format!("cutting {}", args.reference.display()))?;
    let (reference_mosaic, tiles_ms) = timed(|| mosaic(backend.as_mut(), &tiled))?;
    let click = args.click.0;
    let (answer, query_ms) = timed(|| match args.as_is {
        true => as_is(backend.as_mut(), &query.picture, click, &reference_mosaic),
        false => in_any_pose(
            backend.as_mut(),
            &query.picture,
            click,
            &reference_mosaic,
            &poses(&args, &query, &georeference)?,
        ),
    })
    .with_context(|| format!("looking for what was clicked in {}", args.query.display()))?;
    let manifest = package.manifest();
    let located = decode(&answer.maps, manifest.stride_px, manifest.temperature)?;
    let report = Report {
        notes: notes(&package, &tiled, &georeference),
        place: georeference.place(&located)?,
        pose: answer.pose,
        engine: backend.info().to_string(),
        spent: Spent { tiles: tiled.tiles.len(), tiles_ms, query_ms },
        ..Report::of(&located)
    };
    if let Some(path) = &args.overlay {
        overlay::draw(&query.picture, click, &answer.image, &reference, &located)
            .save_with_format(path, image::ImageFormat::Png)
            .with_context(|| format!("writing the overlay {}", path.display()))?;
    }
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&report)?)?,
        false => output::write(&report)?,
    }
    Ok(())
}

/// What the network says, and what it was asked.
struct Answer {
    maps: Maps,
    image: EncoderImage,
    pose: Option<BestPose>,
}

fn mosaic(backend: &mut dyn Backend, tiled: &TiledReference) -> anyhow::Result<Mosaic> {
    let images: Vec<(&EncoderImage, View)> = tiled.tiles.iter().map(|tile| (tile, View::Tile)).collect();
    Ok(tiled.mosaic(&backend.encode(&images)?)?)
}

fn as_is(backend: &mut dyn Backend, query: &RgbImage, [x, y]: [f64; 2], reference: &Mosaic) -> anyhow::Result<Answer> {
    let crop = QueryCrop::cut(query, (x as f32, y as f32))?;
    let features = backend.encode(&[(&crop.image, View::Query)])?.remove(0);
    let clicks = witness::clicks(Witnesses::of(backend.info().fusion), &crop.image, crop.click);
    let request = |click: &[f32; 2]| LocateRequest { query: &features, click: *click, reference };
    let mut maps = backend.locate(&clicks.iter().map(request).collect::<Vec<_>>())?;
    witness::hear(&mut maps, &clicks, reference.stride_px());
    Ok(Answer { maps: maps.swap_remove(0), image: crop.image, pose: None })
}

fn in_any_pose(
    backend: &mut dyn Backend,
    query: &RgbImage,
    click: [f64; 2],
    reference: &Mosaic,
    poses: &PoseGrid,
) -> anyhow::Result<Answer> {
    let Sought { maps, pose, image, tried } = pose_search::locate(backend, query, click, reference, poses)?;
    Ok(Answer { maps, image, pose: Some(BestPose { pose, tried }) })
}

/// The poses that are tried. What is given is not varied, and what the camera wrote into the picture hardly.
fn poses(args: &Args, query: &Photograph, georeference: &Georeference) -> anyhow::Result<PoseGrid> {
    let mut poses = PoseGrid::default();
    let field_of_view_deg = args.fov_deg.or(query.field_of_view_deg);
    poses.field_of_view_deg = field_of_view_deg.unwrap_or(poses.field_of_view_deg);
    if let Some(Gimbal { heading_deg, tilt_deg }) = query.gimbal {
        poses.headings_deg = headings_around(heading_deg).into();
        poses.tilts_deg = vec![tilt_deg];
    }
    if let Some(heading_deg) = args.heading_deg {
        poses.headings_deg = vec![heading_deg];
    }
    if let Some(tilt_deg) = args.tilt_deg {
        poses.tilts_deg = vec![tilt_deg];
    }
    let side_px = f64::from(query.picture.width().min(query.picture.height()));
    let scale = |query_gsd_m: f64, reference_gsd_m: f64| side_px / TILE_PX as f64 * query_gsd_m / reference_gsd_m;
    match (args.query_gsd_m, georeference.gsd_m()) {
        (Some(query_gsd_m), Some(reference_gsd_m)) => poses.scales = vec![scale(query_gsd_m, reference_gsd_m)],
        (Some(_), None) => bail!("--query-gsd-m needs the scale of the reference: give --gsd-m or --bounds as well"),
        (None, Some(reference_gsd_m)) => {
            if let (Some(height_m), Some(lens_deg), [tilt_deg]) =
                (query.height_m, field_of_view_deg, &poses.tilts_deg[..])
                && let Some(gsd_m) = pose_search::gsd_m(&query.picture, args.click.0, *tilt_deg, lens_deg, height_m)
            {
                poses.scales = RANGES.map(|range| range * scale(gsd_m, reference_gsd_m)).into();
            }
        }
        (None, None) => {}
    }
    Ok(poses)
}

/// The heading that a compass gave, and what it may have meant: from 0 to 360 degrees, which is where headings are tried.
fn headings_around(heading_deg: f64) -> [f64; 3] {
    [-COMPASS_DEG, 0.0, COMPASS_DEG].map(|off| (heading_deg + off).rem_euclid(360.0))
}

/// Does something and returns how many milliseconds it took.
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let started = Instant::now();
    let done = work()?;
    Ok((done, started.elapsed().as_secs_f64() * 1e3))
}

fn georeference(args: &Args, reference: &RgbImage) -> anyhow::Result<Georeference> {
    let size_px = [f64::from(reference.width()), f64::from(reference.height())];
    match (args.bounds, args.gsd_m) {
        (Some(Numbers(edges)), _) => Ok(Georeference::Bounds(Bounds::new(edges, size_px).context("reading --bounds")?)),
        (None, Some(gsd_m)) => {
            ensure!(gsd_m > 0.0 && gsd_m.is_finite(), "--gsd-m is {gsd_m}; give a positive number of metres a pixel");
            Ok(Georeference::Scale { gsd_m, size_px })
        }
        (None, None) => Ok(Georeference::Unknown),
    }
}

fn notes(package: &Package, tiled: &TiledReference, georeference: &Georeference) -> Vec<String> {
    let mut notes = Vec::new();
    let (right, below) = tiled.padding_px();
    if (right, below) != (0, 0) {
        notes.push(format!(
            "the reference of {} x {} px is padded to {} x {} tiles of 256 px: {right} px on the right and {below} px below, where nothing can be found",
            tiled.width_px, tiled.height_px, tiled.columns, tiled.rows
        ));
    }
    let [lowest, highest] = package.manifest().gsd_m_range;
    if let Some(gsd_m) = georeference.gsd_m().filter(|gsd_m| !(lowest..=highest).contains(gsd_m)) {
        notes.push(format!(
            "the reference has {gsd_m:.3} m/px, but the package was trained on {lowest} to {highest} m/px; scale the reference to about {} m/px",
            package.manifest().gsd_m
        ));
    }
    notes
}

fn numbers<const N: usize>(text: &str) -> Result<Numbers<N>, String> {
    let parsed: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
    let values: Option<[f64; N]> = parsed.ok().and_then(|values| values.try_into().ok());
    match values {
        Some(values) if values.iter().all(|value| value.is_finite()) => Ok(Numbers(values)),
        _ => Err(format!("give {N} numbers separated by commas")),
    }
}

/// What is printed. Pixels are of the reference, from its upper left corner.
#[derive(Serialize, Default)]
struct Report {
    box_xyxy_px: [f32; 4],
    centre_px: [f64; 2],
    score: f32,
    mean_px: [f64; 2],
    covariance_px2: [[f64; 2]; 2],
    probability: f32,
    absent: f32,
    entropy_nats: f32,
    place: Option<Place>,
    pose: Option<BestPose>,
    others: Vec<Other>,
    notes: Vec<String>,
    engine: String,
    spent: Spent,
}

/// The pose that fits best, of those that were tried.
#[derive(Serialize)]
struct BestPose {
    #[serde(flatten)]
    pose: Pose,
    tried: usize,
}

/// Another place where the object may be.
#[derive(Serialize)]
struct Other {
    mean_px: [f64; 2],
    probability: f32,
}

/// Where the time went, milliseconds.
#[derive(Serialize, Default)]
struct Spent {
    tiles: usize,
    tiles_ms: f64,
    query_ms: f64,
}

impl Report {
    fn of(located: &Located) -> Report {
        let others = located.modes.iter().skip(1);
        Report {
            box_xyxy_px: located.box_xyxy_px,
            centre_px: located.centre_px,
            score: located.score,
            mean_px: located.mean_px,
            covariance_px2: located.covariance_px2,
            probability: located.mass,
            absent: located.posterior.absent(),
            entropy_nats: located.posterior.entropy_nats(),
            others: others.map(|mode| Other { mean_px: mode.mean_px, probability: mode.mass }).collect(),
            ..Report::default()
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [left, top, right, bottom] = self.box_xyxy_px;
        let sigma = |at: usize| self.covariance_px2[at][at].sqrt();
        writeln!(f, "box       {left:.1}, {top:.1} to {right:.1}, {bottom:.1} px   score {:.3}", self.score)?;
        let [x, y] = self.mean_px;
        writeln!(f, "position  {x:.1}, {y:.1} px   sigma {:.1} across, {:.1} down", sigma(0), sigma(1))?;
        match &self.place {
            Some(place) => writeln!(f, "{place}")?,
            None => writeln!(f, "ground    unknown: give --bounds or --gsd-m")?,
        }
        if let Some(BestPose { pose: Pose { heading_deg, tilt_deg, .. }, tried }) = &self.pose {
            writeln!(f, "pose      heading {heading_deg:.0}, tilt {tilt_deg:.0} degrees fit best of {tried} poses")?;
        }
        let elsewhere = (1.0 - self.probability - self.absent).max(0.0);
        writeln!(
            f,
            "odds      {:.1} % here, {:.1} % elsewhere in the picture, {:.1} % not in it",
            100.0 * self.probability,
            100.0 * elsewhere,
            100.0 * self.absent
        )?;
        for other in &self.others {
            let [x, y] = other.mean_px;
            writeln!(f, "or        {x:.1}, {y:.1} px   {:.1} %", 100.0 * other.probability)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note      {note}"))?;
        let Spent { tiles, tiles_ms, query_ms } = self.spent;
        writeln!(f, "spent     {tiles} tiles {tiles_ms:.0} ms, query {query_ms:.0} ms")?;
        writeln!(f, "engine    {}", self.engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_beside_that_of_the_compass_go_round_the_circle() {
        assert_eq!(headings_around(355.0), [343.0, 355.0, 7.0]);
        assert_eq!(headings_around(-154.0), [194.0, 206.0, 218.0]);
        assert_eq!(headings_around(360.0), [348.0, 0.0, 12.0]);
    }
}
