//! ONNX graphs, written node by node.
//!
//! Each layer of [`crate::model`] emits itself into a [`Graph`]; a test runs the file and the layers side by side. Where
//! runtimes differ, in the mixture of experts, the caller chooses a [`GmoeLowering`].

mod file;
mod graph;

pub use file::{GRAPH_NAME, file};
pub use graph::{Attribute, Dimension, Element, Graph, Value};

use serde::{Deserialize, Serialize};

/// How a GMoE block is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GmoeLowering {
    /// One node `smgeo::GMoE`, for the TensorRT plugin.
    Custom,
    /// Standard operators; each expert gathers its cells. Shapes depend on the data.
    Sparse,
    /// Standard operators; each cell gathers its experts' weights. Shapes are static.
    Static,
}
