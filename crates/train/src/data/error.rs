//! What can be wrong with training data.

use std::path::PathBuf;

/// Why data could not be read, made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A picture file cannot be decoded or encoded.
    #[error("picture {path} cannot be read or written")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the codec says.
        #[source]
        source: image::ImageError,
    },
    /// A picture has not as many bytes as its size needs.
    #[error("a picture of {width} x {height} needs {} bytes and has {bytes}", width * height * 3)]
    Pixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// A file cannot be read.
    #[error("file {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("file {path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file would be written over.
    #[error("{path} exists already; name another folder, or delete it first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what its name says.
    #[error("file {path} is malformed: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A file is sound, but not of a kind that can be used.
    #[error("{path} cannot be used: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// An orthophoto cannot be used.
    #[error(transparent)]
    Ortho(#[from] smgeo_ortho::OrthoError),
    /// A picture cannot be compressed in memory.
    #[error("a picture cannot be compressed")]
    Codec(#[from] image::ImageError),
    /// A pair set without pairs.
    #[error(
        "no pair can be drawn: {0}. Give boxes of buildings (pseudo_boxes.json of orthophotos, boxes.json of scenes), or draw from \
         made towns; docs/training.md says how"
    )]
    NoPairs(&'static str),
    /// Nothing to draw samples from.
    #[error("no ground to draw samples from: {0}")]
    NoGround(String),
}
