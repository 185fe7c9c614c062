//! Satellite tiles of a town as an MBTiles file: JPEG, rows counted from the south as the format wants (TMS).

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageError};
use rayon::prelude::*;
use rusqlite::{Connection, params};
use smgeo_geo::{TILE_PX, TileId};

use crate::day::Day;
use crate::error::WorldError;
use crate::render::{Renderer, SatelliteLook};
use crate::town::Town;

const ZOOM_MIN: u8 = 14;
const ZOOM_MAX: u8 = 21;
/// Tiles are rendered and stored this many at a time, so that progress is seen and memory is bounded.
const BATCH: usize = 32;

/// What to put into a tile file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TilePlan {
    /// The zoom to render.
    pub zoom: u8,
    /// Lower zooms down to this one are rendered too, for maps.
    pub zoom_min: u8,
    /// Half the side of the square about the origin that is covered, metres.
    pub half_m: f64,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
}

impl TilePlan {
    /// The whole town with some country around it at one zoom.
    pub fn town(zoom: u8) -> TilePlan {
        TilePlan { zoom, zoom_min: zoom, half_m: 620.0, quality: 88 }
    }

    /// The tiles, lowest zoom first.
    pub fn tiles(&self, town: &Town) -> Vec<TileId> {
        let mut tiles = Vec::new();
        for zoom in self.zoom_min.min(self.zoom)..=self.zoom {
            let corner = |sign: f64| {
                town.geodetic([sign * self.half_m, sign * self.half_m, 0.0])
                    .map(|place| TileId::containing(place.at, zoom))
            };
            if let (Some(south_west), Some(north_east)) = (corner(-1.0), corner(1.0)) {
                let rows = north_east.y..=south_west.y;
                tiles.extend(rows.flat_map(|y| (south_west.x..=north_east.x).map(move |x| TileId { z: zoom, x, y })));
            }
        }
        tiles
    }
}

/// Renders a town's tiles into a new MBTiles file; `progress` is told tiles done and tiles in all.
pub fn write_mbtiles(
    path: &Path,
    town: &Town,
    day: &Day,
    look: &SatelliteLook,
    plan: &TilePlan,
    mut progress: impl FnMut(usize, usize),
) -> Result<usize, WorldError> {
    if path.exists() {
        return Err(WorldError::Exists(path.to_owned()));
    }
    if !(ZOOM_MIN..=ZOOM_MAX).contains(&plan.zoom) || plan.zoom_min < ZOOM_MIN {
        return Err(WorldError::Zoom(plan.zoom.max(plan.zoom_min)));
    }
    let failed = |source| WorldError::Tiles { path: path.to_owned(), source };
    let tiles = plan.tiles(town);
    let mut store = Connection::open(path).map_err(failed)?;
    let kind = [("format", "jpg".to_owned()), ("type", "baselayer".to_owned()), ("date", day.date.iso())];
    create(&store, town, &kind, plan, &tiles).map_err(failed)?;
    for (batch, some) in tiles.chunks(BATCH).enumerate() {
        let encoded: Result<Vec<Vec<u8>>, WorldError> = some
            .par_iter()
            .map_init(Renderer::default, |renderer, tile| jpeg(renderer, town, day, look, *tile, plan.quality))
            .collect();
        insert(&mut store, some, &encoded?).map_err(failed)?;
        progress((batch * BATCH + some.len()).min(tiles.len()), tiles.len());
    }
    Ok(tiles.len())
}

fn jpeg(
    renderer: &mut Renderer,
    town: &Town,
    day: &Day,
    look: &SatelliteLook,
    tile: TileId,
    quality: u8,
) -> Result<Vec<u8>, WorldError> {
    let picture = renderer.tile(town, day, look, tile, TILE_PX);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .encode(picture.as_raw(), TILE_PX, TILE_PX, ExtendedColorType::Rgb8)
        .map_err(|source: ImageError| WorldError::Encode { px: TILE_PX, source })?;
    Ok(bytes)
}

/// Makes the tables and the metadata; `kind` holds the rows in which tile files differ.
pub(crate) fn create(
    store: &Connection,
    town: &Town,
    kind: &[(&str, String)],
    plan: &TilePlan,
    tiles: &[TileId],
) -> rusqlite::Result<()> {
    store.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE metadata (name TEXT, value TEXT);
         CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
         CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row);",
    )?;
    let bounds = tiles
        .iter()
        .filter(|tile| tile.z == plan.zoom)
        .map(|tile| tile.bounds())
        .fold([f64::MAX, f64::MAX, f64::MIN, f64::MIN], |b, t| {
            [b[0].min(t.west_deg), b[1].min(t.south_deg), b[2].max(t.east_deg), b[3].max(t.north_deg)]
        });
    let [west, south, east, north] = bounds;
    let rows = [
        ("name", format!("made town {}", town.seed())),
        ("version", "1".to_owned()),
        ("description", format!("A town that does not exist, made from seed {}, at an invented place.", town.seed())),
        ("attribution", "made by smgeo-world".to_owned()),
        ("minzoom", plan.zoom_min.min(plan.zoom).to_string()),
        ("maxzoom", plan.zoom.to_string()),
        ("bounds", format!("{west:.7},{south:.7},{east:.7},{north:.7}")),
        ("center", format!("{:.7},{:.7},{}", (west + east) / 2.0, (south + north) / 2.0, plan.zoom)),
    ];
    for (name, value) in rows.iter().chain(kind) {
        store.execute("INSERT INTO metadata (name, value) VALUES (?1, ?2)", params![name, value])?;
    }
    Ok(())
}

pub(crate) fn insert(store: &mut Connection, tiles: &[TileId], pictures: &[Vec<u8>]) -> rusqlite::Result<()> {
    let transaction = store.transaction()?;
    {
        let mut insert = transaction.prepare_cached("INSERT INTO tiles VALUES (?1, ?2, ?3, ?4)")?;
        for (tile, picture) in tiles.iter().zip(pictures) {
            let row_from_south = (1u32 << tile.z) - 1 - tile.y;
            insert.execute(params![tile.z, tile.x, row_from_south, picture])?;
        }
    }
    transaction.commit()
}
