//! A small convolution whose weights stay in the nearest cache: few channels, many cells, as in the locator's head.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use pulp::Simd;
use rayon::prelude::*;

use super::fused::{Fused, Input, run};
use super::product::{Left, multiply_add};
use super::vector::{Vectorised, vectorised};

/// Samples whose gradient of the weights is summed by one thread; fixed, so that sums do not depend on the threads.
const SAMPLES_TOGETHER: usize = 8;

/// `x` `[B, I, H, W]` with `weight` `[O, I, k, k]` and `bias` `[O]`, stride 1, zero beyond the border; gives `[B, H, W, O]`,
/// channels last.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [batch, inputs, height, width] = x.dims();
    let [outputs, _, edge, _] = weight.dims();
    let operation = Convolution { inputs, outputs, height, width, edge };
    let found = run(operation, [Input::of(&x), Input::of(&weight), Input::of(&bias)], [batch, height, width, outputs]);
    found.unwrap_or_else(|| composed(x, weight, bias))
}

/// The same in burn's operators.
pub(super) fn composed(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [_, _, edge, _] = weight.dims();
    let options = ConvOptions::new([1, 1], [edge / 2, edge / 2], [1, 1], 1);
    conv2d(x, weight, Some(bias), options).permute([0, 2, 3, 1])
}

#[derive(Clone, Debug)]
struct Convolution {
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    /// Rows and columns of the kernel, odd.
    edge: usize,
}

impl Convolution {
    fn cells(&self) -> usize {
        self.height * self.width
    }

    fn padded_width(&self) -> usize {
        self.width + self.edge - 1
    }

    fn padded_cells(&self) -> usize {
        (self.height + self.edge - 1) * self.padded_width()
    }

    fn taps(&self) -> usize {
        self.edge * self.edge
    }

    /// Place among the padded cells of what tap `tap` reads for the first cell of row `y`.
    fn read_from(&self, y: usize, tap: usize) -> usize {
        (y + tap / self.edge) * self.padded_width() + tap % self.edge
    }

    /// Place among the padded cells of the first cell of row `y`.
    fn place(&self, y: usize) -> usize {
        (y + self.edge / 2) * self.padded_width() + self.edge / 2
    }

    /// Weights `[O, I, k, k]` as `[taps, I, O]`.
    fn by_tap(&self, weight: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; weight.len()];
        for (output, of_output) in weight.chunks_exact(self.inputs * self.taps()).enumerate() {
            for (input, of_input) in of_output.chunks_exact(self.taps()).enumerate() {
                for (tap, &value) in of_input.iter().enumerate() {
                    out[(tap * self.inputs + input) * self.outputs + output] = value;
                }
            }
        }
        out
    }

    /// Undoes [`Convolution::by_tap`].
    fn by_output(&self, by_tap: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; by_tap.len()];
        for (tap, of_tap) in by_tap.chunks_exact(self.inputs * self.outputs).enumerate() {
            for (input, of_input) in of_tap.chunks_exact(self.outputs).enumerate() {
                for (output, &value) in of_input.iter().enumerate() {
                    out[(output * self.inputs + input) * self.taps() + tap] = value;
                }
            }
        }
        out
    }

    /// Lays a sample `[I, H, W]` into padded cells, `[padded cells, I]`, whose border stays zero.
    #[inline(always)]
    fn lay(&self, sample: &[f32], padded: &mut [f32]) {
        for (input, plane) in sample.chunks_exact(self.cells()).enumerate() {
            for (y, row) in plane.chunks_exact(self.width).enumerate() {
                let cells = padded[self.place(y) * self.inputs..].chunks_exact_mut(self.inputs);
                for (cell, &value) in cells.zip(row) {
                    cell[input] = value;
                }
            }
        }
    }

    /// Lays a gradient `[H, W, O]` into padded cells, `[O, padded cells]`, whose border stays zero.
    #[inline(always)]
    fn lay_gradient(&self, gradient: &[f32], padded: &mut [f32]) {
        let rows = gradient.chunks_exact(self.width * self.outputs).enumerate();
        for (y, row) in rows {
            for (x, cell) in row.chunks_exact(self.outputs).enumerate() {
                let places = padded[self.place(y) + x..].iter_mut().step_by(self.padded_cells());
                for (place, &value) in places.zip(cell) {
                    *place = value;
                }
            }
        }
    }
}

impl Fused<3> for Convolution {
    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let weight = self.by_tap(weight);
        let samples = x.len() / (self.inputs * self.cells());
        let mut out = vec![0.0; samples * self.cells() * self.outputs];
        let work = x.par_chunks_exact(self.inputs * self.cells());
        work.zip(out.par_chunks_exact_mut(self.cells() * self.outputs)).for_each(|(sample, out)| {
            vectorised(Forward { operation: self, sample, weight: &weight, bias, out });
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        _kept: &[f32],
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let by_tap = self.by_tap(weight);
        let mut of_x = vec![0.0; x.len()];
        let (sample, answer) = (self.inputs * self.cells(), self.outputs * self.cells());
        let work = of_x.par_chunks_mut(SAMPLES_TOGETHER * sample);
        let work = work.zip(x.par_chunks(SAMPLES_TOGETHER * sample));
        let parts: Vec<[Vec<f32>; 2]> = work
            .zip(gradient.par_chunks(SAMPLES_TOGETHER * answer))
            .map(|((of_x, x), gradient)| {
                let mut of_weight = vec![0.0; by_tap.len()];
                let mut of_bias = vec![0.0; self.outputs];
                vectorised(Gradient {
                    operation: self,
                    x,
                    weight: &by_tap,
                    gradient,
                    of_x,
                    of_weight: &mut of_weight,
                    of_bias: &mut of_bias,
                });
                [of_weight, of_bias]
            })
            .collect();
        let sum = |part: usize| {
            let mut sums = vec![0.0; parts.first().map_or(0, |first| first[part].len())];
            for parts in &parts {
                sums.iter_mut().zip(&parts[part]).for_each(|(sum, value)| *sum += value);
            }
            sums
        };
        [of_x, self.by_output(&sum(0)), sum(1)]
    }
}

struct Forward<'a> {
    operation: &'a Convolution,
    sample: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let op = self.operation;
        let (inputs, outputs) = (op.inputs, op.outputs);
        let mut padded = vec![0.0; op.padded_cells() * inputs];
        op.lay(self.sample, &mut padded);
        for (y, row) in self.out.chunks_exact_mut(op.width * outputs).enumerate() {
            for cell in row.chunks_exact_mut(outputs) {
                cell.copy_from_slice(self.bias);
            }
            for (tap, weight) in self.weight.chunks_exact(inputs * outputs).enumerate() {
                let read = &padded[op.read_from(y, tap) * inputs..];
                multiply_add(simd, Left::plain(read, inputs), (weight, outputs), row, [op.width, inputs, outputs]);
            }
        }
    }
}

struct Gradient<'a> {
    operation: &'a Convolution,
    x: &'a [f32],
    weight: &'a [f32],
    gradient: &'a [f32],
    of_x: &'a mut [f32],
    /// `[taps, I, O]`.
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl Vectorised for Gradient<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, simd: S) {
        let op = self.operation;
        let (inputs, outputs, width) = (op.inputs, op.outputs, op.width);
        let mut padded = vec![0.0; op.padded_cells() * inputs];
        let mut turned = vec![0.0; op.padded_cells() * outputs];
        let mut found = vec![0.0; inputs * width];
        let samples = self.x.chunks_exact(inputs * op.cells()).zip(self.of_x.chunks_exact_mut(inputs * op.cells()));
        for ((x, of_x), gradient) in samples.zip(self.gradient.chunks_exact(op.cells() * outputs)) {
            op.lay(x, &mut padded);
            op.lay_gradient(gradient, &mut turned);
            for cell in gradient.chunks_exact(outputs) {
                self.of_bias.iter_mut().zip(cell).for_each(|(sum, value)| *sum += value);
            }
            for (y, row) in gradient.chunks_exact(width * outputs).enumerate() {
                found.fill(0.0);
                let taps = self.weight.chunks_exact(inputs * outputs);
                for (tap, (weight, of_weight)) in
                    taps.zip(self.of_weight.chunks_exact_mut(inputs * outputs)).enumerate()
                {
                    let read = &padded[op.read_from(y, tap) * inputs..];
                    let left = Left::turned(read, inputs);
                    multiply_add(simd, left, (row, outputs), of_weight, [inputs, width, outputs]);
                    // A cell was read by tap t of the cell that lies as far on the other side.
                    let opposite = &turned[op.read_from(y, op.taps() - 1 - tap)..];
                    let left = Left::plain(weight, outputs);
                    multiply_add(simd, left, (opposite, op.padded_cells()), &mut found, [inputs, outputs, width]);
                }
                for (plane, found) in of_x.chunks_exact_mut(op.cells()).zip(found.chunks_exact(width)) {
                    plane[y * width..][..width].copy_from_slice(found);
                }
            }
        }
    }
}
