//! Fetches all tiles of an area into one MBTiles file, for a flight without a network.
//!
//! A pack that lacks a tile over the target is found out in the air, so a pack is complete or it fails, and says which
//! tiles are missing. What a run fetched stays in the file and the next run goes on from there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, bounded};
use smgeo_geo::{LatLon, TileBounds, TileId};

use super::{EncodedTile, MbTilesWriter, TileError, TileSource, decode};

/// The most tiles of one pack: 1000 x 1000 tiles are 77 km square at zoom 19.
const TILES_MAX: u64 = 1_000_000;
/// An area that ends on the border of a tile, to within this (0.1 m), does not touch the next one: stores round their bounds.
const EDGE_DEG: f64 = 1e-6;
/// Tiles written in one transaction: what is lost when the power goes.
const BATCH: usize = 64;

/// Reports how far a pack is.
#[derive(Clone, Copy, Debug)]
pub struct PackStep {
    /// Tiles that are in the file now.
    pub done: usize,
    /// Tiles that could not be had so far.
    pub missing: usize,
    /// All tiles of the area.
    pub total: usize,
}

/// Reports what a pack holds.
#[derive(Debug)]
pub struct PackReport {
    /// All tiles of the area.
    pub total: usize,
    /// Tiles that an earlier run had fetched.
    pub resumed: usize,
    /// Tiles fetched by this run.
    pub fetched: usize,
    /// Tiles that could not be had, and why.
    pub missing: Vec<(TileId, TileError)>,
}

/// Lists the tiles that touch `bounds` at `zoom`, row by row from the north-west.
pub fn tiles_in(bounds: &TileBounds, zoom: u8) -> Result<Vec<TileId>, String> {
    let is_on_earth = bounds.west_deg >= -180.0 && bounds.east_deg <= 180.0;
    if !(is_on_earth && bounds.west_deg < bounds.east_deg && bounds.south_deg < bounds.north_deg) {
        return Err("bounds are west,south,east,north with west < east and south < north; \
                    an area across the antimeridian is packed in two runs into one file"
            .to_owned());
    }
    if zoom > 24 {
        return Err(format!("zoom {zoom} is beyond 24: no imagery is that fine"));
    }
    let corner = |lat: f64, lon: f64| {
        LatLon::new(lat, lon).map(|at| TileId::containing(at, zoom)).map_err(|error| error.to_string())
    };
    let north_west = corner(bounds.north_deg - EDGE_DEG, bounds.west_deg + EDGE_DEG)?;
    let south_east = corner(bounds.south_deg + EDGE_DEG, bounds.east_deg - EDGE_DEG)?;
    let (columns, rows) =
        (south_east.x.saturating_sub(north_west.x) + 1, south_east.y.saturating_sub(north_west.y) + 1);
    let count = u64::from(columns) * u64::from(rows);
    if count > TILES_MAX {
        return Err(format!("the area has {count} tiles at zoom {zoom}; at most {TILES_MAX} go into one pack"));
    }
    let tile = |x, y| TileId { z: zoom, x, y };
    Ok((north_west.y..=south_east.y).flat_map(|y| (north_west.x..=south_east.x).map(move |x| tile(x, y))).collect())
}

/// Fetches all tiles of `bounds` at `zoom` from `source` into the MBTiles file `out`, with `workers` requests at a time.
/// A file that an earlier run began is completed. `on_step` is called after each tile.
pub fn pack(
    source: &dyn TileSource,
    bounds: &TileBounds,
    zoom: u8,
    out: &Path,
    workers: usize,
    on_step: &mut dyn FnMut(PackStep),
) -> Result<PackReport, TileError> {
    let out_name: Arc<str> = out.display().to_string().into();
    let refused = |reason: String| TileError::NotAStore { store: out_name.clone(), reason };
    let tiles = tiles_in(bounds, zoom).map_err(refused)?;
    let mut writer = MbTilesWriter::open(out)?;
    claim(&writer, source)?;
    let mut wanted = Vec::new();
    for tile in &tiles {
        if writer.sound_bytes(*tile)?.is_none() {
            wanted.push(*tile);
        }
    }
    let mut report =
        PackReport { total: tiles.len(), resumed: tiles.len() - wanted.len(), fetched: 0, missing: Vec::new() };
    on_step(step(&report));
    let next = AtomicUsize::new(0);
    let (sender, arrived) = bounded::<(TileId, Result<EncodedTile, TileError>)>(BATCH);
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, 16) {
            let (next, wanted, sender) = (&next, &wanted, sender.clone());
            scope.spawn(move || {
                while let Some(tile) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send((*tile, sound(source, *tile))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        collect(arrived, &mut writer, &mut report, on_step)
    })?;
    describe(&writer, source, bounds, zoom, &tiles)?;
    report.missing.sort_by_key(|(tile, _)| (tile.y, tile.x));
    Ok(report)
}

/// Writes what arrives. It owns the receiving end, so that workers end when writing fails.
fn collect(
    arrived: Receiver<(TileId, Result<EncodedTile, TileError>)>,
    writer: &mut MbTilesWriter,
    report: &mut PackReport,
    on_step: &mut dyn FnMut(PackStep),
) -> Result<(), TileError> {
    let mut batch = Vec::with_capacity(BATCH);
    for (tile, result) in &arrived {
        match result {
            Ok(encoded) => batch.push((tile, encoded)),
            Err(error) => report.missing.push((tile, error)),
        }
        if batch.len() >= BATCH || arrived.is_empty() {
            write(writer, &mut batch, report)?;
        }
        on_step(step(report));
    }
    write(writer, &mut batch, report)
}

fn step(report: &PackReport) -> PackStep {
    PackStep { done: report.resumed + report.fetched, missing: report.missing.len(), total: report.total }
}

/// Returns a tile that decodes.
fn sound(source: &dyn TileSource, tile: TileId) -> Result<EncodedTile, TileError> {
    let encoded = source.encoded(tile)?;
    decode(&encoded, tile, source.info())?;
    Ok(encoded)
}

fn write(
    writer: &mut MbTilesWriter,
    batch: &mut Vec<(TileId, EncodedTile)>,
    report: &mut PackReport,
) -> Result<(), TileError> {
    writer.put(batch.iter().map(|(tile, encoded)| (*tile, encoded)))?;
    report.fetched += batch.len();
    batch.clear();
    Ok(())
}

/// Refuses a file that was packed from another source: imagery of two sources must not mix.
fn claim(writer: &MbTilesWriter, source: &dyn TileSource) -> Result<(), TileError> {
    let own = source.info().name.as_ref();
    match writer.metadata("source")? {
        Some(other) if other != own => Err(TileError::NotAStore {
            store: writer.name().clone(),
            reason: format!("it was packed from {other}, not from {own}; name another file"),
        }),
        Some(_) => Ok(()),
        None => writer.set("source", own),
    }
}

fn describe(
    writer: &MbTilesWriter,
    source: &dyn TileSource,
    bounds: &TileBounds,
    zoom: u8,
    tiles: &[TileId],
) -> Result<(), TileError> {
    let info = source.info();
    let first = tiles.iter().find_map(|tile| writer.sound_bytes(*tile).transpose()).transpose()?;
    let media_type = match first {
        Some(bytes) => EncodedTile::new(bytes.into(), tiles[0], &info.name)?.media_type,
        None => "image/png",
    };
    writer.describe("smgeo pack", media_type, bounds, zoom)?;
    if let Some(date) = &info.date {
        writer.set("date", date)?;
    }
    if let Some(attribution) = &info.attribution {
        writer.set("attribution", attribution)?;
    }
    Ok(())
}
