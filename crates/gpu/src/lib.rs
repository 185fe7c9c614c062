//! SMGeo on NVIDIA: the CUDA kernels with a launcher each, and what it takes to run a package through TensorRT.
//!
//! A kernel trusts what it is given; the launcher of the same name checks every length before. Launchers speak to a
//! [`Device`]: a GPU (feature `cuda`) or the host, which runs the same kernel source (feature `emulation`). [`conformance`]
//! holds either against references in f64. No library of NVIDIA's is linked: where one is missing, a call says which
//! and how to get it.
//!
//! This is the one crate with `unsafe` and C++.

#![allow(unsafe_code, reason = "kernels and foreign libraries")]
#![deny(clippy::undocumented_unsafe_blocks)]
#![warn(missing_docs)]

#[cfg(feature = "cuda")]
pub mod backend;
pub mod builder;
#[cfg(feature = "cuda")]
pub mod choice;
pub mod conformance;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod element;
#[cfg(feature = "emulation")]
pub mod emulation;
pub mod engines;
pub mod error;
pub mod fatbin;
pub mod folders;
pub mod gmoe;
pub mod gmoe_combine;
pub mod gmoe_fc1;
pub mod gmoe_fc2;
pub mod gmoe_route;
pub mod kernel_cache;
pub mod key;
pub mod lowering;
pub mod preprocess;
pub mod probe;
pub mod roofline;
pub mod target;
pub mod tensorrt;
pub mod tile_slots;
pub mod window_attention;

pub use crate::device::{Buffer, Device};
pub use crate::element::Element;
pub use crate::error::GpuError;
pub use crate::gmoe::{GmoeShape, Layer, Routing, Workspace, gmoe};
pub use crate::gmoe_combine::gmoe_combine;
pub use crate::gmoe_fc1::gmoe_fc1;
pub use crate::gmoe_fc2::gmoe_fc2;
pub use crate::gmoe_route::gmoe_route;
pub use crate::preprocess::{ClickedPixel, FramePyramid, Nv12, YuvColours, preprocess};
pub use crate::probe::Probe;
pub use crate::window_attention::{AttentionShape, window_attention};
