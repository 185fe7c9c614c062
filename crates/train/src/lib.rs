//! Trains SMGeo and produces engine packages.

pub mod checkpoint;
pub mod export;
pub mod loss;
pub mod model;
pub mod onnx;
