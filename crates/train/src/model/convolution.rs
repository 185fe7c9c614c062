//! A convolution with stride 1 that keeps the map's size.

use burn::module::{Initializer, Module, Param};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::{kernels, linear};
use crate::onnx::{Attribute, Graph, Value};

/// `k` x `k`, zero-padded by `k / 2`.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[outputs, inputs, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`.
    pub bias: Param<Tensor<1>>,
}

impl Convolution {
    /// Random weights.
    pub fn new(inputs: usize, outputs: usize, k: usize, device: &Device) -> Self {
        Self {
            weight: linear::convolution(outputs, inputs, k, device),
            bias: Initializer::Zeros.init([outputs], device),
        }
    }

    /// Near-zero weights with a constant bias: a head's last layer.
    pub fn near_constant(inputs: usize, outputs: usize, bias: f64, device: &Device) -> Self {
        let spread = Initializer::Normal { mean: 0.0, std: 0.01 };
        Self {
            weight: spread.init([outputs, inputs, 1, 1], device),
            bias: Initializer::Constant { value: bias }.init([outputs], device),
        }
    }

    /// `[B, inputs, H, W]` to `[B, outputs, H, W]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let [_, _, k, _] = weight.dims();
        let options = ConvOptions::new([1, 1], [k / 2, k / 2], [1, 1], 1);
        conv2d(x, weight, Some(self.bias.val()), options)
    }

    /// The same for few channels, `[B, inputs, H, W]` to `[B, H, W, outputs]`: channels last.
    pub fn forward_narrow(&self, x: Tensor<4>) -> Tensor<4> {
        kernels::convolution(x, self.weight.val(), self.bias.val())
    }
}

impl Convolution {
    /// The same less the mean over its outputs.
    pub fn centred(&self) -> Self {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        Self {
            weight: Param::from_tensor(weight.clone() - weight.mean_dim(0)),
            bias: Param::from_tensor(bias.clone() - bias.mean_dim(0)),
        }
    }

    /// Emits [`Convolution::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        self.emit_scaled(graph, name, x, None)
    }

    /// Emits the convolution followed by `y * scale + offset` per channel, folded into one.
    pub fn emit_scaled(
        &self,
        graph: &mut Graph,
        name: &str,
        x: &Value,
        affine: Option<(Tensor<1>, Tensor<1>)>,
    ) -> Value {
        let (mut weight, mut bias) = (self.weight.val(), self.bias.val());
        let [outputs, _, k, _] = weight.dims();
        if let Some((scale, offset)) = affine {
            weight = weight * scale.clone().reshape([outputs, 1, 1, 1]);
            bias = bias * scale + offset;
        }
        let weight = graph.weights(&format!("{name}.weight"), weight);
        let bias = graph.weights(&format!("{name}.bias"), bias);
        let pad = (k / 2) as i64;
        let attributes =
            vec![Attribute::Ints("pads", vec![pad; 4]), Attribute::Ints("kernel_shape", vec![k as i64; 2])];
        graph.node("Conv", &[x, &weight, &bias], attributes)
    }
}
