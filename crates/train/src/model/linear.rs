//! Linear layers and the first weights of all layers. Xavier keeps the variance of narrow layers, where Swin's fixed deviation of 0.02 would lose it.

use burn::module::{Initializer, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::kernels;
use crate::onnx::{Graph, Value};

/// A linear layer with Xavier-normal weights and a zero bias.
pub fn linear(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Linear {
    let xavier = Initializer::XavierNormal { gain: 1.0 };
    Linear {
        weight: xavier.init_with([inputs, outputs], Some(inputs), Some(outputs), device),
        bias: bias.then(|| Initializer::Zeros.init([outputs], device)),
    }
}

/// A linear layer whose weights are small normal numbers of deviation `sigma`, with a constant bias.
pub fn near_constant(inputs: usize, outputs: usize, sigma: f64, bias: f64, device: &Device) -> Linear {
    let normal = Initializer::Normal { mean: 0.0, std: sigma };
    Linear {
        weight: normal.init([inputs, outputs], device),
        bias: Some(Initializer::Constant { value: bias }.init([outputs], device)),
    }
}

/// Weights `[outputs, inputs, k, k]` of a convolution that keeps the variance through a ReLU (He et al. 2015).
pub fn convolution(outputs: usize, inputs: usize, k: usize, device: &Device) -> Param<Tensor<4>> {
    let he = Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false };
    he.init_with([outputs, inputs, k, k], Some(inputs * k * k), None, device)
}

/// Runs a linear layer over the last axis.
pub fn forward<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    kernels::linear(x, layer.weight.val(), layer.bias.as_ref().map(Param::val))
}

/// The same layer less the mean over its outputs.
pub fn centred(layer: &Linear) -> Linear {
    let weight = layer.weight.val();
    let less_mean = |bias: &Param<Tensor<1>>| Param::from_tensor(bias.val() - bias.val().mean_dim(0));
    Linear { weight: Param::from_tensor(weight.clone() - weight.mean_dim(1)), bias: layer.bias.as_ref().map(less_mean) }
}

/// Emits a linear layer over the last axis.
pub fn emit_linear(layer: &Linear, graph: &mut Graph, name: &str, x: &Value) -> Value {
    let weight = graph.weights(&format!("{name}.weight"), layer.weight.val());
    let product = graph.matmul(x, &weight);
    match &layer.bias {
        Some(bias) => {
            let bias = graph.weights(&format!("{name}.bias"), bias.val());
            graph.add(&product, &bias)
        }
        None => product,
    }
}
