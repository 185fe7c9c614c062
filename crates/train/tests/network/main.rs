//! The network against golden numbers of an independent reference, against its own ONNX files, and against other people's
//! checkpoint files.

mod formula;
mod goldens;
mod gradients;
mod onnx;
mod package;
mod paper;
mod readers;
mod released;
mod scalars;
mod tiles;
