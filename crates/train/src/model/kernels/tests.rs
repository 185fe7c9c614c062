//! Each fused loop against burn's operators: values, and gradients of every input.

use burn::tensor::{Device, Distribution, Tensor, activation};

use super::{attention, attention::composed, convolution, gather_tokens, gelu, layer_norm, linear, mlp, select_rows};

fn random<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(dims, Distribution::Normal(0.0, 1.0), device).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(1.0_f32, |max, value| max.max(value.abs()));
    let worst = found.iter().zip(wanted).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(worst <= 2e-5 * largest, "{what}: off by {worst}, values up to {largest}");
}

/// Compares outputs, and the gradients of `inputs` under the same random weighting of the outputs.
#[track_caller]
fn check<const D: usize>(
    fused: Tensor<D>,
    composed: Tensor<D>,
    gradients: impl Fn(&burn::tensor::Gradients) -> Vec<Vec<f32>>,
) {
    assert_close("value", &values(fused.clone()), &values(composed.clone()));
    let weights = Tensor::random(fused.dims(), Distribution::Normal(0.0, 1.0), &fused.device());
    let found = gradients(&(fused * weights.clone()).sum().backward());
    let wanted = gradients(&(composed * weights).sum().backward());
    for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert_close(&format!("gradient of input {index}"), found, wanted);
    }
}

#[test]
fn gelu_equals_burns() {
    let x = random([7, 33], &Device::flex().autodiff()) * 3.0;
    let x = x.detach().require_grad();
    check(gelu(x.clone()), activation::gelu(x.clone()), |g| vec![values(x.grad(g).unwrap())]);
}

#[test]
fn layer_norm_equals_burns() {
    let device = Device::flex().autodiff();
    for channels in [24, 32, 100] {
        let (x, weight, bias) =
            (random([3, 5, channels], &device), random([channels], &device), random([channels], &device));
        let composed = burn::tensor::module::layer_norm(x.clone(), weight.clone(), Some(bias.clone()), 1e-5);
        check(layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5), composed, |g| {
            vec![values(x.grad(g).unwrap()), values(weight.grad(g).unwrap()), values(bias.grad(g).unwrap())]
        });
    }
}

#[test]
fn attention_equals_its_composition() {
    let device = Device::flex().autodiff();
    for (windows, edge, heads, width, batch) in [(1, 8, 1, 32, 3), (4, 4, 2, 24, 2), (4, 8, 2, 16, 1)] {
        let size = edge * edge;
        let qkv = random([batch * windows, size, 3 * heads * width], &device);
        let bias = random([windows, heads, size, size], &device);
        check(attention(qkv.clone(), Some(bias.clone()), heads), composed(qkv.clone(), bias.clone(), heads), |g| {
            vec![values(qkv.grad(g).unwrap()), values(bias.grad(g).unwrap())]
        });
    }
}

#[test]
fn convolution_equals_burns() {
    let device = Device::flex().autodiff();
    for (batch, inputs, outputs, height, width, edge) in
        [(9, 5, 32, 4, 64, 3), (2, 41, 32, 6, 33, 3), (1, 4, 3, 5, 7, 1)]
    {
        let x = random([batch, inputs, height, width], &device);
        let (weight, bias) = (random([outputs, inputs, edge, edge], &device), random([outputs], &device));
        let composed = super::convolution::composed(x.clone(), weight.clone(), bias.clone());
        check(convolution(x.clone(), weight.clone(), bias.clone()), composed, |g| {
            vec![values(x.grad(g).unwrap()), values(weight.grad(g).unwrap()), values(bias.grad(g).unwrap())]
        });
    }
}

#[test]
fn linear_equals_burns() {
    let device = Device::flex().autodiff();
    for (rows, inputs, outputs) in [(130, 32, 96), (5, 64, 40), (600, 7, 5)] {
        let (x, weight, bias) =
            (random([rows, inputs], &device), random([inputs, outputs], &device), random([outputs], &device));
        let composed = burn::tensor::module::linear(x.clone(), weight.clone(), Some(bias.clone()));
        check(linear(x.clone(), weight.clone(), Some(bias.clone())), composed, |g| {
            vec![values(x.grad(g).unwrap()), values(weight.grad(g).unwrap()), values(bias.grad(g).unwrap())]
        });
    }
}

#[test]
fn mlp_equals_its_composition() {
    let device = Device::flex().autodiff();
    for (rows, inputs, hidden) in [(700, 24, 96), (3, 32, 64), (65, 10, 33)] {
        let x = random([rows, inputs], &device);
        let (w1, b1) = (random([inputs, hidden], &device), random([hidden], &device));
        let (w2, b2) = (random([hidden, inputs], &device), random([inputs], &device));
        let layers = || [(w1.clone(), b1.clone()), (w2.clone(), b2.clone())];
        check(mlp(x.clone(), layers()), mlp::composed(x.clone(), layers()), |g| {
            let of_layers = [values(w1.grad(g).unwrap()), values(w2.grad(g).unwrap())];
            let of_offsets = [values(b1.grad(g).unwrap()), values(b2.grad(g).unwrap())];
            [vec![values(x.grad(g).unwrap())], of_layers.to_vec(), of_offsets.to_vec()].concat()
        });
    }
}

#[test]
fn gathers_equal_burns_select() {
    let device = Device::flex().autodiff();
    let sources = [3_i64, 0, 2, 1];
    let index = Tensor::<1, burn::tensor::Int>::from_data(sources, &device);
    let tokens = random([2, 4, 5], &device);
    check(gather_tokens(tokens.clone(), &sources), tokens.clone().select(1, index), |g| {
        vec![values(tokens.grad(g).unwrap())]
    });
    let rows = random([4, 5], &device);
    let twice = [3_i64, 3, 0];
    let index = Tensor::<1, burn::tensor::Int>::from_data(twice, &device);
    check(select_rows(rows.clone(), &twice), rows.clone().select(0, index), |g| vec![values(rows.grad(g).unwrap())]);
}

#[test]
fn without_gradients_the_values_are_the_same() {
    let device = Device::flex();
    let x = Tensor::<2>::random([4, 40], Distribution::Default, &device);
    assert_close("gelu", &values(gelu(x.clone())), &values(activation::gelu(x)));
}
