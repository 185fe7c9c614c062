//! Trains SMGeo and produces engine packages.

pub mod ablation;
pub mod checkpoint;
pub mod data;
pub mod eval;
pub mod export;
pub mod loss;
pub mod model;
pub mod onnx;
pub mod training;
pub mod view;
