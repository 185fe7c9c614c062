//! Gathers whose backward is a plain loop.

use burn::tensor::{Int, Tensor, TensorData};

use super::fused::{Fused, Input, run};

/// Moves the tokens of `[B, N, C]`: place i takes the token at `sources[i]`; every token is taken once.
pub fn gather_tokens(x: Tensor<3>, sources: &[i64]) -> Tensor<3> {
    let [batch, tokens, channels] = x.dims();
    let operation = Gather { sources: places(sources), rows: tokens, row: channels };
    let moved = run(operation, [Input::of(&x)], [batch, sources.len(), channels]);
    moved.unwrap_or_else(|| x.clone().select(1, indices(sources, &x.device())))
}

/// Takes rows of `[M, C]`; a row may be taken more than once.
pub fn select_rows(x: Tensor<2>, sources: &[i64]) -> Tensor<2> {
    let [rows, row] = x.dims();
    let operation = Gather { sources: places(sources), rows, row };
    let taken = run(operation, [Input::of(&x)], [sources.len(), row]);
    taken.unwrap_or_else(|| x.clone().select(0, indices(sources, &x.device())))
}

fn places(sources: &[i64]) -> Vec<usize> {
    sources.iter().map(|&source| source as usize).collect()
}

fn indices(sources: &[i64], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(sources.to_vec(), [sources.len()]), device)
}

#[derive(Clone, Debug)]
struct Gather {
    sources: Vec<usize>,
    rows: usize,
    row: usize,
}

impl Fused<1> for Gather {
    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Vec<f32>) {
        let samples = x.len() / (self.rows * self.row).max(1);
        let mut out = Vec::with_capacity(samples * self.sources.len() * self.row);
        for sample in x.chunks_exact(self.rows * self.row) {
            for &source in &self.sources {
                out.extend_from_slice(&sample[source * self.row..(source + 1) * self.row]);
            }
        }
        (out, Vec::new())
    }

    fn backward(&self, [x]: [&[f32]; 1], _kept: &[f32], gradient: &[f32], _wanted: [bool; 1]) -> [Vec<f32>; 1] {
        let mut of_x = vec![0.0; x.len()];
        let samples = of_x.chunks_exact_mut(self.rows * self.row);
        for (of_sample, gradient) in samples.zip(gradient.chunks_exact(self.sources.len() * self.row)) {
            for (&source, gradient) in self.sources.iter().zip(gradient.chunks_exact(self.row)) {
                let of_row = &mut of_sample[source * self.row..(source + 1) * self.row];
                of_row.iter_mut().zip(gradient).for_each(|(of_row, gradient)| *of_row += gradient);
            }
        }
        [of_x]
    }
}
