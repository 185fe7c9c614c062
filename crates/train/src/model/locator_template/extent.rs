//! What the query alone says of the clicked object: how large it is, and how far beside its middle it was clicked.
//!
//! The box head reads the window a cell at a time through few channels; the query shows the object once, in one place.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};

use super::{hats, linear};
use crate::model::Config;
use crate::model::linear::emit_linear;
use crate::model::smgeo::LocatorInputs;
use crate::onnx::{Graph, Value};

/// Places of the coarse features about the click, in cells.
const COARSE: [f32; 3] = [-1.0, 0.0, 1.0];
/// Places of the fine ones, in half cells.
const FINE: [f32; 5] = [-2.0, -1.0, 0.0, 1.0, 2.0];

/// Reads features around the click.
#[derive(Module, Debug)]
pub struct Extent {
    /// Features at all places to hidden.
    pub inner: Linear,
    /// Hidden to x, y of the object's middle from the click, cells, and the logarithms of width and height.
    pub outer: Linear,
    /// Width C of a coarse vector.
    pub channels: usize,
    /// Width F of a fine one; 0 where there is none.
    pub fine_channels: usize,
    /// Stride of the coarse features, px.
    pub stride_px: usize,
}

impl Extent {
    /// Random weights that say next to nothing.
    pub fn new(config: &Config, device: &Device) -> Self {
        let knobs = &config.template;
        let inputs = COARSE.len().pow(2) * knobs.channels + FINE.len().pow(2) * knobs.fine_channels;
        Self {
            inner: linear::linear(inputs, knobs.extent_hidden, true, device),
            outer: linear::near_constant(knobs.extent_hidden, 4, 0.002, 0.0, device),
            channels: knobs.channels,
            fine_channels: knobs.fine_channels,
            stride_px: config.stride_px(),
        }
    }

    /// `[K, 4]` of features `[K, E, E, C + 4F]` and clicks `[K, 2]` px.
    pub fn forward(&self, query: Tensor<4>, click: Tensor<2>) -> Tensor<2> {
        let [k, edge, _, _] = query.dims();
        let coarse = query.clone().narrow(3, 0, self.channels).reshape([k, edge * edge, self.channels]);
        let mut read = sampled(coarse, click.clone() / self.stride_px as f64 - 0.5, &COARSE, edge);
        if self.fine_channels > 0 {
            let fine = query.narrow(3, self.channels, 4 * self.fine_channels);
            let fine = fine.reshape([k, edge, edge, 2, 2, self.fine_channels]).permute([0, 1, 4, 2, 3, 5]);
            let fine = fine.reshape([k, 4 * edge * edge, self.fine_channels]);
            let at = click / (self.stride_px as f64 / 2.0) - 0.5;
            read = Tensor::cat(vec![read, sampled(fine, at, &FINE, 2 * edge)], 1);
        }
        linear::forward(&self.outer, gelu(linear::forward(&self.inner, read)))
    }

    /// Emits [`Extent::forward`].
    pub(super) fn emit(&self, graph: &mut Graph, inputs: &LocatorInputs, edge: usize) -> Value {
        let (channels, cells) = (self.channels as i64, (edge * edge) as i64);
        let coarse = graph.slice(&inputs.query, &[3], &[0], &[channels]);
        let coarse = graph.reshape(&coarse, &[0, cells, channels]);
        let mut read = emit_sampled(graph, &inputs.click, &coarse, self.stride_px as f32, &COARSE, edge);
        if self.fine_channels > 0 {
            let width = self.fine_channels as i64;
            let fine = graph.slice(&inputs.query, &[3], &[channels], &[i64::MAX]);
            let fine = graph.reshape(&fine, &[0, 0, 0, 2, 2, width]);
            let fine = graph.transpose(&fine, &[0, 1, 4, 2, 3, 5]);
            let fine = graph.reshape(&fine, &[0, 4 * cells, width]);
            let fine = emit_sampled(graph, &inputs.click, &fine, self.stride_px as f32 / 2.0, &FINE, 2 * edge);
            read = graph.concat(&[&read, &fine], 1);
        }
        let hidden = emit_linear(&self.inner, graph, "locator.extent.inner", &read);
        let hidden = graph.gelu(&hidden);
        emit_linear(&self.outer, graph, "locator.extent.outer", &hidden)
    }
}

/// Vectors `[K, edge^2, C]` at places around `at` `[K, 2]`, both in cells of these vectors: `[K, places^2 * C]`.
fn sampled(cells: Tensor<3>, at: Tensor<2>, places: &[f32], edge: usize) -> Tensor<2> {
    let [k, all, channels] = cells.dims();
    let count = places.len();
    let rows = hats(at.clone().narrow(1, 1, 1), places, edge).reshape([k, count, 1, edge, 1]);
    let columns = hats(at.narrow(1, 0, 1), places, edge).reshape([k, 1, count, 1, edge]);
    let sampler = (rows * columns).reshape([k, count * count, all]);
    sampler.matmul(cells).reshape([k, count * count * channels])
}

fn emit_sampled(graph: &mut Graph, click: &Value, cells: &Value, stride_px: f32, places: &[f32], edge: usize) -> Value {
    let (stride, half) = (graph.number(1.0 / stride_px), graph.number(0.5));
    let at = graph.multiply(click, &stride);
    let at = graph.subtract(&at, &half);
    let (x, y) = (graph.slice(&at, &[1], &[0], &[1]), graph.slice(&at, &[1], &[1], &[2]));
    let sampler = super::emit::emit_sampler(graph, &x, &y, edge, places);
    let read = graph.matmul(&sampler, cells);
    graph.reshape(&read, &[0, -1])
}
