//! Weights by name: of the network, in safetensors files, in PyTorch files, and of other people's networks.
//!
//! Names and layouts are those of a PyTorch state dict of the same network (a linear layer's weight is `[out, in]`), so a
//! file can be looked at with anyone's tools.

mod archive;
mod error;
mod import;
mod misfit;
mod origin;
mod package;
mod parameters;
mod pickle;
mod weights;

pub use archive::Archive;
pub use error::CheckpointError;
pub use import::{released, swin};
pub use origin::{Origin, recognised};
pub use package::package;
pub use parameters::{LoadReport, Parameter, gradients, load, parameters, weights_of};
pub use pickle::{Element, Items, Name, Object, Storage, TensorView};
pub use weights::{Weight, Weights};
