//! The map as the locator sees it: which tiles are read, which are encoded, and search windows laid of their features.
//!
//! A target's window stays where it is from frame to frame, or goes to and fro between two, so the windows of the last second are
//! kept and used again as long as the same features lie under them.

use std::sync::Arc;

use smgeo_engine::{EncoderHash, EngineError, FeatureCache, FeatureKey, Features, ImageryHash, Mosaic};
use smgeo_geo::{TileId, TileWindow};

use crate::tiles::{TileKeeper, TilePicture, TileState};

/// Holds the map's tiles and their features.
pub struct Atlas {
    keeper: Arc<TileKeeper>,
    features: Arc<FeatureCache>,
    encoder: EncoderHash,
    laid: Vec<Laid>,
}

/// Is a window that was laid, and what it was laid of.
struct Laid {
    window: TileWindow,
    tiles: Vec<Option<Features>>,
    mosaic: Mosaic,
    unused_batches: u32,
}

/// Tiles looked up on disk in one step at most, some half a millisecond each.
const LOOKUPS_A_STEP: usize = 8;

/// Batches after which a window that no query asked about is forgotten: a second of flight.
const UNUSED_BATCHES_MAX: u32 = 25;

/// Windows kept that no query asks about now: a swinging camera lays many in a second, of some megabytes each.
const UNUSED_WINDOWS_MAX: usize = 8;

/// Is the state of a query's window.
pub enum Gathered {
    /// Every tile that the map has is encoded.
    Ready {
        /// The window's features.
        mosaic: Mosaic,
        /// The tiles that the map does not have, or that cannot be read.
        missing: Vec<TileId>,
        /// How many of these cannot be read.
        unread: usize,
    },
    /// Some of its tiles are still to be read or encoded.
    Pending,
    /// The map has none of its tiles, or `unread` of them cannot be read.
    Empty { unread: usize },
}

/// Is what is known of one tile.
enum Known {
    Encoded(Features),
    Pending,
    Missing,
    Unread,
}

impl Atlas {
    /// Makes an atlas of the tiles that `keeper` reads and what `encoder` makes of them.
    pub fn new(keeper: Arc<TileKeeper>, features: Arc<FeatureCache>, encoder: EncoderHash) -> Self {
        Self { keeper, features, encoder, laid: Vec::new() }
    }

    /// Asks for tiles to be read: first ones first.
    pub fn want(&self, first: &[TileId], then: &[TileId]) {
        let all: Vec<TileId> = first.iter().chain(then).copied().collect();
        self.keeper.want(&all);
    }

    /// Lists pictures of the first `count` of `tiles` that are read but not encoded. Those encoded before a flight are taken from disk
    /// on the way, a few a step.
    pub fn fresh(&self, tiles: &[TileId], count: usize) -> Vec<TilePicture> {
        let pictures = tiles.iter().filter_map(|tile| match self.keeper.state(*tile) {
            TileState::Ready(picture) => Some(picture),
            _ => None,
        });
        let not_in_memory = pictures.filter(|picture| !self.features.is_in_memory(&self.key(picture)));
        let looked_up = not_in_memory.take(LOOKUPS_A_STEP.max(count));
        looked_up.filter(|picture| self.features.get(&self.key(picture)).is_none()).take(count).collect()
    }

    /// Keeps what was encoded.
    pub fn put(&self, picture: &TilePicture, features: Features) {
        self.features.put(self.key(picture), features);
    }

    /// Gathers the windows of one batch. Queries with the same window get clones of one mosaic, and so one run of the locator.
    pub fn gather(&mut self, windows: impl Iterator<Item = TileWindow>) -> Result<Vec<Gathered>, EngineError> {
        self.laid.iter_mut().for_each(|laid| laid.unused_batches += 1);
        let gathered = windows.map(|window| self.window(window)).collect();
        self.laid.retain(|laid| laid.unused_batches <= UNUSED_BATCHES_MAX);
        self.laid.sort_by_key(|laid| laid.unused_batches);
        let asked = self.laid.partition_point(|laid| laid.unused_batches == 0);
        self.laid.truncate(asked + UNUSED_WINDOWS_MAX);
        gathered
    }

    fn window(&mut self, window: TileWindow) -> Result<Gathered, EngineError> {
        let (mut tiles, mut missing, mut unread) = (Vec::new(), Vec::new(), 0);
        for tile in window.tiles() {
            match self.known(tile) {
                Known::Encoded(features) => tiles.push(Some(features)),
                known @ (Known::Missing | Known::Unread) => {
                    tiles.push(None);
                    missing.push(tile);
                    unread += usize::from(matches!(known, Known::Unread));
                }
                Known::Pending => return Ok(Gathered::Pending),
            }
        }
        if missing.len() == tiles.len() {
            return Ok(Gathered::Empty { unread });
        }
        if let Some(laid) = self.laid.iter_mut().find(|laid| laid.window == window && laid.is_of(&tiles)) {
            laid.unused_batches = 0;
            return Ok(Gathered::Ready { mosaic: laid.mosaic.clone(), missing, unread });
        }
        let present: Vec<Option<&Features>> = tiles.iter().map(Option::as_ref).collect();
        let mosaic = Mosaic::assemble(window.rows() as usize, window.columns() as usize, &present)?;
        self.laid.push(Laid { window, tiles, mosaic: mosaic.clone(), unused_batches: 0 });
        Ok(Gathered::Ready { mosaic, missing, unread })
    }

    fn known(&self, tile: TileId) -> Known {
        match self.keeper.state(tile) {
            TileState::Ready(picture) => match self.features.get(&self.key(&picture)) {
                Some(features) => Known::Encoded(features),
                None => Known::Pending,
            },
            TileState::Loading | TileState::Unwanted => Known::Pending,
            TileState::Failed(error) if error.is_missing() => Known::Missing,
            TileState::Failed(_) => Known::Unread,
        }
    }

    fn key(&self, picture: &TilePicture) -> FeatureKey {
        feature_key(picture, self.encoder)
    }
}

/// Returns what a tile's features are kept under.
pub fn feature_key(picture: &TilePicture, encoder: EncoderHash) -> FeatureKey {
    let TileId { z, x, y } = picture.id;
    // Zoom in the upper bits, then column and row: one number for each tile of the pyramid.
    let tile = u64::from(z) << 58 | u64::from(x) << 29 | u64::from(y);
    FeatureKey { tile, imagery: ImageryHash(picture.sha256), encoder }
}

impl Laid {
    fn is_of(&self, tiles: &[Option<Features>]) -> bool {
        self.tiles.len() == tiles.len()
            && self.tiles.iter().zip(tiles).all(|(old, new)| match (old, new) {
                (Some(old), Some(new)) => old.shares_with(new),
                (old, new) => old.is_none() && new.is_none(),
            })
    }
}

#[cfg(test)]
#[path = "atlas_tests.rs"]
mod tests;
