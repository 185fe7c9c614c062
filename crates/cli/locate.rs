//! `smgeo locate`: the engine on two still pictures. Click an object in one, get its box and position in the other.

mod georeference;
mod overlay;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use image::{ImageReader, Limits, RgbImage};
use serde::Serialize;
use smgeo_engine::stills::{QueryCrop, QueryScale, TiledReference};
use smgeo_engine::{Backend, BackendName, EncoderImage, EngineConfig, LocateRequest, Located, Package, View, decode};

use crate::trust::Trust;
use georeference::{Bounds, Georeference, Place};

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
    /// Ground resolution of the query, metres a pixel: the query is then cut around the click at the scale of the
    /// reference. Without it the largest square around the click is resized to the network's 256 pixels.
    #[arg(long, value_name = "G")]
    query_gsd_m: Option<f64>,
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

// A picture beyond this is a mistake or an attack on memory; the engine searches 16,384 px at most.
const PICTURE_EDGE_PX_MAX: u32 = 1 << 15;
const PICTURE_BYTES_MAX: u64 = 1 << 30;

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let query = picture(&args.query)?;
    let reference = picture(&args.reference)?;
    let georeference = georeference(&args, &reference)?;
    let package = args.trust.open(&args.package)?;
    let config = EngineConfig { backend: args.backend, threads: args.threads, ..EngineConfig::of(&args.package) };
    let mut backend = smgeo_runtime::backend::build(&config, &package).context("starting the engine")?;
    let [x, y] = args.click.0;
    let crop = QueryCrop::cut(&query, (x as f32, y as f32), query_scale(&args, &georeference)?)
        .with_context(|| format!("cutting the query out of {}", args.query.display()))?;
    let tiled = TiledReference::cut(&reference).with_context(|| format!("cutting {}", args.reference.display()))?;
    let (located, spent) = locate(backend.as_mut(), &package, &crop, &tiled)?;
    let report = Report {
        notes: notes(&package, &tiled, &georeference),
        place: georeference.place(&located)?,
        engine: backend.info().to_string(),
        spent,
        ..Report::of(&located)
    };
    if let Some(path) = &args.overlay {
        overlay::draw(&query, [x, y], &crop, &reference, &located)
            .save_with_format(path, image::ImageFormat::Png)
            .with_context(|| format!("writing the overlay {}", path.display()))?;
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    Ok(())
}

fn locate(
    backend: &mut dyn Backend,
    package: &Package,
    crop: &QueryCrop,
    tiled: &TiledReference,
) -> anyhow::Result<(Located, Spent)> {
    let manifest = package.manifest();
    let started = Instant::now();
    let images: Vec<(&EncoderImage, View)> = tiled.tiles.iter().map(|tile| (tile, View::Tile)).collect();
    let mosaic = tiled.mosaic(&backend.encode(&images)?)?;
    let tiles_ms = ms_since(started);
    let started = Instant::now();
    let query = backend.encode(&[(&crop.image, View::Query)])?.remove(0);
    let query_ms = ms_since(started);
    let started = Instant::now();
    let request = LocateRequest { query: &query, click: crop.click, reference: &mosaic };
    let maps = backend.locate(&[request])?.remove(0);
    let located = decode(&maps, manifest.stride_px, manifest.temperature)?;
    Ok((located, Spent { tiles: tiled.tiles.len(), tiles_ms, query_ms, locate_ms: ms_since(started) }))
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
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

fn query_scale(args: &Args, georeference: &Georeference) -> anyhow::Result<QueryScale> {
    match (args.query_gsd_m, georeference.gsd_m()) {
        (None, _) => Ok(QueryScale::Whole),
        (Some(query_gsd_m), Some(reference_gsd_m)) => Ok(QueryScale::Ground { query_gsd_m, reference_gsd_m }),
        (Some(_), None) => bail!("--query-gsd-m needs the scale of the reference: give --gsd-m or --bounds as well"),
    }
}

fn picture(path: &Path) -> anyhow::Result<RgbImage> {
    let failed = || format!("reading the picture {} (JPEG, PNG, WebP or TIFF)", path.display());
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).with_context(failed)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(PICTURE_EDGE_PX_MAX);
    limits.max_image_height = Some(PICTURE_EDGE_PX_MAX);
    limits.max_alloc = Some(PICTURE_BYTES_MAX);
    reader.limits(limits);
    Ok(reader.decode().with_context(failed)?.into_rgb8())
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
    others: Vec<Other>,
    notes: Vec<String>,
    engine: String,
    spent: Spent,
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
    locate_ms: f64,
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
            entropy_nats: located.entropy_nats,
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
        let Spent { tiles, tiles_ms, query_ms, locate_ms } = self.spent;
        writeln!(f, "spent     {tiles} tiles {tiles_ms:.0} ms, query {query_ms:.0} ms, locate {locate_ms:.1} ms")?;
        writeln!(f, "engine    {}", self.engine)
    }
}
