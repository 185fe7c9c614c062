//! Attention inside windows: logits, softmax and mixing of one window and head at a time, in the nearest cache.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::fused::{Fused, Input, run};
use super::product::{multiply_add, transpose};
use super::vector::{Vectorised, exp, vectorised};

/// Attention of each window: `qkv` is `[B * windows, n, 3C]` (queries, keys, values; heads inside each), `bias` is added to
/// the logits, `[1 or windows, heads, n, n]`; gives `[B * windows, n, C]`.
pub fn attention(qkv: Tensor<3>, bias: Option<Tensor<4>>, heads: usize) -> Tensor<3> {
    let [all, size, triple] = qkv.dims();
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1, heads, size, size], &qkv.device()));
    let [windows, ..] = bias.dims();
    let operation = Attention { windows, heads, size, width: triple / 3 / heads };
    let mixed = run(operation, [Input::of(&qkv), Input::of(&bias)], [all, size, triple / 3]);
    mixed.unwrap_or_else(|| composed(qkv, bias, heads))
}

/// The same in burn's operators.
pub(super) fn composed(qkv: Tensor<3>, bias: Tensor<4>, heads: usize) -> Tensor<3> {
    let [all, size, triple] = qkv.dims();
    let (channels, width) = (triple / 3, triple / 3 / heads);
    let [windows, ..] = bias.dims();
    let parts = qkv.reshape([all, size, 3, heads, width]).permute([2, 0, 3, 1, 4]);
    let part = |index: usize| parts.clone().narrow(0, index, 1).reshape([all, heads, size, width]);
    let queries = part(0) * (width as f64).powf(-0.5);
    let logits = queries.matmul(part(1).swap_dims(2, 3));
    let logits = logits.reshape([all / windows, windows, heads, size, size]) + bias.unsqueeze_dim::<5>(0);
    let weights = softmax(logits.reshape([all, heads, size, size]), 3);
    weights.matmul(part(2)).swap_dims(1, 2).reshape([all, size, channels])
}

#[derive(Clone, Debug)]
struct Attention {
    /// Windows that the bias tells apart.
    windows: usize,
    heads: usize,
    /// Tokens of a window.
    size: usize,
    /// Channels of a head.
    width: usize,
}

impl Attention {
    fn channels(&self) -> usize {
        self.heads * self.width
    }

    fn scale(&self) -> f32 {
        (self.width as f32).powf(-0.5)
    }

    /// Copies part 0 to 2 (query, key, value) of one window and head out of `qkv`.
    #[inline(always)]
    fn part(&self, window: &[f32], part: usize, head: usize, out: &mut [f32]) {
        let triple = 3 * self.channels();
        let first = part * self.channels() + head * self.width;
        for (row, out) in window.chunks_exact(triple).zip(out.chunks_exact_mut(self.width)) {
            out.copy_from_slice(&row[first..first + self.width]);
        }
    }
}

impl Fused<2> for Attention {
    /// Keeps the softmax of each window and head.
    fn forward(&self, [qkv, bias]: [&[f32]; 2]) -> (Vec<f32>, Vec<f32>) {
        let tokens = qkv.len() / (3 * self.channels());
        let mut out = vec![0.0; tokens * self.channels()];
        let mut kept = vec![0.0; tokens * self.heads * self.size];
        vectorised(Forward { operation: self, qkv, bias, out: &mut out, kept: &mut kept });
        (out, kept)
    }

    fn backward(&self, [qkv, bias]: [&[f32]; 2], kept: &[f32], gradient: &[f32], _wanted: [bool; 2]) -> [Vec<f32>; 2] {
        let mut of_qkv = vec![0.0; qkv.len()];
        let mut of_bias = vec![0.0; bias.len()];
        vectorised(Gradient { operation: self, qkv, kept, gradient, of_qkv: &mut of_qkv, of_bias: &mut of_bias });
        [of_qkv, of_bias]
    }
}

struct Forward<'a> {
    operation: &'a Attention,
    qkv: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
    kept: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call(self) {
        let op = self.operation;
        let (n, d, channels) = (op.size, op.width, op.channels());
        let (mut q, mut k, mut v) = (vec![0.0; n * d], vec![0.0; n * d], vec![0.0; n * d]);
        let (mut k_transposed, mut mixed) = (vec![0.0; n * d], vec![0.0; n * d]);
        let windows = self.qkv.chunks_exact(3 * n * channels).zip(self.out.chunks_exact_mut(n * channels));
        for (index, ((qkv, out), kept)) in windows.zip(self.kept.chunks_exact_mut(op.heads * n * n)).enumerate() {
            for (head, weights) in kept.chunks_exact_mut(n * n).enumerate() {
                op.part(qkv, 0, head, &mut q);
                op.part(qkv, 1, head, &mut k);
                op.part(qkv, 2, head, &mut v);
                let scale = op.scale();
                q.iter_mut().for_each(|q| *q *= scale);
                transpose(&k, &mut k_transposed, [n, d]);
                let at = (index % op.windows * op.heads + head) * n * n;
                weights.copy_from_slice(&self.bias[at..at + n * n]);
                multiply_add(&q, &k_transposed, weights, [n, d, n]);
                weights.chunks_exact_mut(n).for_each(softmax_row);
                mixed.fill(0.0);
                multiply_add(weights, &v, &mut mixed, [n, n, d]);
                for (out, mixed) in out.chunks_exact_mut(channels).zip(mixed.chunks_exact(d)) {
                    out[head * d..(head + 1) * d].copy_from_slice(mixed);
                }
            }
        }
    }
}

struct Gradient<'a> {
    operation: &'a Attention,
    qkv: &'a [f32],
    kept: &'a [f32],
    gradient: &'a [f32],
    of_qkv: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl Vectorised for Gradient<'_> {
    #[inline(always)]
    fn call(self) {
        let op = self.operation;
        let (n, d, channels) = (op.size, op.width, op.channels());
        let mut parts = vec![vec![0.0; n * d]; 8];
        let (mut of_logits, mut turned) = (vec![0.0; n * n], vec![0.0; n * n]);
        let windows = self.qkv.chunks_exact(3 * n * channels).zip(self.of_qkv.chunks_exact_mut(3 * n * channels));
        let windows = windows.zip(self.gradient.chunks_exact(n * channels));
        for (index, (((qkv, of_qkv), gradient), kept)) in
            windows.zip(self.kept.chunks_exact(op.heads * n * n)).enumerate()
        {
            for (head, weights) in kept.chunks_exact(n * n).enumerate() {
                let [q, k, v, v_transposed, of_out, of_q, of_k, of_v] = &mut parts[..] else { return };
                op.part(qkv, 0, head, q);
                op.part(qkv, 1, head, k);
                op.part(qkv, 2, head, v);
                for (row, out) in gradient.chunks_exact(channels).zip(of_out.chunks_exact_mut(d)) {
                    out.copy_from_slice(&row[head * d..(head + 1) * d]);
                }
                // out = weights v
                transpose(weights, &mut turned, [n, n]);
                of_v.fill(0.0);
                multiply_add(&turned, of_out, of_v, [n, n, d]);
                transpose(v, v_transposed, [n, d]);
                of_logits.fill(0.0);
                multiply_add(of_out, v_transposed, &mut of_logits, [n, d, n]);
                // weights = softmax(logits)
                let rows = of_logits.chunks_exact_mut(n).zip(weights.chunks_exact(n));
                rows.for_each(|(of_row, row)| softmax_row_gradient(of_row, row));
                let at = (index % op.windows * op.heads + head) * n * n;
                let of_bias = &mut self.of_bias[at..at + n * n];
                of_bias.iter_mut().zip(&of_logits).for_each(|(sum, of)| *sum += of);
                // logits = scale q k^T
                let scale = op.scale();
                of_logits.iter_mut().for_each(|of| *of *= scale);
                of_q.fill(0.0);
                multiply_add(&of_logits, k, of_q, [n, n, d]);
                transpose(&of_logits, &mut turned, [n, n]);
                of_k.fill(0.0);
                multiply_add(&turned, q, of_k, [n, n, d]);
                for (part, found) in [of_q, of_k, of_v].into_iter().enumerate() {
                    let first = part * channels + head * d;
                    for (row, found) in of_qkv.chunks_exact_mut(3 * channels).zip(found.chunks_exact(d)) {
                        row[first..first + d].copy_from_slice(found);
                    }
                }
            }
        }
    }
}

/// The row's softmax, in place.
#[inline(always)]
fn softmax_row(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |max, &value| max.max(value));
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane = if value > *lane { value } else { *lane });
    }
    let max = lanes.iter().fold(rest, |max, &value| max.max(value));
    row.iter_mut().for_each(|value| *value = exp(*value - max));
    let mut lanes = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    let inverse = 1.0 / (lanes.iter().sum::<f32>() + rest);
    row.iter_mut().for_each(|value| *value *= inverse);
}

/// Turns the gradient of a softmax's row into that of its logits.
#[inline(always)]
fn softmax_row_gradient(of_row: &mut [f32], row: &[f32]) {
    let mut lanes = [0.0_f32; 16];
    let (of_chunks, chunks) = (of_row.chunks_exact(16), row.chunks_exact(16));
    let rest: f32 = of_chunks.remainder().iter().zip(chunks.remainder()).map(|(of, value)| of * value).sum();
    for (of_chunk, chunk) in of_chunks.zip(chunks) {
        for ((lane, of), value) in lanes.iter_mut().zip(of_chunk).zip(chunk) {
            *lane += of * value;
        }
    }
    let along = lanes.iter().sum::<f32>() + rest;
    of_row.iter_mut().zip(row).for_each(|(of, value)| *of = value * (*of - along));
}
