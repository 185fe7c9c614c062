//! Layer normalisation over the last axis.

use burn::tensor::Tensor;

use pulp::Simd;

use super::fused::{Fused, Input, run};
use super::vector::{Vectorised, vectorised};

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis.
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let dims = x.dims();
    let operation = LayerNorm { channels: dims[D - 1], epsilon: epsilon as f32 };
    let inputs = [Input::of(&x), Input::of(&weight), Input::of(&bias)];
    run(operation, inputs, dims).unwrap_or_else(|| burn::tensor::module::layer_norm(x, weight, Some(bias), epsilon))
}

#[derive(Clone, Debug)]
struct LayerNorm {
    channels: usize,
    epsilon: f32,
}

impl Fused<3> for LayerNorm {
    /// Keeps mean and inverse deviation of each row.
    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![0.0; x.len()];
        let mut kept = vec![0.0; 2 * x.len() / self.channels];
        vectorised(Forward { operation: self, x, weight, bias, out: &mut out, kept: &mut kept });
        (out, kept)
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        kept: &[f32],
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let mut of_x = vec![0.0; x.len()];
        let mut of_weight = vec![0.0; self.channels];
        let mut of_bias = vec![0.0; self.channels];
        vectorised(Gradient {
            channels: self.channels,
            x,
            weight,
            kept,
            gradient,
            of_x: &mut of_x,
            of_weight: &mut of_weight,
            of_bias: &mut of_bias,
        });
        [of_x, of_weight, of_bias]
    }
}

struct Forward<'a> {
    operation: &'a LayerNorm,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
    kept: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, _simd: S) {
        let channels = self.operation.channels;
        let rows = self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels));
        for ((x, out), kept) in rows.zip(self.kept.chunks_exact_mut(2)) {
            let mean = sum(x, |x| x) / channels as f32;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / channels as f32;
            let inverse = 1.0 / (variance + self.operation.epsilon).sqrt();
            kept[0] = mean;
            kept[1] = inverse;
            for (((out, &x), &weight), &bias) in out.iter_mut().zip(x).zip(self.weight).zip(self.bias) {
                *out = (x - mean) * inverse * weight + bias;
            }
        }
    }
}

struct Gradient<'a> {
    channels: usize,
    x: &'a [f32],
    weight: &'a [f32],
    kept: &'a [f32],
    gradient: &'a [f32],
    of_x: &'a mut [f32],
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl Vectorised for Gradient<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, _simd: S) {
        let channels = self.channels;
        let mut scaled = vec![0.0; channels];
        let mut normal = vec![0.0; channels];
        let rows = self.x.chunks_exact(channels).zip(self.gradient.chunks_exact(channels));
        let rows = rows.zip(self.of_x.chunks_exact_mut(channels)).zip(self.kept.chunks_exact(2));
        for (((x, gradient), of_x), kept) in rows {
            let (mean, inverse) = (kept[0], kept[1]);
            for (normal, x) in normal.iter_mut().zip(x) {
                *normal = (x - mean) * inverse;
            }
            for ((scaled, gradient), weight) in scaled.iter_mut().zip(gradient).zip(self.weight) {
                *scaled = gradient * weight;
            }
            for ((of_weight, gradient), normal) in self.of_weight.iter_mut().zip(gradient).zip(&normal) {
                *of_weight += gradient * normal;
            }
            for (of_bias, gradient) in self.of_bias.iter_mut().zip(gradient) {
                *of_bias += gradient;
            }
            let along_one = sum(&scaled, |s| s) / channels as f32;
            let along_normal = sum_of_products(&scaled, &normal) / channels as f32;
            for ((of_x, &scaled), &normal) in of_x.iter_mut().zip(&scaled).zip(&normal) {
                *of_x = inverse * (scaled - along_one - normal * along_normal);
            }
        }
    }
}

/// Lanes of a sum; floats are not associative, so the compiler makes none by itself.
const LANES: usize = 16;

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let mut sum = 0.0;
    for &value in chunks.remainder() {
        sum += of(value);
    }
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += of(value);
        }
    }
    for lane in lanes {
        sum += lane;
    }
    sum
}

#[inline(always)]
fn sum_of_products(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut sum = 0.0;
    for (a, b) in chunks_a.remainder().iter().zip(chunks_b.remainder()) {
        sum += a * b;
    }
    for (a, b) in chunks_a.zip(chunks_b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for lane in lanes {
        sum += lane;
    }
    sum
}
