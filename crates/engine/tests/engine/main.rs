//! The engine's tests, in one program: packages, backends and decoding, on networks small enough to be written here.

mod backend;
mod batched;
mod cut;
mod decode;
mod disk_cache;
mod gate;
mod matched_filter;
#[cfg(feature = "openvino")]
mod openvino;
mod package;
mod signature;
