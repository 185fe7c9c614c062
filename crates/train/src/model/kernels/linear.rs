//! A linear layer: product, offset, and in the backward all three gradients in one pass over the rows.

use burn::tensor::{Tensor, module};

use pulp::Simd;
use rayon::prelude::*;

use super::fused::{Fused, Input, run};
use super::product::{Left, Panels, multiply_add_panels};
use super::rows::{BLOCK, filled, joined, part_rows};
use super::vector::{Vectorised, vectorised};

/// `x weight + bias` over the last axis; `weight` is `[K, N]`.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    let mut dims = x.dims();
    dims[D - 1] = outputs;
    let offset = bias.clone().unwrap_or_else(|| Tensor::zeros([outputs], &x.device()));
    let operation = Linear { inputs, outputs };
    let product = run(operation, [Input::of(&x), Input::of(&weight), Input::of(&offset)], dims);
    product.unwrap_or_else(|| module::linear(x, weight, bias))
}

#[derive(Clone, Debug)]
struct Linear {
    inputs: usize,
    outputs: usize,
}

impl Fused<3> for Linear {
    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let weight = Panels::of(weight, [self.inputs, self.outputs]);
        let rows = x.len() / self.inputs;
        let out = filled(rows, self.outputs, |first, out| {
            vectorised(Forward { x: &x[first * self.inputs..], weight: &weight, bias, out, inputs: self.inputs });
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        _kept: &[f32],
        gradient: &[f32],
        [wants_x, ..]: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let rows = x.len() / self.inputs;
        let weight = Panels::turned(weight, [self.outputs, self.inputs]);
        let part = part_rows(rows);
        let mut of_x = vec![0.0; if wants_x { x.len() } else { 0 }];
        if wants_x {
            let work = of_x.par_chunks_mut(part * self.inputs).zip(gradient.par_chunks(part * self.outputs));
            work.for_each(|(of_x, gradient)| {
                vectorised(OfInput { gradient, weight: &weight, of_x, outputs: self.outputs, inputs: self.inputs });
            });
        }
        let parts = x.par_chunks(part * self.inputs).zip(gradient.par_chunks(part * self.outputs));
        let parts = parts.map(|(x, gradient)| {
            let mut of_weight = vec![0.0; self.inputs * self.outputs];
            let mut of_bias = vec![0.0; self.outputs];
            vectorised(OfWeight { operation: self, x, gradient, of_weight: &mut of_weight, of_bias: &mut of_bias });
            [of_weight, of_bias]
        });
        let [of_weight, of_bias] = joined(parts.collect());
        [of_x, of_weight, of_bias]
    }
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a Panels,
    bias: &'a [f32],
    out: &'a mut [f32],
    inputs: usize,
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let (inputs, outputs) = (self.inputs, self.bias.len());
        let blocks = self.x.chunks(BLOCK * inputs).zip(self.out.chunks_mut(BLOCK * outputs));
        for (x, out) in blocks {
            for row in out.chunks_exact_mut(outputs) {
                row.copy_from_slice(self.bias);
            }
            let rows = out.len() / outputs;
            multiply_add_panels(simd, Left::plain(x, inputs), self.weight, out, rows);
        }
    }
}

struct OfInput<'a> {
    gradient: &'a [f32],
    /// The transposed weights.
    weight: &'a Panels,
    of_x: &'a mut [f32],
    outputs: usize,
    inputs: usize,
}

impl Vectorised for OfInput<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let blocks = self.gradient.chunks(BLOCK * self.outputs).zip(self.of_x.chunks_mut(BLOCK * self.inputs));
        for (gradient, of_x) in blocks {
            let rows = of_x.len() / self.inputs;
            multiply_add_panels(simd, Left::plain(gradient, self.outputs), self.weight, of_x, rows);
        }
    }
}

struct OfWeight<'a> {
    operation: &'a Linear,
    x: &'a [f32],
    gradient: &'a [f32],
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl Vectorised for OfWeight<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let (inputs, outputs) = (self.operation.inputs, self.operation.outputs);
        let mut packed = Panels::new([BLOCK, outputs]);
        for (x, gradient) in self.x.chunks(BLOCK * inputs).zip(self.gradient.chunks(BLOCK * outputs)) {
            packed.fill(gradient);
            multiply_add_panels(simd, Left::turned(x, inputs), &packed, self.of_weight, inputs);
            for row in gradient.chunks_exact(outputs) {
                self.of_bias.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}
