//! Satellite picture tiles, from wherever they are kept.
//!
//! A tile of the web-Mercator pyramid is the one unit of imagery: 256 px pictures named by zoom, column and row (row 0 in the
//! north). A store gives the *encoded* bytes of a tile; decoding, its limits and the pictures kept in RAM are the same
//! for every store and stand above it. A picture carries the SHA-256 of its bytes, because features are cached under what
//! was seen, not under a name. Whatever is wrong with one tile names the tile and the store and touches no other.

mod breaker;
mod decode;
mod disk_cache;
mod error;
mod folder;
mod http;
mod import;
mod keeper;
mod mbtiles;
mod mbtiles_writer;
mod open;
mod pack;
mod pmtiles;
mod ram;
mod served;

use std::sync::Arc;

use bytes::Bytes;
use smgeo_geo::{TileBounds, TileId};

pub use breaker::Breaker;
pub use decode::{TILE_BYTES_MAX, decode, decode_exact};
pub use disk_cache::DiskCache;
pub use error::TileError;
pub use folder::FolderTiles;
pub use http::{HttpConfig, HttpTiles};
pub use import::{ImportError, ImportReport, import};
pub use keeper::{TileKeeper, TileState};
pub use mbtiles::MbTiles;
pub use mbtiles_writer::MbTilesWriter;
pub use open::{TilesConfig, open, open_source};
pub use pack::{PackReport, PackStep, pack, tiles_in};
pub use pmtiles::PmTiles;
pub use ram::{RamTiles, TileCounts};

/// Gives the tiles of one store. Calls may block (disk, network): the frame path asks a [`TileKeeper`] instead.
pub trait TileSource: Send + Sync {
    /// Says what the store holds.
    fn info(&self) -> &TilesInfo;

    /// Returns the stored bytes of a tile.
    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError>;

    /// Returns the picture of a tile.
    fn tile(&self, tile: TileId) -> Result<TilePicture, TileError> {
        let encoded = self.encoded(tile)?;
        decode(&encoded, tile, self.info())
    }

    /// Counts the times that what was fetched could not be kept or read again; tiles flow on without it.
    fn cache_errors(&self) -> u64 {
        0
    }

    /// Says why what is fetched is not kept on disk, where that was asked for.
    fn cache_trouble(&self) -> Option<String> {
        None
    }
}

/// Says what a store holds.
#[derive(Clone, Debug)]
pub struct TilesInfo {
    /// The store's file or address, without secrets.
    pub name: Arc<str>,
    /// Identifies the imagery, as hex SHA-256 over what the store says of itself (metadata, size, first and last bytes, or the
    /// address). It names the source in what is published; each picture has its own exact hash.
    pub imagery: Arc<str>,
    /// The date of the imagery as its owner gives it, where it is known.
    pub date: Option<Arc<str>>,
    /// Says who is to be credited, where the store says so.
    pub attribution: Option<Arc<str>>,
    /// The area covered, where it is known.
    pub bounds: Option<TileBounds>,
    /// The smallest zoom held.
    pub zoom_min: u8,
    /// The largest zoom held.
    pub zoom_max: u8,
}

/// Is a tile as it is stored or sent.
#[derive(Clone, Debug)]
pub struct EncodedTile {
    /// PNG, JPEG or WebP.
    pub bytes: Bytes,
    /// `image/png`, `image/jpeg` or `image/webp`, by the bytes themselves.
    pub media_type: &'static str,
}

/// Is a decoded tile.
#[derive(Clone)]
pub struct TilePicture {
    /// Which tile it is.
    pub id: TileId,
    /// 256 x 256 x 3 bytes, row by row from the north-west, RGB.
    pub rgb: Arc<[u8]>,
    /// SHA-256 of the encoded bytes.
    pub sha256: [u8; 32],
    /// The date of the imagery, where it is known.
    pub date: Option<Arc<str>>,
}

#[cfg(test)]
mod tests;
