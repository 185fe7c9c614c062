//! What can go wrong in making a world's files.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The tile file exists already; it is never overwritten.
    #[error("{0} exists already; remove it or name another file")]
    Exists(PathBuf),
    /// The tile file cannot be written.
    #[error("tile file {path} cannot be written")]
    Tiles {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A picture cannot be encoded.
    #[error("a {px} pixel tile cannot be encoded")]
    Encode {
        /// Side of the picture.
        px: u32,
        /// What the encoder says.
        #[source]
        source: image::ImageError,
    },
    /// A zoom no town is drawn at.
    #[error("zoom {0} is out of range; use 14 to 21")]
    Zoom(u8),
}
