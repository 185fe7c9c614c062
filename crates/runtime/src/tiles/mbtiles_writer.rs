//! Writes MBTiles files: flight packs, imported orthophotos, and the disk cache of a tile server.
//!
//! Beside the table of the standard stands one of hashes (`tile_sha256`), so that a damaged file shows when it is read.
//! Any other reader of MBTiles ignores it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use smgeo_geo::{TileBounds, TileId};

use super::mbtiles::{parse_bounds, stored_bytes};
use super::{EncodedTile, TileError};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS metadata (name TEXT PRIMARY KEY, value TEXT);
    CREATE TABLE IF NOT EXISTS tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
    CREATE TABLE IF NOT EXISTS tile_sha256 (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, sha256 BLOB,
        PRIMARY KEY (zoom_level, tile_column, tile_row)) WITHOUT ROWID;
";

/// Writes tiles into an MBTiles file, new or begun earlier.
pub struct MbTilesWriter {
    connection: Connection,
    name: Arc<str>,
}

impl MbTilesWriter {
    /// Opens a file for writing and makes its tables where they are not there.
    pub fn open(file: &Path) -> Result<Self, TileError> {
        let name: Arc<str> = file.display().to_string().into();
        let failed = |error: rusqlite::Error| TileError::database(&name, &error);
        let connection = Connection::open(file).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        Ok(Self { connection, name })
    }

    /// Names the file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Sets one row of the metadata.
    pub fn set(&self, name: &str, value: &str) -> Result<(), TileError> {
        self.connection
            .execute("INSERT OR REPLACE INTO metadata (name, value) VALUES (?1, ?2)", (name, value))
            .map(|_| ())
            .map_err(|error| self.failed(&error))
    }

    /// Returns one row of the metadata.
    pub fn metadata(&self, name: &str) -> Result<Option<String>, TileError> {
        self.connection
            .query_row("SELECT value FROM metadata WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(|error| self.failed(&error))
    }

    /// Sets the metadata that readers of MBTiles expect. Bounds and zooms hold what was described before as well: a file may be
    /// written in several runs.
    pub fn describe(&self, name: &str, media_type: &str, bounds: &TileBounds, zoom: u8) -> Result<(), TileError> {
        let format = match media_type {
            "image/jpeg" => "jpg",
            "image/webp" => "webp",
            _ => "png",
        };
        let before = self.metadata("bounds")?.and_then(|text| parse_bounds(&text));
        let TileBounds { west_deg: west, south_deg: south, east_deg: east, north_deg: north } =
            before.map_or(*bounds, |before| bounds.with(before));
        let zoom_before = |row: &str| Ok::<_, TileError>(self.metadata(row)?.and_then(|text| text.parse().ok()));
        self.set("name", name)?;
        self.set("type", "baselayer")?;
        self.set("version", "1")?;
        self.set("format", format)?;
        self.set("bounds", &format!("{west:.7},{south:.7},{east:.7},{north:.7}"))?;
        self.set("minzoom", &zoom_before("minzoom")?.map_or(zoom, |before: u8| before.min(zoom)).to_string())?;
        self.set("maxzoom", &zoom_before("maxzoom")?.map_or(zoom, |before: u8| before.max(zoom)).to_string())
    }

    /// Writes tiles with their hashes, all or none.
    pub fn put<'a>(&mut self, tiles: impl IntoIterator<Item = (TileId, &'a EncodedTile)>) -> Result<(), TileError> {
        let name = self.name.clone();
        let write =
            || -> rusqlite::Result<()> {
                let transaction = self.connection.transaction()?;
                for (tile, encoded) in tiles {
                    let place = (tile.z, tile.x, tile.row_from_south());
                    let hash: [u8; 32] = Sha256::digest(&encoded.bytes).into();
                    transaction.prepare_cached("INSERT OR REPLACE INTO tiles VALUES (?1, ?2, ?3, ?4)")?.execute((
                        place.0,
                        place.1,
                        place.2,
                        encoded.bytes.as_ref(),
                    ))?;
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO tile_sha256 VALUES (?1, ?2, ?3, ?4)")?
                        .execute((place.0, place.1, place.2, hash.as_slice()))?;
                }
                transaction.commit()
            };
        write().map_err(|error| TileError::database(&name, &error))
    }

    /// Returns the bytes of a tile if they are there and match their hash.
    pub fn sound_bytes(&self, tile: TileId) -> Result<Option<Vec<u8>>, TileError> {
        let read = || -> rusqlite::Result<Option<Vec<u8>>> {
            let Some(bytes) = stored_bytes(&self.connection, tile)? else { return Ok(None) };
            let sql = "SELECT sha256 FROM tile_sha256 WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3";
            let hash: Option<Vec<u8>> = self
                .connection
                .prepare_cached(sql)?
                .query_row((tile.z, tile.x, tile.row_from_south()), |row| row.get(0))
                .optional()?;
            let sound = hash.is_some_and(|hash| hash == Sha256::digest(&bytes).as_slice());
            Ok(sound.then_some(bytes))
        };
        read().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> TileError {
        TileError::database(&self.name, error)
    }
}
