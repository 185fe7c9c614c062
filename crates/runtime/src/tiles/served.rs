//! The page's map shows the same tiles that the network sees.

use smgeo_geo::TileId;

use super::{RamTiles, TileSource};
use crate::web::tiles::{ServedTile, TileServer};

impl TileServer for RamTiles {
    fn tile_bytes(&self, tile: TileId) -> Result<Option<ServedTile>, String> {
        match self.encoded(tile) {
            Ok(encoded) => Ok(Some(ServedTile { media_type: encoded.media_type, bytes: encoded.bytes })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
