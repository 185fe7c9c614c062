//! TensorRT in three layers: [`sys`], the C functions of our library over it; `result`, the same with errors; and the types
//! here, which own what they free.
//!
//! TensorRT's own interface is C++ whose layout differs between flavours and major versions. `tensorrt/shim.cpp` is compiled
//! against the headers of one of them and gives C functions; `scripts/build-tensorrt.sh` makes the library, which also
//! holds the plugin. Everything is opened at run time, so this compiles and runs where nothing of it exists.

pub mod engine;
pub mod libraries;
pub mod library;
mod result;
pub mod sys;

pub use engine::{Context, Engine, Kernels, Tensor, TensorElement};
pub use libraries::{Flavour, Libraries};
pub use library::{BuildRequest, Built, Log, Profile, TensorRt};
