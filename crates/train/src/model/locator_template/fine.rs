//! The second correlation, at half the stride: a template of 3 x 3 vectors around the click.
//!
//! The first tells places apart; where in its cell the object stands this one sees. Its peak within a cell and half about
//! each cell's middle moves the box there, and the head sees it all.

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::{correlate, hats, unit};
use crate::model::Config;

/// Edge of the fine template.
pub(super) const CELLS: usize = 3;
/// Distances of its rows (or columns) from the click, in stride-8 places.
pub(super) const OFFSETS: [f32; CELLS] = [-1.0, 0.0, 1.0];
/// Edge of the square of stride-8 places that the peak is sought in, about a stride-16 cell's middle.
pub(crate) const REACH: usize = 6;
/// Greatest scale of the correlation: the weights e^-scale .. 1 are numbers in 16 bits too.
pub(super) const SCALE_MAX: f64 = 16.0;
/// Added to the sum of weights; where nothing correlates the peak is in the middle.
pub(super) const WEIGHT_MIN: f64 = 1e-7;

/// The fine template and what reads its correlation.
#[derive(Module, Debug)]
pub struct Fine {
    /// Logit of each template cell's share, `[9]`.
    pub shares: Param<Tensor<1>>,
    /// Logarithm of the correlation's scale, `[1]`.
    pub scale: Param<Tensor<1>>,
    /// How far the box follows the peak, `[1]`.
    pub pull: Param<Tensor<1>>,
    /// 6 x 6 places of the correlation to the head's hidden channels, `[hidden, 1, 6, 6]`.
    pub conv: Param<Tensor<4>>,
    /// Stride of the fine vectors, px.
    pub stride_px: f64,
    /// Width F of a fine vector.
    pub channels: usize,
}

/// What the fine correlation tells.
pub(super) struct Seen {
    /// `[K, 2 * H, 2 * W]`, scaled.
    pub correlation: Tensor<3>,
    /// For the head, `[K, H, W, hidden]`.
    pub hidden: Tensor<4>,
    /// Where the peak is from a cell's middle, `[K, H, W, 2]` as x, y in stride-16 cells.
    pub offset: Tensor<4>,
}

impl Fine {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let knobs = &config.template;
        let constant = |value: f64, size: usize| Initializer::Constant { value }.init([size], device);
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            shares: constant(0.0, CELLS * CELLS),
            scale: constant(10.0_f64.ln(), 1),
            pull: constant(1.0, 1),
            conv: small.init([knobs.head_hidden, 1, REACH, REACH], device),
            stride_px: config.stride_px() as f64 / 2.0,
            channels: knobs.fine_channels,
        }
    }

    /// The template `[K, 9, F]` of fine vectors `[K, E, E, 4F]` around clicks `[K, 2]` px, already scaled.
    pub fn template(&self, cells: Tensor<4>, click: Tensor<2>) -> Tensor<3> {
        let [k, edge, _, _] = cells.dims();
        let flat = self.planes(cells).swap_dims(1, 2);
        let at = click / self.stride_px - 0.5;
        let axis = |axis: usize| hats(at.clone().narrow(1, axis, 1), &OFFSETS, 2 * edge);
        let rows = axis(1).reshape([k, CELLS, 1, 2 * edge, 1]);
        let columns = axis(0).reshape([k, 1, CELLS, 1, 2 * edge]);
        let sampler = (rows * columns).reshape([k, CELLS * CELLS, 4 * edge * edge]);
        unit(sampler.matmul(flat), 2) * self.weights()
    }

    /// Each template cell's share times the scale, `[1, 9, 1]`.
    pub(super) fn weights(&self) -> Tensor<3> {
        (softmax(self.shares.val(), 0) * self.bounded_scale()).reshape([1, CELLS * CELLS, 1])
    }

    /// The correlation's scale, `[1]`.
    pub(super) fn bounded_scale(&self) -> Tensor<1> {
        self.scale.val().clamp_max(SCALE_MAX.ln()).exp()
    }

    /// Cells `[R, H, W, 4F]`, their four vectors in Z-order, to planes `[R, F, 4 * H * W]` of 2H x 2W.
    fn planes(&self, cells: Tensor<4>) -> Tensor<3> {
        let [r, height, width, channels] = cells.dims();
        let each = channels / 4;
        let parts = cells.reshape([r, height, width, 2, 2, each]);
        parts.permute([0, 5, 1, 4, 2, 3]).reshape([r, each, 4 * height * width])
    }

    /// Planes of unit vectors.
    pub fn reference(&self, cells: Tensor<4>) -> Tensor<3> {
        unit(self.planes(cells), 1)
    }

    /// Correlates templates with the planes `[1, F, 4 * H * W]` of one window of H x W cells.
    pub(super) fn see(&self, template: Tensor<3>, map: Tensor<3>, [height, width]: [usize; 2]) -> Seen {
        let [k, ..] = template.dims();
        let correlation = correlate(template, map, CELLS, [2 * height, 2 * width]).swap_dims(0, 1);
        let weights = (correlation.clone() - self.bounded_scale().reshape([1, 1, 1, 1])).exp();
        let kernel = Tensor::from_data(TensorData::new(moments(), [3, 1, REACH, REACH]), &weights.device());
        let moments = conv2d(weights, kernel, None, by_cell());
        let sum = moments.clone().narrow(1, 0, 1) + WEIGHT_MIN;
        let offset = moments.narrow(1, 1, 2) / sum * self.pull.val().reshape([1, 1, 1, 1]);
        let hidden = conv2d(correlation.clone(), self.conv.val(), None, by_cell());
        debug_assert_eq!(offset.dims(), [k, 2, height, width]);
        Seen {
            correlation: correlation.reshape([k, 2 * height, 2 * width]),
            hidden: hidden.permute([0, 2, 3, 1]),
            offset: offset.permute([0, 2, 3, 1]),
        }
    }
}

fn by_cell() -> ConvOptions<2> {
    let pad = REACH / 2 - 1;
    ConvOptions::new([2, 2], [pad, pad], [1, 1], 1)
}

/// The kernels, `[3, 6, 6]`, whose products with weights about a cell are their sum and their moments in x and y, in cells.
pub(super) fn moments() -> Vec<f32> {
    let place = |index: usize| (index as f32 + 0.5 - REACH as f32 / 2.0) / 2.0;
    let each = |weight: fn(f32, f32) -> f32| {
        let places = (0..REACH).flat_map(move |row| (0..REACH).map(move |column| (place(column), place(row))));
        places.map(move |(x, y)| weight(x, y))
    };
    each(|_, _| 1.0).chain(each(|x, _| x)).chain(each(|_, y| y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fine features of random vectors; the query's are the window's moved by some stride-8 places.
    #[test]
    fn the_peak_is_where_the_query_was_cut() {
        let device = Device::flex();
        let mut config = Config::nano();
        config.template.fine_channels = 8;
        let fine = Fine::new(&config, &device);
        let (edge, channels) = (4, 32);
        let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let values: Vec<f32> = (0..edge * edge * channels).map(noise).collect();
        let cells = Tensor::<4>::from_data(TensorData::new(values, [1, edge, edge, channels]), &device);
        // The middle of the stride-8 vector in row 3, column 4: cell (1, 2), lower left.
        let click = Tensor::<2>::from_data([[36.0, 28.0]], &device);
        let seen = fine.see(fine.template(cells.clone(), click), fine.reference(cells), [edge, edge]);
        let offset: Vec<f32> = seen.offset.slice([0..1, 1..2, 2..3]).into_data().iter::<f32>().collect();
        assert!((offset[0] + 0.25).abs() < 0.1 && (offset[1] - 0.25).abs() < 0.1, "{offset:?}");
    }
}
