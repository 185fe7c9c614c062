//! Attention inside windows: logits, softmax and mixing of one window and head at a time, in the nearest cache.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use pulp::Simd;

use super::fused::{Fused, Input, run};
use super::product::{Left, multiply_add};
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

    /// Copies part 0 to 2 (query, key, value) of one window and head out of `qkv`, `[n, d]`.
    #[inline(always)]
    fn part(&self, window: &[f32], part: usize, head: usize, out: &mut [f32]) {
        let first = part * self.channels() + head * self.width;
        for (row, out) in window.chunks_exact(3 * self.channels()).zip(out.chunks_exact_mut(self.width)) {
            out.copy_from_slice(&row[first..first + self.width]);
        }
    }

    /// The same, transposed: `[d, n]`.
    #[inline(always)]
    fn part_turned(&self, window: &[f32], part: usize, head: usize, out: &mut [f32]) {
        let first = part * self.channels() + head * self.width;
        for (token, row) in window.chunks_exact(3 * self.channels()).enumerate() {
            for (out, &value) in out[token..].iter_mut().step_by(self.size).zip(&row[first..first + self.width]) {
                *out = value;
            }
        }
    }

    /// Puts `[n, d]` where [`Attention::part`] takes it from.
    #[inline(always)]
    fn put(&self, found: &[f32], part: usize, head: usize, window: &mut [f32]) {
        let first = part * self.channels() + head * self.width;
        for (row, found) in window.chunks_exact_mut(3 * self.channels()).zip(found.chunks_exact(self.width)) {
            row[first..first + self.width].copy_from_slice(found);
        }
    }

    /// Where the bias of a window and head starts.
    fn bias_at(&self, window: usize, head: usize) -> usize {
        (window % self.windows * self.heads + head) * self.size * self.size
    }

    fn bias_of<'a>(&self, bias: &'a [f32], window: usize, head: usize) -> &'a [f32] {
        let at = self.bias_at(window, head);
        &bias[at..at + self.size * self.size]
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
    fn call<S: Simd>(self, simd: S) {
        let op = self.operation;
        let (n, d, channels) = (op.size, op.width, op.channels());
        let (mut q, mut k, mut v) = (vec![0.0; n * d], vec![0.0; n * d], vec![0.0; n * d]);
        let mut mixed = vec![0.0; n * d];
        let windows = self.qkv.chunks_exact(3 * n * channels).zip(self.out.chunks_exact_mut(n * channels));
        for (index, ((qkv, out), kept)) in windows.zip(self.kept.chunks_exact_mut(op.heads * n * n)).enumerate() {
            for (head, weights) in kept.chunks_exact_mut(n * n).enumerate() {
                op.part(qkv, 0, head, &mut q);
                op.part_turned(qkv, 1, head, &mut k);
                op.part(qkv, 2, head, &mut v);
                let scale = op.scale();
                for q in &mut q {
                    *q *= scale;
                }
                weights.copy_from_slice(op.bias_of(self.bias, index, head));
                multiply_add(simd, Left::plain(&q, d), (&k, n), weights, [n, d, n]);
                for row in weights.chunks_exact_mut(n) {
                    softmax_row(row);
                }
                mixed.fill(0.0);
                multiply_add(simd, Left::plain(weights, n), (&v, d), &mut mixed, [n, n, d]);
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
    fn call<S: Simd>(self, simd: S) {
        let op = self.operation;
        let (n, d, channels) = (op.size, op.width, op.channels());
        let (mut q, mut k, mut v, mut of_out) =
            (vec![0.0; n * d], vec![0.0; n * d], vec![0.0; n * d], vec![0.0; n * d]);
        let (mut found, mut of_logits) = (vec![0.0; n * d], vec![0.0; n * n]);
        let windows = self.qkv.chunks_exact(3 * n * channels).zip(self.of_qkv.chunks_exact_mut(3 * n * channels));
        let windows = windows.zip(self.gradient.chunks_exact(n * channels));
        let windows = windows.zip(self.kept.chunks_exact(op.heads * n * n));
        for (index, (((qkv, of_qkv), gradient), kept)) in windows.enumerate() {
            for (head, weights) in kept.chunks_exact(n * n).enumerate() {
                op.part(qkv, 0, head, &mut q);
                op.part(qkv, 1, head, &mut k);
                op.part_turned(qkv, 2, head, &mut v);
                for (row, out) in gradient.chunks_exact(channels).zip(of_out.chunks_exact_mut(d)) {
                    out.copy_from_slice(&row[head * d..(head + 1) * d]);
                }
                // out = weights v
                found.fill(0.0);
                multiply_add(simd, Left::turned(weights, n), (&of_out, d), &mut found, [n, n, d]);
                op.put(&found, 2, head, of_qkv);
                of_logits.fill(0.0);
                multiply_add(simd, Left::plain(&of_out, d), (&v, n), &mut of_logits, [n, d, n]);
                // weights = softmax(logits)
                for (of_row, row) in of_logits.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
                    softmax_row_gradient(of_row, row);
                }
                let at = op.bias_at(index, head);
                for (sum, of) in self.of_bias[at..at + n * n].iter_mut().zip(&of_logits) {
                    *sum += of;
                }
                // logits = scale q k^T
                let scale = op.scale();
                for of in &mut of_logits {
                    *of *= scale;
                }
                found.fill(0.0);
                multiply_add(simd, Left::plain(&of_logits, n), (&k, d), &mut found, [n, n, d]);
                op.put(&found, 0, head, of_qkv);
                found.fill(0.0);
                multiply_add(simd, Left::turned(&of_logits, n), (&q, d), &mut found, [n, n, d]);
                op.put(&found, 1, head, of_qkv);
            }
        }
    }
}

/// The row's softmax, in place.
#[inline(always)]
fn softmax_row(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let mut max = f32::NEG_INFINITY;
    for &value in chunks.remainder() {
        max = max.max(value);
    }
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for lane in lanes {
        max = max.max(lane);
    }
    for value in row.iter_mut() {
        *value = exp(*value - max);
    }
    let mut lanes = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let mut sum = 0.0;
    for &value in chunks.remainder() {
        sum += value;
    }
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    for lane in lanes {
        sum += lane;
    }
    let inverse = 1.0 / sum;
    for value in row.iter_mut() {
        *value *= inverse;
    }
}

/// Turns the gradient of a softmax's row into that of its logits.
#[inline(always)]
fn softmax_row_gradient(of_row: &mut [f32], row: &[f32]) {
    let mut lanes = [0.0_f32; 16];
    let (of_chunks, chunks) = (of_row.chunks_exact(16), row.chunks_exact(16));
    let mut along = 0.0;
    for (of, value) in of_chunks.remainder().iter().zip(chunks.remainder()) {
        along += of * value;
    }
    for (of_chunk, chunk) in of_chunks.zip(chunks) {
        for ((lane, of), value) in lanes.iter_mut().zip(of_chunk).zip(chunk) {
            *lane += of * value;
        }
    }
    for lane in lanes {
        along += lane;
    }
    for (of, value) in of_row.iter_mut().zip(row) {
        *of = value * (*of - along);
    }
}
