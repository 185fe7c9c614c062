//! Orthophotos: pictures of the ground from above, too large for memory, that say where their pixels lie.
//!
//! A TIFF is read part by part; other formats are decoded whole. Tiles for flying are made of them in the runtime, and tiles for
//! training in `smgeo-train`: both read the same files, with the same refusals.

mod error;
mod georeference;
mod layout;
mod parts;
mod picture;
mod system;

pub use error::OrthoError;
pub use georeference::Georeference;
pub use picture::{Header, Picture};
pub use system::System;
