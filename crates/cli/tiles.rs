//! `smgeo tiles`: makes the map of a flight before the flight.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use indicatif::ProgressBar;
use smgeo_flow::SystemClock;
use smgeo_geo::{TileBounds, TileId};
use smgeo_runtime::config::Config;
use smgeo_runtime::locate::{AreaReport, encode_area};
use smgeo_runtime::tiles::{self, HttpConfig, HttpTiles, PackReport, PackStep, TileError, TileSource, TilesConfig};

use crate::output::{self, say};

/// Missing tiles that are listed by name; the rest is counted.
const MISSING_LISTED: usize = 20;

/// Fetches, makes or encodes satellite tiles.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Fetch all tiles of an area into one MBTiles file; run again to complete it.
    Pack(Pack),
    /// Make tiles of an orthophoto: a GeoTIFF, or any picture with its bounds.
    Import(Import),
    /// Encode the tiles of an area into the daemon's features file, so that no prompt waits for one; run again to complete it.
    Encode(Encode),
}

#[derive(ClapArgs, Debug)]
struct Pack {
    /// An address with {z}, {x} and {y}, or an MBTiles file, a PMTiles file, a folder of z/x/y pictures.
    #[arg(long)]
    source: String,
    /// A file whose first line replaces {key} in the address.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The area in degrees: west,south,east,north.
    #[arg(long, value_parser = parse_bounds, allow_hyphen_values = true)]
    bounds: TileBounds,
    /// The zoom: 18 is about 0.6 m per pixel at the equator.
    #[arg(long)]
    zoom: u8,
    /// The MBTiles file to write.
    #[arg(long)]
    out: PathBuf,
    /// Requests at a time; mind the server's terms.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// The date of the imagery, where its owner states one.
    #[arg(long)]
    date: Option<String>,
}

#[derive(ClapArgs, Debug)]
struct Import {
    /// The picture: GeoTIFF in EPSG:4326, 3857 or UTM, or a PNG, JPEG or WebP with --bounds.
    ortho: PathBuf,
    /// The zoom of the tiles.
    #[arg(long)]
    zoom: u8,
    /// The MBTiles file to write.
    #[arg(long)]
    out: PathBuf,
    /// Where a picture without a georeference lies, in degrees: west,south,east,north.
    #[arg(long, value_parser = parse_bounds, allow_hyphen_values = true)]
    bounds: Option<TileBounds>,
    /// The date of the imagery.
    #[arg(long)]
    date: Option<String>,
}

#[derive(ClapArgs, Debug)]
struct Encode {
    /// The daemon's configuration: it names the map, the engine and the features file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The area in degrees: west,south,east,north; the whole map unless given.
    #[arg(long, value_parser = parse_bounds, allow_hyphen_values = true)]
    bounds: Option<TileBounds>,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Pack(pack) => run_pack(&pack),
        Command::Import(import) => run_import(&import),
        Command::Encode(encode) => run_encode(&encode),
    }
}

fn run_pack(pack: &Pack) -> anyhow::Result<()> {
    let source = open(pack).with_context(|| format!("opening {}", pack.source))?;
    let bar = output::bar("tiles", 0);
    let report =
        tiles::pack(source.as_ref(), &pack.bounds, pack.zoom, &pack.out, pack.workers, &mut |step| show(&bar, step))
            .with_context(|| format!("packing into {}", pack.out.display()))?;
    bar.finish_and_clear();
    let PackReport { total, resumed, fetched, missing } = &report;
    say!("{}: {total} tiles, {fetched} fetched now, {resumed} from before", pack.out.display())?;
    if missing.is_empty() {
        return Ok(());
    }
    list(missing);
    bail!(
        "{} of {total} tiles are missing: {} is not fit to fly with; run the same command again to complete it",
        missing.len(),
        pack.out.display()
    )
}

fn open(pack: &Pack) -> anyhow::Result<Box<dyn TileSource>> {
    let clock = SystemClock::shared();
    if pack.source.contains("://") {
        let http =
            HttpConfig { key_file: pack.key_file.clone(), date: pack.date.clone(), ..HttpConfig::of(&pack.source) };
        return Ok(Box::new(HttpTiles::new(http, clock)?));
    }
    let config = TilesConfig { imagery_date: pack.date.clone(), ..TilesConfig::of(&pack.source) };
    Ok(tiles::open_source(&config, clock)?)
}

fn run_import(import: &Import) -> anyhow::Result<()> {
    let bar = output::bar("tiles", 0);
    let report = tiles::import(
        &import.ortho,
        import.bounds.as_ref(),
        import.zoom,
        &import.out,
        import.date.as_deref(),
        &mut |step| show(&bar, step),
    )
    .with_context(|| format!("importing {}", import.ortho.display()))?;
    bar.finish_and_clear();
    say!(
        "{}: {} tiles at zoom {}, {} of them covered in part",
        import.out.display(),
        report.tiles,
        import.zoom,
        report.partial
    )?;
    Ok(())
}

fn run_encode(encode: &Encode) -> anyhow::Result<()> {
    let config = Config::load(&encode.config)?;
    let bar = output::bar("tiles", 0);
    let report = encode_area(&config, encode.bounds.as_ref(), SystemClock::shared(), &mut |step| show(&bar, step))
        .with_context(|| format!("encoding the map of {}", encode.config.display()))?;
    bar.finish_and_clear();
    let AreaReport { total, known, encoded, missing, engine } = &report;
    say!("{total} tiles: {encoded} encoded now, {known} from before, by {engine}")?;
    list(missing);
    match missing.len() {
        0 => Ok(()),
        count => {
            bail!("the map lacks {count} of {total} tiles; complete it with `smgeo tiles pack`, then run this again")
        }
    }
}

fn list(missing: &[(TileId, TileError)]) {
    for (tile, error) in missing.iter().take(MISSING_LISTED) {
        eprintln!("missing {tile}: {error}");
    }
    let more = missing.len().saturating_sub(MISSING_LISTED);
    if more > 0 {
        eprintln!("and {more} more");
    }
}

fn show(bar: &ProgressBar, step: PackStep) {
    bar.set_length(step.total as u64);
    bar.set_position((step.done + step.missing) as u64);
    if step.missing > 0 {
        bar.set_message(format!("{} missing", step.missing));
    }
}

fn parse_bounds(text: &str) -> Result<TileBounds, String> {
    let edges: Vec<f64> = text
        .split(',')
        .map(|edge| edge.trim().parse().map_err(|_| format!("'{edge}' is no number of degrees")))
        .collect::<Result<_, _>>()?;
    match edges[..] {
        [west_deg, south_deg, east_deg, north_deg] => Ok(TileBounds { west_deg, south_deg, east_deg, north_deg }),
        _ => Err("write west,south,east,north in degrees".to_owned()),
    }
}
