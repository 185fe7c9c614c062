//! Tiles in an MBTiles file: one SQLite table, rows counted from the south (TMS).
//!
//! The file is opened read-only. Where it carries a table of hashes (ours do), each tile is checked against its hash when
//! it is read, so that a damaged disk shows as an error and not as other ground.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sha2::{Digest, Sha256};
use smgeo_geo::{TileBounds, TileId};

use super::{EncodedTile, TileError, TileSource, TilesInfo};

/// Bytes at either end of the file that go into its identity, beside its length and metadata.
const IDENTITY_BYTES: u64 = 64 * 1024;

/// Reads tiles from an MBTiles file.
pub struct MbTiles {
    connection: Mutex<Connection>,
    has_hashes: bool,
    info: TilesInfo,
}

impl MbTiles {
    /// Opens a file and checks that it holds pictures. `date` overrides the date in the file's metadata.
    pub fn open(file: &Path, date: Option<Arc<str>>) -> Result<Self, TileError> {
        let name: Arc<str> = file.display().to_string().into();
        // SQLite says only "unable to open database file"; the system says why.
        let identity = identity(file).map_err(|error| TileError::io(&name, &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(file, flags).map_err(|error| TileError::database(&name, &error))?;
        check_is_mbtiles(&connection, &name)?;
        let metadata = metadata(&connection);
        check_holds_pictures(&metadata, &name)?;
        let (zoom_min, zoom_max) = zooms(&connection, &name)?;
        let told = metadata.get("bounds").and_then(|text| parse_bounds(text));
        let bounds = told.or_else(|| held_bounds(&connection, zoom_max));
        let imagery =
            hex::encode(Sha256::new().chain_update(identity).chain_update(format!("{metadata:?}")).finalize());
        let own_date = metadata.get("date").or_else(|| metadata.get("imagery_date")).map(|date| date.as_str().into());
        let info = TilesInfo {
            name,
            imagery: imagery.into(),
            date: date.or(own_date),
            attribution: metadata.get("attribution").map(|text| text.as_str().into()),
            bounds,
            zoom_min,
            zoom_max,
        };
        let has_hashes = has_columns(&connection, "tile_sha256", &["zoom_level", "tile_column", "tile_row", "sha256"]);
        Ok(Self { connection: Mutex::new(connection), has_hashes, info })
    }

    fn stored_hash(&self, connection: &Connection, tile: TileId) -> rusqlite::Result<Option<Vec<u8>>> {
        if !self.has_hashes {
            return Ok(None);
        }
        connection
            .prepare_cached(
                "SELECT sha256 FROM tile_sha256 WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3",
            )?
            .query_row((tile.z, tile.x, tile.row_from_south()), |row| row.get(0))
            .optional()
    }
}

impl TileSource for MbTiles {
    fn info(&self) -> &TilesInfo {
        &self.info
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        let store = &self.info.name;
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: rusqlite::Error| TileError::database(store, &error);
        let bytes = stored_bytes(&connection, tile).map_err(failed)?;
        let Some(bytes) = bytes else { return Err(TileError::Missing { tile, store: store.clone() }) };
        let hash = self.stored_hash(&connection, tile).map_err(failed)?;
        drop(connection);
        if hash.is_some_and(|hash| hash != Sha256::digest(&bytes).as_slice()) {
            return Err(TileError::Altered { tile, store: store.clone() });
        }
        EncodedTile::new(Bytes::from(bytes), tile, store)
    }
}

/// Reads the bytes of a tile from the table of the standard.
pub(crate) fn stored_bytes(connection: &Connection, tile: TileId) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT tile_data FROM tiles WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3")?
        .query_row((tile.z, tile.x, tile.row_from_south()), |row| row.get(0))
        .optional()
}

fn check_is_mbtiles(connection: &Connection, name: &Arc<str>) -> Result<(), TileError> {
    if let Err(error) = connection.query_row("SELECT count(*) FROM sqlite_master", (), |row| row.get::<_, i64>(0)) {
        let reason = format!("SQLite cannot read it ({error}); give an MBTiles file, a PMTiles file or a folder");
        return Err(TileError::NotAStore { store: name.clone(), reason });
    }
    if !has_columns(connection, "tiles", &["zoom_level", "tile_column", "tile_row", "tile_data"]) {
        let reason = "it is an SQLite file without the table `tiles` of MBTiles".to_owned();
        return Err(TileError::NotAStore { store: name.clone(), reason });
    }
    Ok(())
}

fn check_holds_pictures(metadata: &BTreeMap<String, String>, name: &Arc<str>) -> Result<(), TileError> {
    match metadata.get("format").map(|format| format.to_ascii_lowercase()).as_deref() {
        None | Some("png" | "jpg" | "jpeg" | "webp" | "image/png" | "image/jpeg" | "image/webp") => Ok(()),
        Some(format) => {
            let reason = format!("its format is {format}; png, jpg and webp are read");
            Err(TileError::NotAStore { store: name.clone(), reason })
        }
    }
}

fn has_columns(connection: &Connection, table: &str, columns: &[&str]) -> bool {
    let sql = format!("SELECT {} FROM {table} LIMIT 0", columns.join(", "));
    connection.prepare(&sql).is_ok()
}

fn metadata(connection: &Connection) -> BTreeMap<String, String> {
    let read = || -> rusqlite::Result<BTreeMap<String, String>> {
        let mut statement = connection.prepare("SELECT name, value FROM metadata")?;
        statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    // The table is asked for by the standard and left out by many writers.
    read().unwrap_or_default()
}

fn zooms(connection: &Connection, name: &Arc<str>) -> Result<(u8, u8), TileError> {
    let range: (Option<i64>, Option<i64>) = connection
        .query_row("SELECT min(zoom_level), max(zoom_level) FROM tiles", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| TileError::database(name, &error))?;
    let zoom = |level: Option<i64>| level.and_then(|level| u8::try_from(level).ok()).filter(|zoom| *zoom <= 30);
    zoom(range.0).zip(zoom(range.1)).ok_or_else(|| TileError::NotAStore {
        store: name.clone(),
        reason: "it holds no tiles, or tiles of an impossible zoom".to_owned(),
    })
}

/// Returns the bounds of the tiles of a zoom, where the file does not say what it covers. By the standard's index that is a walk
/// along its edges.
fn held_bounds(connection: &Connection, z: u8) -> Option<TileBounds> {
    let sql =
        "SELECT min(tile_column), max(tile_column), min(tile_row), max(tile_row) FROM tiles WHERE zoom_level = ?1";
    let edges: (u32, u32, u32, u32) =
        connection.query_row(sql, [z], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).ok()?;
    let (west, east, south, north) = edges;
    let tile = |x: u32, row_from_south: u32| {
        let y = (1_u32 << z).checked_sub(1)?.checked_sub(row_from_south)?;
        Some(TileId { z, x, y }.bounds())
    };
    let (north_west, south_east) = (tile(west, north)?, tile(east, south)?);
    Some(TileBounds {
        west_deg: north_west.west_deg,
        south_deg: south_east.south_deg,
        east_deg: south_east.east_deg,
        north_deg: north_west.north_deg,
    })
}

/// Reads the bounds of the standard: west,south,east,north.
pub(crate) fn parse_bounds(text: &str) -> Option<TileBounds> {
    let edges: Vec<f64> = text.split(',').map(|edge| edge.trim().parse().ok()).collect::<Option<_>>()?;
    let [west_deg, south_deg, east_deg, north_deg] = edges[..] else { return None };
    let sound = edges.iter().all(|edge| edge.is_finite()) && west_deg < east_deg && south_deg < north_deg;
    sound.then_some(TileBounds { west_deg, south_deg, east_deg, north_deg })
}

/// Hashes what tells one file from another without reading gigabytes: length, first and last bytes.
pub(crate) fn identity(file: &Path) -> std::io::Result<[u8; 32]> {
    let mut reader = File::open(file)?;
    let length = reader.metadata()?.len();
    let mut hash = Sha256::new().chain_update(length.to_le_bytes());
    for start in [0, length.saturating_sub(IDENTITY_BYTES)] {
        let mut part = Vec::new();
        reader.seek(SeekFrom::Start(start))?;
        (&mut reader).take(IDENTITY_BYTES).read_to_end(&mut part)?;
        hash.update(&part);
    }
    Ok(hash.finalize().into())
}
