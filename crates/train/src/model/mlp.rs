//! Two linear layers with an exact (erf) GELU between: the feed-forward network and each expert.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::kernels;
use super::linear::{self, emit_linear};
use crate::onnx::{Graph, Value};

/// `fc2(gelu(fc1(x)))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// C to hidden.
    pub fc1: Linear,
    /// Hidden to C.
    pub fc2: Linear,
}

impl Mlp {
    /// Random weights for `channels` -> `hidden` -> `channels`.
    pub fn new(channels: usize, hidden: usize, device: &Device) -> Self {
        Self {
            fc1: linear::linear(channels, hidden, true, device),
            fc2: linear::linear(hidden, channels, true, device),
        }
    }

    /// `[.., C]` to `[.., C]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match (&self.fc1.bias, &self.fc2.bias) {
            (Some(b1), Some(b2)) => {
                let layers = [(self.fc1.weight.val(), b1.val()), (self.fc2.weight.val(), b2.val())];
                kernels::mlp(x, layers)
            }
            _ => linear::forward(&self.fc2, kernels::gelu(linear::forward(&self.fc1, x))),
        }
    }
}

impl Mlp {
    /// Emits [`Mlp::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let hidden = emit_linear(&self.fc1, graph, &format!("{name}.fc1"), x);
        let active = graph.gelu(&hidden);
        emit_linear(&self.fc2, graph, &format!("{name}.fc2"), &active)
    }
}
