//! Layer normalisation over the channels (the last axis).

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::kernels;
use crate::onnx::{Attribute, Graph, Value};

/// `(x - mean) / sqrt(variance + 1e-5) * weight + bias` over the last axis (Ba et al. 2016).
#[derive(Module, Debug)]
pub struct Norm {
    /// Scale `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Offset `[C]`.
    pub bias: Param<Tensor<1>>,
}

impl Norm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;

    /// The identity scale and offset for `channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self { weight: Initializer::Ones.init([channels], device), bias: Initializer::Zeros.init([channels], device) }
    }

    /// Normalises `[.., C]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernels::layer_norm(x, self.weight.val(), self.bias.val(), Self::EPSILON)
    }
}

impl Norm {
    /// Emits [`Norm::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let weight = graph.weights(&format!("{name}.weight"), self.weight.val());
        let bias = graph.weights(&format!("{name}.bias"), self.bias.val());
        let attributes = vec![Attribute::Int("axis", -1), Attribute::Float("epsilon", Self::EPSILON as f32)];
        graph.node("LayerNormalization", &[x, &weight, &bias], attributes)
    }

    /// Emits the same over the channels of planes `[B, C, H, W]` whose mean over them is 0, for which ONNX has no operator. Runtimes
    /// are slow at means over planes, so the variance is a convolution.
    pub fn emit_centred_planes(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let [channels] = self.weight.dims();
        let row = |values: &Param<Tensor<1>>| values.val().reshape([1, channels, 1, 1]);
        let weight = graph.weights(&format!("{name}.weight"), row(&self.weight));
        let bias = graph.weights(&format!("{name}.bias"), row(&self.bias));
        let squared = graph.multiply(x, x);
        let shares = graph.floats("shares", &[1, channels, 1, 1], &vec![1.0 / channels as f32; channels]);
        let variance = graph.node("Conv", &[&squared, &shares], vec![Attribute::Ints("kernel_shape", vec![1; 2])]);
        let epsilon = graph.number(Self::EPSILON as f32);
        let variance = graph.add(&variance, &epsilon);
        let deviation = graph.unary("Sqrt", &variance);
        let unit = graph.divide(x, &deviation);
        let scaled = graph.multiply(&unit, &weight);
        graph.add(&scaled, &bias)
    }
}
