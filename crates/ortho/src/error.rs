//! What can be wrong with an orthophoto.

use std::path::{Path, PathBuf};

/// Says why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrthoError {
    /// The file cannot be read.
    #[error("file {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is no picture.
    #[error("picture {path} cannot be read")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the codec says.
        #[source]
        source: image::ImageError,
    },
    /// The file is no TIFF.
    #[error("TIFF {path} cannot be read")]
    Tiff {
        /// The file.
        path: PathBuf,
        /// What the codec says.
        #[source]
        source: tiff::TiffError,
    },
    /// A part of the picture cannot be decoded.
    #[error(
        "a part of {path} cannot be read; where it is only large, gdal_translate -co TILED=YES makes a picture that can"
    )]
    Part {
        /// The file.
        path: PathBuf,
        /// What the codec says.
        #[source]
        source: tiff::TiffError,
    },
    /// The file is sound, but not of a kind that is read.
    #[error("{path} cannot be used: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

impl OrthoError {
    pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn tiff(path: &Path) -> impl Fn(tiff::TiffError) -> Self + Copy {
        move |source| Self::Tiff { path: path.to_owned(), source }
    }
}
