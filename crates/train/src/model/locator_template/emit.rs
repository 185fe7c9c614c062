//! The ONNX emission of the template locator.

use burn::tensor::activation::softmax;

use super::super::linear::{centred, emit_linear};
use super::super::smgeo::{LocatorInputs, LocatorOutputs};
use super::{EDGE_CELLS, EDGE_LOG_MAX, LENGTH_SQUARED_MIN, LocatorTemplate, POOL_SIGMA_CELLS};
use crate::onnx::{Attribute, Graph, Value};

/// The emitted values that depend on the query alone.
struct EmittedAsked {
    template: Value,
    gate: Value,
    clicked: Value,
    absent: Value,
}

impl LocatorTemplate {
    /// Emits [`LocatorTemplate::forward`] between the values of [`super::Locator::emit`].
    pub fn emit(&self, graph: &mut Graph, inputs: &LocatorInputs, edge: usize) -> LocatorOutputs {
        let own = self.emit_own(graph, inputs);
        let asked = self.emit_asked(graph, &own, edge);
        let all = emit_linear(&self.map, graph, "locator.map", &own.reference);
        let all = graph.transpose(&all, &[0, 3, 1, 2]);
        let gates = self.heads * self.gate_channels;
        let (first, second) = (self.projection as i64, (self.projection + gates) as i64);
        let end = second + self.head_channels as i64;
        let projected = graph.slice(&all, &[1], &[0], &[first]);
        let flat = graph.reshape(&projected, &[0, self.projection as i64, -1]);
        let flat = graph.unit_planes(&flat, self.projection, 3, LENGTH_SQUARED_MIN as f32);
        let correlation = emit_correlation(graph, inputs, &asked.template, &flat, self.cells, 1);
        let planes = graph.vector(&[1]);
        let correlation = graph.node("Squeeze", &[&correlation, &planes], Vec::new());
        let gate_map = graph.slice(&all, &[1], &[first], &[second]);
        let cosine = self.emit_cosine(graph, inputs, &asked.gate, &gate_map);
        let attention = self.emit_attention(graph, &cosine);
        let head = graph.slice(&all, &[1], &[second], &[end]);
        let head = self.emit_windows(graph, inputs, &head, (self.head_channels / self.heads) as i64);
        let gated = graph.multiply(&head, &attention);
        let gated = graph.reshape(&gated, &[0, self.head_channels as i64, -1]);
        let cosine = graph.reshape(&cosine, &[0, self.heads as i64, -1]);
        let row = graph.reshape(&correlation, &[0, 1, -1]);
        let input = graph.concat(&[&gated, &cosine, &row], 1);
        let planes = (self.head_channels + self.heads + 1) as i64;
        let input = emit_planes(graph, inputs, &input, Some(planes), 1);
        let hidden = self.conv.centred().emit(graph, "locator.conv", &input);
        let clicked = graph.reshape(&asked.clicked, &[0, self.norm.weight.dims()[0] as i64, 1, 1]);
        let mut hidden = graph.add(&hidden, &clicked);
        let mut middle = graph.number(0.5);
        if let Some(fine) = &self.fine {
            let seen = fine.emit(graph, inputs, edge);
            hidden = graph.add(&hidden, &seen.hidden);
            middle = graph.add(&seen.offset, &middle);
        }
        let extent = self.extent.as_ref().map(|own| own.emit(graph, inputs, edge));
        let (heat, bounds) = self.emit_head(graph, &hidden, &middle, extent);
        let heat = graph.add(&heat, &correlation);
        let attention = graph.reshape(&attention, &[0, self.heads as i64, -1]);
        let share = graph.weigh_planes(&attention, &vec![1.0 / self.heads as f32; self.heads], 3);
        LocatorOutputs {
            heat: graph.subtract(&heat, &asked.absent),
            bounds,
            attention: emit_planes(graph, inputs, &share, None, 1),
        }
    }

    /// The inputs as the first correlation sees them: without the channels of the second.
    fn emit_own(&self, graph: &mut Graph, inputs: &LocatorInputs) -> LocatorInputs {
        let channels = self.template.weight.dims()[0] as i64;
        let mut own = |features: &Value| match &self.fine {
            Some(_) => graph.slice(features, &[3], &[0], &[channels]),
            None => features.clone(),
        };
        LocatorInputs {
            query: own(&inputs.query),
            reference: own(&inputs.reference),
            click: inputs.click.clone(),
            window: inputs.window.clone(),
        }
    }

    fn emit_asked(&self, graph: &mut Graph, inputs: &LocatorInputs, edge: usize) -> EmittedAsked {
        let channels = self.template.weight.dims()[0] as i64;
        let cells = graph.reshape(&inputs.query, &[0, (edge * edge) as i64, channels]);
        let stride = graph.number(1.0 / self.stride_px as f32);
        let half = graph.number(0.5);
        let at = graph.multiply(&inputs.click, &stride);
        let at = graph.subtract(&at, &half);
        let (x, y) = (graph.slice(&at, &[1], &[0], &[1]), graph.slice(&at, &[1], &[1], &[2]));
        let pool = self.emit_click_weights(graph, &x, &y, edge);
        let pooled = graph.matmul(&pool, &cells);
        let pooled = graph.reshape(&pooled, &[0, channels]);
        let sampler = emit_sampler(graph, &x, &y, edge, &self.offsets());
        let projected = emit_linear(&self.template, graph, "locator.template", &cells);
        let sampled = graph.matmul(&sampler, &projected);
        let sampled = graph.unit(&sampled, 2, LENGTH_SQUARED_MIN as f32);
        // The correlation's scale is carried by the template's shares.
        let shares = softmax(self.shares.val(), 0) * self.scale.val().exp();
        let shares = graph.weights("locator.shares", shares.reshape([1, self.cells * self.cells, 1]));
        let gate = emit_linear(&self.gate, graph, "locator.gate", &pooled);
        let gate = graph.reshape(&gate, &[0, self.heads as i64, self.gate_channels as i64]);
        let hidden = emit_linear(&self.absent1, graph, "locator.absent1", &pooled);
        let hidden = graph.gelu(&hidden);
        let absent = emit_linear(&self.absent2, graph, "locator.absent2", &hidden);
        EmittedAsked {
            template: graph.multiply(&sampled, &shares),
            gate: graph.unit(&gate, 2, LENGTH_SQUARED_MIN as f32),
            clicked: emit_linear(&centred(&self.clicked), graph, "locator.clicked", &pooled),
            absent: graph.reshape(&absent, &[0, 1, 1]),
        }
    }

    fn emit_click_weights(&self, graph: &mut Graph, x: &Value, y: &Value, edge: usize) -> Value {
        let grid: Vec<f32> = (0..edge).map(|cell| cell as f32).collect();
        let grid = graph.floats("grid", &[1, edge], &grid);
        let sharpness = graph.number((-0.5 / (POOL_SIGMA_CELLS * POOL_SIGMA_CELLS)) as f32);
        let mut axis = |centre: &Value, dims: &[i64]| {
            let distance = graph.subtract(&grid, centre);
            let squared = graph.multiply(&distance, &distance);
            let logits = graph.multiply(&squared, &sharpness);
            let weights = graph.softmax(&logits, 1);
            graph.reshape(&weights, dims)
        };
        let (rows, columns) = (axis(y, &[0, -1, 1]), axis(x, &[0, 1, -1]));
        let product = graph.multiply(&rows, &columns);
        graph.reshape(&product, &[0, 1, (edge * edge) as i64])
    }

    /// `[K, heads, gate channels]` against the map; gives `[K, heads, 1, H * W]`.
    fn emit_cosine(&self, graph: &mut Graph, inputs: &LocatorInputs, gate: &Value, map: &Value) -> Value {
        let (heads, width) = (self.heads as i64, self.gate_channels as i64);
        let map = graph.reshape(map, &[0, heads, width, -1]);
        let map = graph.unit_planes(&map, self.gate_channels, 4, LENGTH_SQUARED_MIN as f32);
        let map = graph.gather(&map, &inputs.window, 0);
        let gate = graph.reshape(gate, &[0, heads, 1, width]);
        graph.matmul(&gate, &map)
    }

    fn emit_attention(&self, graph: &mut Graph, cosine: &Value) -> Value {
        let dims = [1, self.heads, 1, 1];
        let scale = graph.weights("locator.gate_scale", self.gate_scale.val().exp().reshape(dims));
        let bias = graph.weights("locator.gate_bias", self.gate_bias.val().reshape(dims));
        let scaled = graph.multiply(cosine, &scale);
        let shifted = graph.add(&scaled, &bias);
        graph.unary("Sigmoid", &shifted)
    }

    /// Planes `[R, heads * group, H, W]` as each query's window sees them: `[K, heads, group, H * W]`.
    fn emit_windows(&self, graph: &mut Graph, inputs: &LocatorInputs, planes: &Value, group: i64) -> Value {
        let planes = graph.reshape(planes, &[0, self.heads as i64, group, -1]);
        graph.gather(&planes, &inputs.window, 0)
    }

    /// Norm, heat and box of the hidden planes, whose mean over the planes has been taken out of what makes them. They stay planes
    /// to the end, because runtimes that convolve in another layout would otherwise turn all of them over, which takes as long as
    /// the convolution.
    fn emit_head(&self, graph: &mut Graph, hidden: &Value, middle: &Value, extent: Option<Value>) -> (Value, Value) {
        let hidden = self.norm.emit_centred_planes(graph, "locator.norm", hidden);
        let hidden = graph.unary("Relu", &hidden);
        let out = self.emit_out(graph, &hidden);
        let heat = graph.slice(&out, &[1], &[0], &[1]);
        let planes = graph.vector(&[1]);
        let heat = graph.node("Squeeze", &[&heat, &planes], Vec::new());
        let mut bounds = graph.slice(&out, &[1], &[1], &[5]);
        if let Some(extent) = extent {
            let extent = graph.reshape(&extent, &[0, 4, 1, 1]);
            bounds = graph.add(&bounds, &extent);
        }
        let centre = graph.slice(&bounds, &[1], &[0], &[2]);
        let centre = graph.add(&centre, middle);
        let edges = graph.slice(&bounds, &[1], &[2], &[4]);
        let (low, high) = (graph.number(-EDGE_LOG_MAX as f32), graph.number(EDGE_LOG_MAX as f32));
        let edges = graph.node("Clip", &[&edges, &low, &high], Vec::new());
        let edges = graph.unary("Exp", &edges);
        let unit = graph.number(EDGE_CELLS as f32);
        let edges = graph.multiply(&edges, &unit);
        let bounds = graph.concat(&[&centre, &edges], 1);
        (heat, graph.transpose(&bounds, &[0, 2, 3, 1]))
    }

    /// The last linear layer as a convolution of one cell.
    fn emit_out(&self, graph: &mut Graph, hidden: &Value) -> Value {
        let weight = self.out.weight.val();
        let [width, planes] = weight.dims();
        let weight = graph.weights("locator.out.weight", weight.transpose().reshape([planes, width, 1, 1]));
        let bias = self.out.bias.as_ref().map(|bias| graph.weights("locator.out.bias", bias.val()));
        let inputs: Vec<&Value> = [hidden, &weight].into_iter().chain(&bias).collect();
        let attributes = vec![Attribute::Ints("pads", vec![0; 4]), Attribute::Ints("kernel_shape", vec![1; 2])];
        graph.node("Conv", &inputs, attributes)
    }
}

/// Bilinear weights `[K, places^2, edge^2]` of places at `offsets` from (x, y), each `[K, 1]`, all in cells.
pub(super) fn emit_sampler(graph: &mut Graph, x: &Value, y: &Value, edge: usize, offsets: &[f32]) -> Value {
    let places = offsets.len() as i64;
    let grid: Vec<f32> = (0..edge).map(|cell| cell as f32).collect();
    let grid = graph.floats("grid", &[1, 1, edge], &grid);
    let offsets = graph.floats("offsets", &[1, offsets.len()], offsets);
    let one = graph.number(1.0);
    let mut hat = |centre: &Value, dims: &[i64]| {
        let at = graph.add(centre, &offsets);
        let at = graph.reshape(&at, &[0, places, 1]);
        let distance = graph.subtract(&grid, &at);
        let distance = graph.unary("Abs", &distance);
        let weight = graph.subtract(&one, &distance);
        let weight = graph.unary("Relu", &weight);
        graph.reshape(&weight, dims)
    };
    let edge = edge as i64;
    let (rows, columns) = (hat(y, &[-1, places, 1, edge, 1]), hat(x, &[-1, 1, places, 1, edge]));
    let product = graph.multiply(&rows, &columns);
    graph.reshape(&product, &[-1, places * places, edge * edge])
}

/// Templates `[K, cells^2, P]` against flat maps `[R, P, H * W]` of `finer` times the rows and columns of the reference: one
/// product, then one shifted copy a template cell, summed; gives `[K, 1, H, W]`.
pub(super) fn emit_correlation(
    graph: &mut Graph,
    inputs: &LocatorInputs,
    template: &Value,
    flat: &Value,
    cells: usize,
    finer: i64,
) -> Value {
    let flat = graph.gather(flat, &inputs.window, 0);
    let product = graph.matmul(template, &flat);
    let cells = cells as i64;
    let planes = emit_planes(graph, inputs, &product, Some(cells * cells), finer);
    let pad = cells / 2;
    let pads = graph.vector(&[0, 0, pad, pad, 0, 0, pad, pad]);
    let padded = graph.node("Pad", &[&planes, &pads], Vec::new());
    let shifted: Vec<Value> = (0..cells * cells)
        .map(|cell| {
            let (row, column) = (cell / cells, cell % cells);
            let end = |start: i64| if start == cells - 1 { i64::MAX } else { start + 1 - cells };
            graph.slice(&padded, &[1, 2, 3], &[cell, row, column], &[cell + 1, end(row), end(column)])
        })
        .collect();
    graph.node("Sum", &shifted.iter().collect::<Vec<_>>(), Vec::new())
}

/// Gives flat maps of `finer` times the rows and columns of the reference their shape back: `[K, planes, H, W]`, or `[K, H, W]`
/// without planes.
pub(super) fn emit_planes(
    graph: &mut Graph,
    inputs: &LocatorInputs,
    flat: &Value,
    planes: Option<i64>,
    finer: i64,
) -> Value {
    let shape = graph.unary("Shape", &inputs.reference);
    let mut extent = graph.slice(&shape, &[0], &[1], &[3]);
    if finer > 1 {
        let finer = graph.vector(&[finer; 2]);
        extent = graph.multiply(&extent, &finer);
    }
    let front = match planes {
        Some(planes) => graph.vector(&[0, planes]),
        None => graph.vector(&[0]),
    };
    let shape = graph.concat(&[&front, &extent], 0);
    graph.reshape_to(flat, &shape)
}
