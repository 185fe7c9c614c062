//! Attention inside windows, plain or shifted, with a relative position bias (Swin, Liu et al. 2021, eq. 4).

use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::kernels;
use super::linear::{self, emit_linear};
use super::token_order::TokenOrder;
use crate::onnx::{Graph, Value};

/// Multi-head attention in windows.
#[derive(Module, Debug)]
pub struct WindowAttention {
    /// C to 3C: queries, keys, values.
    pub qkv: Linear,
    /// C to C.
    pub proj: Linear,
    /// `[(2 window - 1)^2, heads]`, read at (query row - key row, query column - key column).
    pub rel_bias: Option<Param<Tensor<2>>>,
    /// Attention heads.
    pub heads: usize,
    /// Edge of the window in tokens.
    pub window: usize,
    /// Shift of the windows in tokens; 0 leaves them in place.
    pub shift: usize,
}

/// Added to logits of pairs that the shift brings together but that are no neighbours.
const MASKED: f32 = -100.0;

impl WindowAttention {
    /// Random weights.
    pub fn new(channels: usize, heads: usize, window: usize, shift: usize, bias: bool, device: &Device) -> Self {
        let offsets = (2 * window - 1) * (2 * window - 1);
        let spread = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            qkv: linear::linear(channels, 3 * channels, true, device),
            proj: linear::linear(channels, channels, true, device),
            rel_bias: bias.then(|| spread.init([offsets, heads], device)),
            heads,
            window,
            shift,
        }
    }

    /// `[B, N, C]` in the map's order to `[B, N, C]`.
    pub fn forward(&self, x: Tensor<3>, order: TokenOrder) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let device = x.device();
        let geometry = self.geometry(order);
        let x = match geometry.shift {
            0 => x,
            shift => kernels::gather_tokens(x, &order.rolled(shift)),
        };
        let edge = geometry.window;
        let (windows, size) = (tokens / (edge * edge), edge * edge);
        let qkv = linear::forward(&self.qkv, x.reshape([batch * tokens, channels]));
        let qkv = qkv.reshape([batch * windows, size, 3 * channels]);
        let mixed = kernels::attention(qkv, self.bias(&geometry, order, &device), self.heads);
        let out = linear::forward(&self.proj, mixed.reshape([batch * tokens, channels]));
        let out = out.reshape([batch, tokens, channels]);
        match geometry.shift {
            0 => out,
            shift => kernels::gather_tokens(out, &order.rolled_back(shift)),
        }
    }

    /// The window's edge and shift on a map: a map not larger than a window is one window, unshifted.
    fn geometry(&self, order: TokenOrder) -> Geometry {
        let edge = order.height.min(order.width);
        match edge <= self.window {
            true => Geometry { window: edge, shift: 0 },
            false => Geometry { window: self.window, shift: self.shift },
        }
    }

    /// What is added to the logits: `[1 or windows, heads, n, n]`, n = window^2; nothing without bias and shift.
    fn bias(&self, geometry: &Geometry, order: TokenOrder, device: &Device) -> Option<Tensor<4>> {
        let size = geometry.window * geometry.window;
        let position = self.rel_bias.as_ref().map(|table| {
            let places: Vec<i64> = bias_rows(self.window, geometry.window).into_iter().map(|row| row as i64).collect();
            let places = Tensor::<1, Int>::from_data(TensorData::new(places, [size * size]), device);
            let rows = table.val().select(0, places);
            rows.swap_dims(0, 1).reshape([1, self.heads, size, size])
        });
        let mask = (geometry.shift > 0).then(|| {
            let mask = geometry.mask(order);
            let windows = mask.len() / (size * size);
            Tensor::<4>::from_data(TensorData::new(mask, [windows, 1, size, size]), device)
        });
        match (position, mask) {
            (Some(position), Some(mask)) => Some(position + mask),
            (Some(position), None) => Some(position),
            (None, Some(mask)) => Some(mask.repeat_dim(1, self.heads)),
            (None, None) => None,
        }
    }
}

/// Row of the bias table of windows of `window` tokens for each pair (query, key) of a window of `edge` x `edge` tokens in
/// Z-order.
pub fn bias_rows(window: usize, edge: usize) -> Vec<usize> {
    let reach = window - 1;
    let places = TokenOrder::new(edge, edge).places();
    let mut rows = Vec::with_capacity(places.len() * places.len());
    for &(query_y, query_x) in &places {
        for &(key_y, key_x) in &places {
            rows.push((query_y + reach - key_y) * (2 * window - 1) + query_x + reach - key_x);
        }
    }
    rows
}

/// A window on a given map.
struct Geometry {
    window: usize,
    shift: usize,
}

impl Geometry {
    /// `[windows, n, n]`: 0 inside one of Swin's nine regions of the rolled map, [`MASKED`] across.
    fn mask(&self, order: TokenOrder) -> Vec<f32> {
        let regions = self.regions(order);
        let windows = regions.chunks(self.window * self.window);
        windows
            .flat_map(|window| {
                let pairs = window.iter().flat_map(move |a| window.iter().map(move |b| a == b));
                pairs.map(|same| if same { 0.0 } else { MASKED })
            })
            .collect()
    }

    /// Which of Swin's nine regions of the rolled map each token lies in.
    fn regions(&self, order: TokenOrder) -> Vec<usize> {
        let region = |at: usize, length: usize| match at {
            at if at < length - self.window => 0,
            at if at < length - self.shift => 1,
            _ => 2,
        };
        order.places().into_iter().map(|(y, x)| region(y, order.height) * 3 + region(x, order.width)).collect()
    }
}

impl WindowAttention {
    /// Emits [`WindowAttention::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value, order: TokenOrder) -> Value {
        let geometry = self.geometry(order);
        let (tokens, size) = (order.tokens() as i64, (geometry.window * geometry.window) as i64);
        let [channels, _] = self.proj.weight.dims();
        let (heads, width) = (self.heads as i64, (channels / self.heads) as i64);
        let moved = |graph: &mut Graph, x: &Value, places: Vec<i64>| {
            let places = graph.vector(&places);
            graph.gather(x, &places, 1)
        };
        let x = match geometry.shift {
            0 => x.clone(),
            shift => moved(graph, x, order.rolled(shift)),
        };
        // Scaling the queries' weights scales the logits for nothing.
        let scale = [(width as f64).powf(-0.5), 1.0, 1.0];
        let names = ["q", "k", "v"];
        let axes = [[0, 1, 3, 2, 4], [0, 1, 3, 4, 2], [0, 1, 3, 2, 4]];
        let parts: Vec<Value> = (0..3)
            .map(|part| {
                let at = part * channels;
                let weight = self.qkv.weight.val().narrow(1, at, channels) * scale[part];
                let weight = graph.weights(&format!("{name}.{}.weight", names[part]), weight);
                let product = graph.matmul(&x, &weight);
                let bias = self.qkv.bias.as_ref().map(|bias| bias.val().narrow(0, at, channels) * scale[part]);
                let biased = match bias {
                    Some(bias) => {
                        let bias = graph.weights(&format!("{name}.{}.bias", names[part]), bias);
                        graph.add(&product, &bias)
                    }
                    None => product,
                };
                let split = graph.reshape(&biased, &[-1, tokens / size, size, heads, width]);
                graph.transpose(&split, &axes[part])
            })
            .collect();
        let mut logits = graph.matmul(&parts[0], &parts[1]);
        if let Some(bias) = self.emit_bias(graph, name, &geometry, order) {
            logits = graph.add(&logits, &bias);
        }
        let weights = graph.softmax(&logits, -1);
        let mixed = graph.matmul(&weights, &parts[2]);
        let mixed = graph.transpose(&mixed, &[0, 1, 3, 2, 4]);
        let mixed = graph.reshape(&mixed, &[-1, tokens, channels as i64]);
        let out = emit_linear(&self.proj, graph, &format!("{name}.proj"), &mixed);
        match geometry.shift {
            0 => out,
            shift => moved(graph, &out, order.rolled_back(shift)),
        }
    }

    /// Emits [`WindowAttention::bias`]. The mask is computed from the tokens' regions, since written out it would be a
    /// tenth of a small package; runtimes fold it when they load the graph.
    fn emit_bias(&self, graph: &mut Graph, name: &str, geometry: &Geometry, order: TokenOrder) -> Option<Value> {
        let unshifted = Geometry { window: geometry.window, shift: 0 };
        let position = self.bias(&unshifted, order, &self.proj.weight.device());
        let position = position.map(|bias| graph.weights(&format!("{name}.bias"), bias));
        if geometry.shift == 0 {
            return position;
        }
        let size = geometry.window * geometry.window;
        let regions: Vec<f32> = geometry.regions(order).into_iter().map(|region| region as f32).collect();
        let windows = regions.len() / size;
        let rows = graph.floats(&format!("{name}.regions"), &[windows, 1, size, 1], &regions);
        let columns = graph.reshape(&rows, &[windows as i64, 1, 1, size as i64]);
        // Regions are whole numbers: the square of a difference is 0 or at least 1.
        let difference = graph.subtract(&rows, &columns);
        let square = graph.multiply(&difference, &difference);
        let one = graph.number(1.0);
        let apart = graph.node("Min", &[&square, &one], vec![]);
        let masked = graph.number(MASKED);
        let mask = graph.multiply(&apart, &masked);
        Some(match position {
            Some(position) => graph.add(&position, &mask),
            None => mask,
        })
    }
}
