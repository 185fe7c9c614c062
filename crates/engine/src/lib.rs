//! What SMGeo takes and gives. Everything the encoder sees is one 256 px image, a query with its click or a map tile; a
//! search window is a mosaic of tile features; the locator matches a query with a mosaic; [`decode`] reads the answer.
//!
//! ```text
//! EncoderImage --encode--> Features --Mosaic::assemble--> Mosaic
//!                             |                             |
//!                             +----------- locate ----------+--> Maps --decode--> Located
//! ```
//!
//! A [`Package`] is the pair of networks with what is known about them; a [`Backend`] runs it. Tile features never depend
//! on a query, so they are computed once and kept in a [`FeatureCache`]. This crate knows no Earth, no camera and no clock:
//! its only unit of length is the pixel of the query or of the reference mosaic.

#![warn(missing_docs)]

pub mod backend;
pub mod batched;
pub mod cache;
pub mod config;
pub mod conformance;
mod cut;
pub mod decode;
pub mod disk_cache;
pub mod error;
pub mod features;
mod framing;
pub mod gate;
pub mod graph;
pub mod image;
mod int8;
pub mod mosaic;
#[cfg(feature = "openvino")]
pub mod openvino;
pub mod package;
pub mod pairs;
pub mod pose_search;
pub mod posterior;
pub mod rectify;
pub mod rten;
pub mod signature;
pub mod stills;
mod vector;
pub mod witness;

pub use crate::backend::{Backend, BackendInfo, LocateRequest, Maps};
pub use crate::cache::{EncoderHash, FeatureCache, FeatureKey, ImageryHash};
pub use crate::config::{BackendName, EngineConfig, Precision};
pub use crate::decode::{Located, decode};
pub use crate::disk_cache::DiskCache;
pub use crate::error::EngineError;
pub use crate::features::Features;
pub use crate::image::{EncoderImage, View};
pub use crate::mosaic::Mosaic;
pub use crate::package::{Fusion, Manifest, Package, PackageHash};
pub use crate::posterior::{Mode, Posterior};
pub use crate::rten::{RtenBackend, RtenConfig};
pub use crate::signature::{Signature, TrustedKey};

/// Edge of every image the encoder sees, query or tile, px.
pub const TILE_PX: usize = 256;
