//! `smgeo inspect`: what an engine package is, whether it is whole, and how fast it runs here.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;
use smgeo_engine::conformance::{self, Tolerance};
use smgeo_engine::gate::{self, GateReport};
use smgeo_engine::{BackendName, EncoderImage, EngineConfig, LocateRequest, Manifest, Mosaic, Package, View};

use crate::output::{self, say};
use crate::trust::Trust;

/// Checks an engine package and says what it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the engine package.
    #[arg(value_name = "FOLDER")]
    package: PathBuf,
    /// Runs the conformance suite and measures the time of each step.
    #[arg(long)]
    run: bool,
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

/// What is printed.
#[derive(Serialize)]
struct Report {
    hash: String,
    manifest: Manifest,
    file_bytes: Vec<(String, u64)>,
    run: Option<Run>,
    checks: Vec<GateReport>,
}

/// What running it showed.
#[derive(Serialize)]
struct Run {
    engine: String,
    conforms: bool,
    #[serde(skip)]
    suite: String,
    query_ms: f64,
    tile_ms: f64,
    locate_4x4_ms: f64,
}

// Medians of a few runs: a look, not a benchmark.
const RUNS: usize = 5;

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let package = args.trust.open(&args.package)?;
    let mut file_bytes = Vec::new();
    for name in package.manifest().files.keys() {
        let path = package.folder().join(name);
        let size = std::fs::metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
        file_bytes.push((name.clone(), size.len()));
    }
    let config = EngineConfig { backend: args.backend, threads: args.threads, ..EngineConfig::of(&args.package) };
    let run = if args.run { Some(measured(&package, &config)?) } else { None };
    let checks = gate::kept(&package)?;
    let (hash, manifest) = (package.hash().to_string(), package.manifest().clone());
    let report = Report { hash, manifest, file_bytes, run, checks };
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&report)?)?,
        false => output::write(&report)?,
    }
    ensure!(report.run.is_none_or(|run| run.conforms), "the backend does not conform on this package");
    Ok(())
}

fn measured(package: &Package, config: &EngineConfig) -> anyhow::Result<Run> {
    let mut backend = smgeo_runtime::backend::build(config, package).context("starting the engine")?;
    let tolerance = tolerance(backend.info().precision);
    let suite = conformance::check(backend.as_mut(), tolerance)?;
    let image = EncoderImage::query_from((128.0, 128.0), |x, y| [x as u8, y as u8, (x ^ y) as u8])?;
    let tile = EncoderImage::tile_from(|x, y| [x as u8, y as u8, (x ^ y) as u8]);
    let query_ms = median_ms(|| backend.encode(&[(&image, View::Query)]).map(|_| ()))?;
    let tile_ms = median_ms(|| backend.encode(&[(&tile, View::Tile)]).map(|_| ()))?;
    let query = backend.encode(&[(&image, View::Query)])?.remove(0);
    let features = backend.encode(&[(&tile, View::Tile)])?.remove(0);
    let reference = Mosaic::of_tiles(4, 4, &vec![features; 16])?;
    let request = LocateRequest { query: &query, click: [128.0, 128.0], reference: &reference };
    let locate_4x4_ms = median_ms(|| backend.locate(&[request]).map(|_| ()))?;
    let engine = backend.info().to_string();
    Ok(Run { engine, conforms: suite.holds(), suite: suite.to_string(), query_ms, tile_ms, locate_4x4_ms })
}

/// What the suite allows an arithmetic: an engine of 16 bits is not held to what 32 give.
fn tolerance(precision: &str) -> Tolerance {
    match precision {
        "f32" => Tolerance::F32,
        "int8" => Tolerance::INT8,
        // Those of bf16, which has three bits less than f16.
        _ => Tolerance::BF16,
    }
}

fn median_ms<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut spent = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        work()?;
        spent.push(started.elapsed().as_secs_f64() * 1e3);
    }
    spent.sort_by(f64::total_cmp);
    Ok(spent[RUNS / 2])
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let manifest = &self.manifest;
        let [lowest, highest] = manifest.gsd_m_range;
        writeln!(f, "package      {} ({}, {:?} fusion)", manifest.name, manifest.architecture, manifest.fusion)?;
        writeln!(f, "hash         {}", self.hash)?;
        writeln!(
            f,
            "features     {} numbers every {} px of {} px tiles",
            manifest.channels, manifest.stride_px, manifest.tile_px
        )?;
        writeln!(f, "ground       {} m/px, trained on {lowest} to {highest} m/px", manifest.gsd_m)?;
        writeln!(f, "temperature  {}", manifest.temperature)?;
        for (name, bytes) in &self.file_bytes {
            writeln!(f, "file         {name}: {:.1} kB, hash and interface checked", *bytes as f64 / 1e3)?;
        }
        for (title, table) in [("training", &manifest.training), ("metrics", &manifest.metrics)] {
            table.iter().try_for_each(|(key, value)| writeln!(f, "{title:<12} {key} = {value}"))?;
        }
        self.checks.iter().try_for_each(|check| write!(f, "check        {check}"))?;
        let Some(run) = &self.run else { return Ok(()) };
        writeln!(f, "engine       {}", run.engine)?;
        writeln!(
            f,
            "time         query {:.1} ms, tile {:.1} ms, locate in 4 x 4 tiles {:.1} ms",
            run.query_ms, run.tile_ms, run.locate_4x4_ms
        )?;
        write!(f, "{}", run.suite)
    }
}
