//! Keeps what a tile server gave in an MBTiles file.
//!
//! The file is an ordinary MBTiles file: it can be flown as it is. A tile whose bytes do not match their hash counts as
//! absent, and the next download replaces it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use smgeo_geo::TileId;

use super::{EncodedTile, MbTilesWriter, TileError};

/// Stores tiles of one server.
pub struct DiskCache {
    file: Mutex<MbTilesWriter>,
}

impl DiskCache {
    /// Opens or makes the file. A file that belongs to another address is refused: imagery of two sources must not mix.
    pub fn open(file: &Path, address: &Arc<str>) -> Result<Self, TileError> {
        let writer = MbTilesWriter::open(file)?;
        match writer.metadata("source")? {
            Some(source) if source != **address => {
                let reason = format!("it caches {source}, not {address}; name another file");
                return Err(TileError::NotAStore { store: writer.name().clone(), reason });
            }
            Some(_) => {}
            None => {
                writer.set("source", address)?;
                writer.set("name", "tile cache")?;
            }
        }
        Ok(Self { file: Mutex::new(writer) })
    }

    /// Returns a tile that is there and sound.
    pub fn get(&self, tile: TileId) -> Result<Option<EncodedTile>, TileError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = file.sound_bytes(tile)? else { return Ok(None) };
        EncodedTile::new(bytes.into(), tile, file.name()).map(Some)
    }

    /// Stores a tile.
    pub fn put(&self, tile: TileId, encoded: &EncodedTile) -> Result<(), TileError> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).put([(tile, encoded)])
    }
}
