//! The feed-forward network, `gelu(x w1 + b1) w2 + b2`, block of rows by block of rows: the hidden values are four times as
//! many as the outputs and never leave the cache between the two products.

use burn::tensor::{Tensor, activation, module};

use pulp::Simd;
use rayon::prelude::*;

use super::fused::{Fused, Input, run};
use super::gelu::normal;
use super::product::{Left, Panels, multiply_add_panels};
use super::rows::{BLOCK, joined, part_rows};
use super::vector::{Vectorised, vectorised};

/// Weights `[C, H]` and offset `[H]` of the first layer, `[H, C]` and `[C]` of the second.
pub type Layers = [(Tensor<2>, Tensor<1>); 2];

/// The network over the last axis.
pub fn mlp<const D: usize>(x: Tensor<D>, layers: Layers) -> Tensor<D> {
    let dims = x.dims();
    let [(w1, b1), (w2, b2)] = &layers;
    let [inputs, hidden] = w1.dims();
    let inputs_of = [Input::of(&x), Input::of(w1), Input::of(b1), Input::of(w2), Input::of(b2)];
    run(Mlp { inputs, hidden }, inputs_of, dims).unwrap_or_else(|| composed(x, layers))
}

/// The same in burn's operators.
pub(super) fn composed<const D: usize>(x: Tensor<D>, [(w1, b1), (w2, b2)]: Layers) -> Tensor<D> {
    module::linear(activation::gelu(module::linear(x, w1, Some(b1))), w2, Some(b2))
}

#[derive(Clone, Debug)]
struct Mlp {
    inputs: usize,
    hidden: usize,
}

impl Fused<5> for Mlp {
    /// Keeps the hidden values before the activation.
    fn forward(&self, [x, w1, b1, w2, b2]: [&[f32]; 5]) -> (Vec<f32>, Vec<f32>) {
        let rows = x.len() / self.inputs;
        let (w1, w2) = (Panels::of(w1, [self.inputs, self.hidden]), Panels::of(w2, [self.hidden, self.inputs]));
        let (mut out, mut kept) = (vec![0.0; x.len()], vec![0.0; rows * self.hidden]);
        let part = part_rows(rows);
        let work = out.par_chunks_mut(part * self.inputs).zip(kept.par_chunks_mut(part * self.hidden));
        work.zip(x.par_chunks(part * self.inputs)).for_each(|((out, kept), x)| {
            vectorised(Forward { x, layers: [(&w1, b1), (&w2, b2)], out, kept });
        });
        (out, kept)
    }

    fn backward(
        &self,
        [x, w1, _, w2, _]: [&[f32]; 5],
        kept: &[f32],
        gradient: &[f32],
        _wanted: [bool; 5],
    ) -> [Vec<f32>; 5] {
        let rows = x.len() / self.inputs;
        let (w1, w2) = (Panels::turned(w1, [self.hidden, self.inputs]), Panels::turned(w2, [self.inputs, self.hidden]));
        let mut of_x = vec![0.0; x.len()];
        let part = part_rows(rows);
        let (narrow, wide) = (part * self.inputs, part * self.hidden);
        let work = of_x.par_chunks_mut(narrow).zip(x.par_chunks(narrow));
        let work = work.zip(kept.par_chunks(wide).zip(gradient.par_chunks(narrow)));
        let parts = work.map(|((of_x, x), (kept, gradient))| {
            let zeros = |length: usize| vec![0.0; length];
            let matrix = self.inputs * self.hidden;
            let mut sums = [zeros(matrix), zeros(self.hidden), zeros(matrix), zeros(self.inputs)];
            vectorised(Gradient { operation: self, x, turned: [&w1, &w2], kept, gradient, of_x, sums: &mut sums });
            sums
        });
        let [of_w1, of_b1, of_w2, of_b2] = joined(parts.collect());
        [of_x, of_w1, of_b1, of_w2, of_b2]
    }
}

struct Forward<'a> {
    x: &'a [f32],
    layers: [(&'a Panels, &'a [f32]); 2],
    out: &'a mut [f32],
    kept: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let [(w1, b1), (w2, b2)] = self.layers;
        let (inputs, hidden) = (b2.len(), b1.len());
        let mut active = vec![0.0; BLOCK * hidden];
        let blocks = self.x.chunks(BLOCK * inputs).zip(self.out.chunks_mut(BLOCK * inputs));
        for ((x, out), kept) in blocks.zip(self.kept.chunks_mut(BLOCK * hidden)) {
            let rows = x.len() / inputs;
            for row in kept.chunks_exact_mut(hidden) {
                row.copy_from_slice(b1);
            }
            multiply_add_panels(simd, Left::plain(x, inputs), w1, kept, rows);
            for (active, &x) in active.iter_mut().zip(kept.iter()) {
                *active = x * normal(x).0;
            }
            for row in out.chunks_exact_mut(inputs) {
                row.copy_from_slice(b2);
            }
            multiply_add_panels(simd, Left::plain(&active, hidden), w2, out, rows);
        }
    }
}

struct Gradient<'a> {
    operation: &'a Mlp,
    x: &'a [f32],
    /// Both weights, transposed.
    turned: [&'a Panels; 2],
    kept: &'a [f32],
    gradient: &'a [f32],
    of_x: &'a mut [f32],
    /// Of w1, b1, w2 and b2.
    sums: &'a mut [Vec<f32>; 4],
}

impl Vectorised for Gradient<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let (inputs, hidden) = (self.operation.inputs, self.operation.hidden);
        let [of_w1, of_b1, of_w2, of_b2] = self.sums;
        let (mut active, mut slope) = (vec![0.0; BLOCK * hidden], vec![0.0; BLOCK * hidden]);
        let mut of_hidden = vec![0.0; BLOCK * hidden];
        let mut narrow = Panels::new([BLOCK, inputs]);
        let mut wide = Panels::new([BLOCK, hidden]);
        let blocks = self.x.chunks(BLOCK * inputs).zip(self.of_x.chunks_mut(BLOCK * inputs));
        let blocks = blocks.zip(self.kept.chunks(BLOCK * hidden)).zip(self.gradient.chunks(BLOCK * inputs));
        for (((x, of_x), kept), gradient) in blocks {
            let rows = x.len() / inputs;
            for ((active, slope), &x) in active.iter_mut().zip(&mut slope).zip(kept) {
                let (share, density) = normal(x);
                *active = x * share;
                *slope = share + x * density;
            }
            narrow.fill(gradient);
            multiply_add_panels(simd, Left::turned(&active, hidden), &narrow, of_w2, hidden);
            add_rows(gradient, of_b2);
            let of_hidden = &mut of_hidden[..rows * hidden];
            of_hidden.fill(0.0);
            multiply_add_panels(simd, Left::plain(gradient, inputs), self.turned[1], of_hidden, rows);
            for (of_hidden, slope) in of_hidden.iter_mut().zip(&slope) {
                *of_hidden *= slope;
            }
            wide.fill(of_hidden);
            multiply_add_panels(simd, Left::turned(x, inputs), &wide, of_w1, inputs);
            add_rows(of_hidden, of_b1);
            multiply_add_panels(simd, Left::plain(of_hidden, hidden), self.turned[0], of_x, rows);
        }
    }
}

/// Adds every row to `sums`.
#[inline(always)]
fn add_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}
