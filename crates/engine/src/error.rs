//! What can go wrong, said so that the reader knows which file or value it is and what to do about it.

use std::path::PathBuf;

/// An error of the engine. None of them but [`EngineError::Device`] leaves the engine in a bad state: the next call may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file of the package is not there.
    #[error("{} is missing; copy the whole package folder, or export the package again", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A file of the package cannot be read or written.
    #[error("{} cannot be accessed; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `package.toml` is not one this version reads.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Key, value and remedy.
        problem: String,
    },
    /// The content of a file is not what the manifest promises.
    #[error(
        "{} has SHA-256 {found} but package.toml says {expected}; the file was changed or its copy broke off: copy or export the package again",
        path.display()
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hexadecimal digest in the manifest.
        expected: String,
        /// Hexadecimal digest of the file.
        found: String,
    },
    /// The package is signed, and the signature is not valid under a trusted key or does not cover a file.
    #[error("{}: {problem}", path.display())]
    Signature {
        /// The signature, the list that it signs, or the file that differs.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A network file is no ONNX model with the inputs and outputs of this version.
    #[error("{}: {problem}; export the package again with the smgeo-train of this version", path.display())]
    Graph {
        /// The network file.
        path: PathBuf,
        /// The input, output or shape that differs.
        problem: String,
    },
    /// A backend refused a network or failed while running it.
    #[error("backend {backend} cannot {action}")]
    Backend {
        /// Name of the backend.
        backend: &'static str,
        /// What it was doing, as a verb phrase.
        action: String,
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A device failed while it computed. What it holds is lost for this process, which has to end and start anew.
    #[error("the device of backend {backend} failed to {action}")]
    Device {
        /// Name of the backend.
        backend: &'static str,
        /// What it was doing, as a verb phrase.
        action: String,
        /// What its driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library of a backend is not on this machine.
    #[error("the library {library} is not found; {remedy}")]
    LibraryMissing {
        /// The library.
        library: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What the loader said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A network gave something else than its interface promises.
    #[error("{network} gave {problem}; the package is damaged or its export is wrong")]
    Output {
        /// The network: `encoder` or `locator`.
        network: &'static str,
        /// What was given and what was expected.
        problem: String,
    },
    /// Pixels of the wrong amount.
    #[error("{bytes} bytes of RGB were given for a {TILE} x {TILE} image, {expected} are needed", TILE = crate::TILE_PX)]
    ImageSize {
        /// Given.
        bytes: usize,
        /// Needed.
        expected: usize,
    },
    /// A click that is not a point of its image.
    #[error(
        "click ({x}, {y}) is outside of the {width_px} x {height_px} image; give pixels from its upper left corner"
    )]
    Click {
        /// Horizontal position, px.
        x: f32,
        /// Vertical position, px.
        y: f32,
        /// Width of the image.
        width_px: u32,
        /// Height of the image.
        height_px: u32,
    },
    /// Features, mosaics or maps whose shapes do not belong together.
    #[error("{0}")]
    Shape(String),
    /// A number that must be finite or positive is not.
    #[error("{0}")]
    Number(String),
    /// A setting that cannot be.
    #[error("{0}")]
    Setting(String),
    /// Every cell of the search window is masked, so there is nothing to find.
    #[error("no cell of the search window holds imagery; load tiles for it first")]
    EmptyWindow,
    /// A picture that cannot be cut into tiles.
    #[error("{0}")]
    Picture(String),
    /// A file that was to be the feature cache is something else.
    #[error("{} is not a feature cache of smgeo; give another path, or delete it if nobody needs it", path.display())]
    NotACache {
        /// The file.
        path: PathBuf,
    },
    /// A file that was to be the feature cache is none that SQLite can read, and does not claim to be another application's.
    #[error("the feature cache {} is damaged; delete it, or move it away: what it held is encoded again", path.display())]
    CacheDamaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The feature cache on disk cannot be used. Features are then computed instead.
    #[error("the feature cache {} cannot be used ({action}); check the disk's free space and permissions, or delete the file", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
