//! Joins 2 x 2 tokens into one of twice the width. In Z-order the four stand side by side, so joining is a reshape.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::Norm;
use super::linear::{self, emit_linear};
use crate::onnx::{Graph, Value};

/// LayerNorm over 4C, then 4C to 2C without bias.
#[derive(Module, Debug)]
pub struct PatchMerge {
    /// Over the four tokens' channels.
    pub norm: Norm,
    /// 4C to 2C.
    pub reduction: Linear,
}

impl PatchMerge {
    /// Random weights for tokens of `channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            norm: Norm::new(4 * channels, device),
            reduction: linear::linear(4 * channels, 2 * channels, false, device),
        }
    }

    /// `[B, N, C]` to `[B, N / 4, 2C]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let joined = x.reshape([batch, tokens / 4, 4 * channels]);
        linear::forward(&self.reduction, self.norm.forward(joined))
    }
}

impl PatchMerge {
    /// Emits [`PatchMerge::forward`] for a map of `tokens`.
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value, tokens: usize) -> Value {
        let [joined, _] = self.reduction.weight.dims();
        let x = graph.reshape(x, &[-1, tokens as i64 / 4, joined as i64]);
        let x = self.norm.emit(graph, &format!("{name}.norm"), &x);
        emit_linear(&self.reduction, graph, &format!("{name}.reduction"), &x)
    }
}
