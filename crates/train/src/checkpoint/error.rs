//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use smgeo_engine::EngineError;

/// Why a checkpoint cannot be read, or does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{}: cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("{}: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The pickle names something that is not plain data; nothing was executed.
    #[error("refused: the pickle asks for {0}, which is neither plain data nor a tensor")]
    Refused(String),
    /// The pickle cannot be followed.
    #[error("pickle: {0}")]
    Pickle(String),
    /// Names that the network has and the checkpoint has not, or the other way round.
    #[error("the checkpoint does not fit: missing {missing:?}, unknown {unknown:?}")]
    Names {
        /// Names of the network that the checkpoint lacks.
        missing: Vec<String>,
        /// Names of the checkpoint that the network lacks.
        unknown: Vec<String>,
    },
    /// A tensor of another shape.
    #[error("{name}: the network has shape {expected:?}, the checkpoint {found:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The checkpoint's shape.
        found: Vec<usize>,
    },
    /// A package of another network.
    #[error("{misfit}; {remedy}")]
    Network {
        /// What is missing, or has another shape.
        misfit: Box<CheckpointError>,
        /// What to change.
        remedy: String,
    },
    /// An engine package that the engine would not open.
    #[error("the package does not open")]
    Package(#[source] EngineError),
}
