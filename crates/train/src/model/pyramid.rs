//! Joins the stage 2 map with the stage 3 map, brought up to its resolution, for the template locator.
//!
//! Stage 2 keeps roofs of 10 to 20 m apart (stride 16), stage 3 knows more of what is around. Each stage 3 token gives
//! its four children by one linear layer; in Z-order the children already stand where they belong.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::linear::{self, emit_linear};
use super::{Config, Norm};
use crate::onnx::{Graph, Value};

/// Stage 2 and stage 3 maps to C channels at stride 16.
#[derive(Module, Debug)]
pub struct Pyramid {
    /// Over stage 2's channels.
    pub fine_norm: Norm,
    /// Stage 2's width to C.
    pub fine: Linear,
    /// Over stage 3's channels.
    pub coarse_norm: Norm,
    /// Stage 3's width to 4C: the four children.
    pub coarse: Linear,
    /// Over C.
    pub norm: Norm,
}

impl Pyramid {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let channels = config.template.channels;
        Self {
            fine_norm: Norm::new(config.width(2), device),
            fine: linear::linear(config.width(2), channels, true, device),
            coarse_norm: Norm::new(config.width(3), device),
            coarse: linear::linear(config.width(3), 4 * channels, true, device),
            norm: Norm::new(channels, device),
        }
    }

    /// Stage 2 `[B, 4N, 4E]` and stage 3 `[B, N, 8E]` to `[B, 4N, C]`.
    pub fn forward(&self, fine: Tensor<3>, coarse: Tensor<3>) -> Tensor<3> {
        let fine = linear::forward(&self.fine, self.fine_norm.forward(fine));
        let coarse = linear::forward(&self.coarse, self.coarse_norm.forward(coarse));
        let dims = fine.dims();
        self.norm.forward(fine + coarse.reshape(dims))
    }
}

impl Pyramid {
    /// Emits [`Pyramid::forward`]; `tokens` is stage 2's number.
    pub fn emit(&self, graph: &mut Graph, name: &str, fine: &Value, coarse: &Value, tokens: usize) -> Value {
        let [_, channels] = self.fine.weight.dims();
        let fine = self.fine_norm.emit(graph, &format!("{name}.fine_norm"), fine);
        let fine = emit_linear(&self.fine, graph, &format!("{name}.fine"), &fine);
        let coarse = self.coarse_norm.emit(graph, &format!("{name}.coarse_norm"), coarse);
        let coarse = emit_linear(&self.coarse, graph, &format!("{name}.coarse"), &coarse);
        let coarse = graph.reshape(&coarse, &[-1, tokens as i64, channels as i64]);
        let joined = graph.add(&fine, &coarse);
        self.norm.emit(graph, &format!("{name}.norm"), &joined)
    }
}
