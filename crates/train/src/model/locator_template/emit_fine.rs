//! The ONNX emission of the second correlation.

use super::LENGTH_SQUARED_MIN;
use super::emit::{emit_correlation, emit_sampler};
use super::fine::{CELLS, Fine, OFFSETS, REACH, WEIGHT_MIN, moments};
use crate::model::smgeo::LocatorInputs;
use crate::onnx::{Attribute, Graph, Value};

/// What the fine correlation tells the head, as planes.
pub(super) struct EmittedSeen {
    /// `[K, hidden, H, W]`, less its mean over the planes.
    pub hidden: Value,
    /// `[K, 2, H, W]`: x, y in stride-16 cells.
    pub offset: Value,
}

impl Fine {
    /// Emits [`Fine::see`] with what leads to it; query maps have `edge` cells along an edge.
    pub(super) fn emit(&self, graph: &mut Graph, inputs: &LocatorInputs, edge: usize) -> EmittedSeen {
        let template = self.emit_template(graph, inputs, edge);
        let vectors = self.emit_vectors(graph, &inputs.reference);
        let unit = graph.unit(&vectors, 5, LENGTH_SQUARED_MIN as f32);
        let planes = graph.transpose(&unit, &[0, 5, 1, 4, 2, 3]);
        let flat = graph.reshape(&planes, &[0, self.channels as i64, -1]);
        let correlation = emit_correlation(graph, inputs, &template, &flat, CELLS, 2);
        let conv = self.conv.val();
        let conv = graph.weights("locator.fine.conv", conv.clone() - conv.mean_dim(0));
        EmittedSeen { hidden: by_cell(graph, &correlation, &conv), offset: self.emit_offset(graph, &correlation) }
    }

    fn emit_template(&self, graph: &mut Graph, inputs: &LocatorInputs, edge: usize) -> Value {
        let vectors = self.emit_vectors(graph, &inputs.query);
        let rows = graph.transpose(&vectors, &[0, 1, 4, 2, 3, 5]);
        let rows = graph.reshape(&rows, &[0, 4 * (edge * edge) as i64, self.channels as i64]);
        let stride = graph.number((1.0 / self.stride_px) as f32);
        let half = graph.number(0.5);
        let at = graph.multiply(&inputs.click, &stride);
        let at = graph.subtract(&at, &half);
        let (x, y) = (graph.slice(&at, &[1], &[0], &[1]), graph.slice(&at, &[1], &[1], &[2]));
        let sampler = emit_sampler(graph, &x, &y, 2 * edge, &OFFSETS);
        let sampled = graph.matmul(&sampler, &rows);
        let sampled = graph.unit(&sampled, 2, LENGTH_SQUARED_MIN as f32);
        let weights = graph.weights("locator.fine.shares", self.weights());
        graph.multiply(&sampled, &weights)
    }

    /// The fine channels of cells `[.., H, W, C + 4F]` as `[.., H, W, 2, 2, F]`: column, then row in the cell.
    fn emit_vectors(&self, graph: &mut Graph, cells: &Value) -> Value {
        let fine = graph.slice(cells, &[3], &[-4 * self.channels as i64], &[i64::MAX]);
        graph.reshape(&fine, &[0, 0, 0, 2, 2, self.channels as i64])
    }

    fn emit_offset(&self, graph: &mut Graph, correlation: &Value) -> Value {
        let scale: f32 = self.bounded_scale().into_scalar();
        let scale = graph.number(scale);
        let weights = graph.subtract(correlation, &scale);
        let weights = graph.unary("Exp", &weights);
        let kernels = graph.floats("moments", &[3, 1, REACH, REACH], &moments());
        let moments = by_cell(graph, &weights, &kernels);
        let floor = graph.number(WEIGHT_MIN as f32);
        let sum = graph.slice(&moments, &[1], &[0], &[1]);
        let sum = graph.add(&sum, &floor);
        let offset = graph.slice(&moments, &[1], &[1], &[3]);
        let offset = graph.divide(&offset, &sum);
        let pull = graph.weights("locator.fine.pull", self.pull.val().reshape([1, 1, 1, 1]));
        graph.multiply(&offset, &pull)
    }
}

/// A convolution over the 6 x 6 fine places about each cell's middle.
fn by_cell(graph: &mut Graph, planes: &Value, kernels: &Value) -> Value {
    let ints = |name, values: &[i64]| Attribute::Ints(name, values.to_vec());
    let (reach, pad) = (REACH as i64, REACH as i64 / 2 - 1);
    let attributes = vec![ints("kernel_shape", &[reach; 2]), ints("strides", &[2; 2]), ints("pads", &[pad; 4])];
    graph.node("Conv", &[planes, kernels], attributes)
}
