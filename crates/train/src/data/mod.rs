//! Training data: grounds with pictures of several dates, and everything that turns them into batches and pair sets.
//!
//! A *ground* is any piece of the Earth, real or made, on one pixel grid. A *shot* photographs it, rectifies the surroundings
//! of a click as the runtime does, and knows the answer. A *sampler* lays windows and draws shots; batch `n` depends on the
//! seed and on `n` alone.

pub mod batch;
pub mod camera;
pub mod crop;
pub mod cvogl;
pub mod dubai;
mod error;
pub mod feed;
pub mod fingerprint;
pub mod ground;
pub mod library;
pub mod look;
pub mod naip;
pub mod ortho;
pub mod pair_sampler;
pub mod pair_set;
pub mod planar;
mod raster;
pub mod recipe;
pub mod region;
pub mod relief;
pub mod sampler;
pub mod shot;
pub mod skyline;
pub mod town;
pub mod town_folder;
pub mod video;

pub use error::DataError;
pub use raster::Raster;
