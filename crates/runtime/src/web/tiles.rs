//! Map tiles for the page, from whatever store the machine uses.

use bytes::Bytes;
use smgeo_geo::TileId;

/// Is a tile as the browser gets it.
#[derive(Clone, Debug)]
pub struct ServedTile {
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub media_type: &'static str,
    /// The encoded picture.
    pub bytes: Bytes,
}

/// Gives encoded tiles. A call may block; it runs on a thread for such calls.
pub trait TileServer: Send + Sync {
    /// Returns a tile, none if the store has none there, or a sentence that says what is wrong with it.
    fn tile_bytes(&self, tile: TileId) -> Result<Option<ServedTile>, String>;
}
