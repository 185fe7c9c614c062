//! Keeps what a tile server gave in an MBTiles file.
//!
//! The file is an ordinary MBTiles file: it can be flown as it is. A tile whose bytes do not match their hash counts as
//! absent, and the next download replaces it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use smgeo_geo::TileId;

use super::{EncodedTile, MbTilesWriter, TileError};

/// Stands for imagery that nobody has dated.
const NO_DATE: &str = "";

/// Stores tiles of one server.
pub struct DiskCache {
    file: Mutex<MbTilesWriter>,
}

impl DiskCache {
    /// Opens or makes the file. A file of another address, or of imagery of another date, is refused: two kinds of imagery must not
    /// mix, nor the old be taken for the new.
    pub fn open(file: &Path, address: &Arc<str>, date: Option<&str>) -> Result<Self, TileError> {
        let writer = MbTilesWriter::open(file)?;
        let date = date.unwrap_or(NO_DATE);
        let Some(source) = writer.metadata("source")? else {
            writer.set("source", address)?;
            if date != NO_DATE {
                writer.set("date", date)?;
            }
            writer.set("name", "tile cache")?;
            return Ok(Self { file: Mutex::new(writer) });
        };
        let refused = |reason: String| TileError::OtherImagery { store: writer.name().clone(), reason };
        if source != **address {
            return Err(refused(format!(
                "it keeps tiles of {source}, not of {address}; name another file in tiles.cache, or delete it"
            )));
        }
        let kept = writer.metadata("date")?.unwrap_or_else(|| NO_DATE.to_owned());
        if kept != date {
            let told = |date: &str| if date == NO_DATE { "no date".to_owned() } else { format!("the date {date}") };
            let (kept, date) = (told(&kept), told(date));
            return Err(refused(format!(
                "it keeps imagery of {kept}, not {date}; name another file in tiles.cache, or delete it"
            )));
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
