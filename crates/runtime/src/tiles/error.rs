//! What can be wrong with a tile or the store it comes from.

use std::io;
use std::sync::Arc;

use smgeo_geo::TileId;

/// Says what is wrong, of which tile, in which store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The store is healthy and has no such tile.
    #[error("tile {tile} is not in {store}")]
    Missing {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
    },
    /// The bytes are no picture.
    #[error("tile {tile} of {store} cannot be decoded: {reason}; fetch it again")]
    Corrupt {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// What the decoder said.
        reason: String,
    },
    /// The picture has a size that no tile has.
    #[error("tile {tile} of {store} is {width_px} x {height_px} px; squares of 256, 512 or 1024 px are read")]
    Size {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// Width of the picture found.
        width_px: u32,
        /// Height of the picture found.
        height_px: u32,
    },
    /// Heights do not survive what pictures do: lossy compression, and averaging down.
    #[error("tile {tile} of {store} is {found}; elevation is read from PNG tiles of 256 px")]
    Heights {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// What was found instead.
        found: String,
    },
    /// The bytes are of a kind that is not read.
    #[error("tile {tile} of {store} is {found}; PNG, JPEG and WebP are read")]
    Format {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// What was found instead.
        found: String,
    },
    /// The bytes are more than any honest tile has.
    #[error("tile {tile} of {store} has more than {bytes_max} bytes")]
    TooLarge {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// The limit it broke.
        bytes_max: usize,
    },
    /// The bytes are not the ones that were stored.
    #[error("tile {tile} of {store} does not match the hash stored with it: the file is damaged")]
    Altered {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
    },
    /// The file or address is no store of picture tiles.
    #[error("{store} is no store of picture tiles: {reason}")]
    NotAStore {
        /// The store's name.
        store: Arc<str>,
        /// What was found, and the way out.
        reason: String,
    },
    /// The cache keeps tiles of another server, or of imagery of another date.
    #[error("the tile cache {store} is not of this imagery: {reason}")]
    OtherImagery {
        /// The cache's file.
        store: Arc<str>,
        /// What it keeps, and the way out.
        reason: String,
    },
    /// The store cannot be read or written.
    #[error("{store} cannot be used: {reason}")]
    Io {
        /// The store's name.
        store: Arc<str>,
        /// What the system or the database said.
        reason: String,
    },
    /// The server answered, but with no tile.
    #[error("tile {tile}: {store} answered {answer}")]
    Refused {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// The status or media type it answered with.
        answer: String,
    },
    /// The server did not answer.
    #[error("tile {tile}: {store} did not answer: {reason}")]
    Unreachable {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// What the network said.
        reason: String,
    },
    /// The server failed too often in a row and is left alone for a while.
    #[error("tile {tile}: {store} failed {failures} times in a row and is left alone for {wait_s:.0} s")]
    LeftAlone {
        /// The tile asked for.
        tile: TileId,
        /// The store's name.
        store: Arc<str>,
        /// Failures in a row.
        failures: u32,
        /// Seconds until it is asked again.
        wait_s: f64,
    },
}

impl TileError {
    /// Every word that [`Self::cause`] may give.
    pub const CAUSES: [&str; 13] = [
        "missing",
        "corrupt",
        "size",
        "heights",
        "format",
        "too_large",
        "altered",
        "not_a_store",
        "other_imagery",
        "io",
        "refused",
        "unreachable",
        "left_alone",
    ];

    /// Names the cause in one word, for the label of a counter.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Corrupt { .. } => "corrupt",
            Self::Size { .. } => "size",
            Self::Heights { .. } => "heights",
            Self::Format { .. } => "format",
            Self::TooLarge { .. } => "too_large",
            Self::Altered { .. } => "altered",
            Self::NotAStore { .. } => "not_a_store",
            Self::OtherImagery { .. } => "other_imagery",
            Self::Io { .. } => "io",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::LeftAlone { .. } => "left_alone",
        }
    }

    /// Says whether a healthy store has no such tile: asking again will not help.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Makes the error of a system call on `store`.
    pub(crate) fn io(store: &Arc<str>, error: &io::Error) -> Self {
        Self::Io { store: store.clone(), reason: error.to_string() }
    }

    /// Makes the error of a database call on `store`.
    pub(crate) fn database(store: &Arc<str>, error: &rusqlite::Error) -> Self {
        Self::Io { store: store.clone(), reason: error.to_string() }
    }
}
