//! What can go wrong with a GPU, said so that the reader knows what to do.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// A library that is loaded at run time is not there.
    #[error("{library} is not found; {remedy}")]
    LibraryMissing {
        /// The library.
        library: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What the loader said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The driver is there and no GPU.
    #[error("the NVIDIA driver finds no GPU; check `nvidia-smi`, and that the process may open /dev/nvidia*")]
    NoGpu,
    /// The driver refused something. The context is to be taken as broken.
    #[error("the GPU cannot {action}: {problem}")]
    Driver {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What the driver said.
        problem: String,
    },
    /// The GPU's memory is full. Nothing is lost by it.
    #[error(
        "the GPU has no memory left to {action}; end other programs on it, or lower assemble.window_tiles_max or engine.batch_images_max"
    )]
    MemoryFull {
        /// What was tried, as a verb phrase.
        action: &'static str,
    },
    /// TensorRT refused something.
    #[error("TensorRT cannot {action}: {problem}")]
    TensorRt {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What TensorRT logged.
        problem: String,
    },
    /// A network that cannot be rewritten for TensorRT.
    #[error("{0}; export the package again with the smgeo-train of this version")]
    Network(String),
    /// The engines of a package cannot be used.
    #[error("{0}")]
    Engines(String),
    /// A file cannot be read or written.
    #[error("{} cannot be accessed; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A launcher was given memory of the wrong length.
    #[error("{kernel}: `{operand}` has {found} elements, {expected} are needed")]
    Operand {
        /// The kernel.
        kernel: &'static str,
        /// The operand, as the kernel calls it.
        operand: &'static str,
        /// Elements given.
        found: usize,
        /// Elements needed.
        expected: usize,
    },
    /// A shape that a kernel cannot compute.
    #[error("{kernel}: {problem}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// The number, and what it has to be.
        problem: String,
    },
    /// The threads of a block parted at a barrier, or copies were left under way: a defect of the kernel.
    #[error("{0}: the threads of a block parted at a barrier, or left copies under way")]
    Barrier(&'static str),
    /// A kernel wrote outside of the memory it was given: a defect of the kernel or its launcher.
    #[error("{0}: wrote outside of its memory")]
    OutOfBounds(&'static str),
}
