//! Decoded pictures kept in RAM, within a budget of bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use smgeo_geo::TileId;

use super::{EncodedTile, TileError, TilePicture, TileSource, TilesInfo};

/// Puts RAM before a store.
pub struct RamTiles {
    store: Box<dyn TileSource>,
    pictures: Cache<TileId, TilePicture>,
    counts: Mutex<TileCounts>,
}

/// Counts what was asked of a store.
#[derive(Clone, Debug, Default)]
pub struct TileCounts {
    /// Pictures found in RAM.
    pub from_ram: u64,
    /// Pictures read and decoded.
    pub from_store: u64,
    /// Failures by cause, as [`TileError::cause`] names them.
    pub failed: BTreeMap<&'static str, u64>,
}

impl RamTiles {
    /// Keeps at most `bytes_max` of pictures.
    pub fn new(store: Box<dyn TileSource>, bytes_max: u64) -> Self {
        let weigh = |_: &TileId, picture: &TilePicture| u32::try_from(picture.rgb.len()).unwrap_or(u32::MAX);
        // The least recently used goes first: by how often tiles are used, moka's default, those of new ground would be turned away.
        let pictures =
            Cache::builder().max_capacity(bytes_max).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build();
        Self { store, pictures, counts: Mutex::default() }
    }

    /// Returns a picture that is in RAM already, without waiting.
    pub fn peek(&self, tile: TileId) -> Option<TilePicture> {
        self.pictures.get(&tile)
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> TileCounts {
        self.counts_mut().clone()
    }

    fn counts_mut(&self) -> std::sync::MutexGuard<'_, TileCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TileSource for RamTiles {
    fn info(&self) -> &TilesInfo {
        self.store.info()
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        self.store.encoded(tile)
    }

    fn tile(&self, tile: TileId) -> Result<TilePicture, TileError> {
        if let Some(picture) = self.pictures.get(&tile) {
            self.counts_mut().from_ram += 1;
            return Ok(picture);
        }
        match self.store.tile(tile) {
            Ok(picture) => {
                self.pictures.insert(tile, picture.clone());
                self.counts_mut().from_store += 1;
                Ok(picture)
            }
            Err(error) => {
                *self.counts_mut().failed.entry(error.cause()).or_default() += 1;
                Err(error)
            }
        }
    }

    fn cache_errors(&self) -> u64 {
        self.store.cache_errors()
    }

    fn cache_trouble(&self) -> Option<String> {
        self.store.cache_trouble()
    }
}

impl<T: TileSource + ?Sized> TileSource for Arc<T> {
    fn info(&self) -> &TilesInfo {
        (**self).info()
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        (**self).encoded(tile)
    }

    fn tile(&self, tile: TileId) -> Result<TilePicture, TileError> {
        (**self).tile(tile)
    }

    fn cache_errors(&self) -> u64 {
        (**self).cache_errors()
    }

    fn cache_trouble(&self) -> Option<String> {
        (**self).cache_trouble()
    }
}
