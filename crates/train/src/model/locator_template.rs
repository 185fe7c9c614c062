//! The default locator: a template of query cells around the click, correlated with the reference map.
//!
//! The template carries the layout of the neighbourhood, which is what learns on a small budget; beside it a few gate
//! heads compare the click-weighted query with every cell, and a small convolution head reads heat and box from the
//! gated map, the cosines and the correlation. A second correlation at half the stride, where there is one, says where in
//! its cell the object stands. Whatever touches the reference alone comes first, once per window.

use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{gelu, relu, sigmoid, softmax};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::linear;
use super::{Config, Convolution, FineMaps, LocatorMaps, Norm};

mod emit;
mod emit_fine;
mod extent;
mod fine;

pub use extent::Extent;
pub use fine::Fine;
pub(crate) use fine::REACH as FINE_REACH;

/// The template locator.
#[derive(Module, Debug)]
pub struct LocatorTemplate {
    /// Query cells, C to projection.
    pub template: Linear,
    /// Logit of each template cell's share, `[cells^2]`.
    pub shares: Param<Tensor<1>>,
    /// Logarithm of the correlation's scale in the heat logits, `[1]`.
    pub scale: Param<Tensor<1>>,
    /// Reference cells, C to projection, gate heads x gate channels, and head channels.
    pub map: Linear,
    /// Pooled query, C to gate heads x gate channels.
    pub gate: Linear,
    /// Logarithm of each gate head's scale, `[heads]`.
    pub gate_scale: Param<Tensor<1>>,
    /// Offset of each gate head, `[heads]`.
    pub gate_bias: Param<Tensor<1>>,
    /// Gated map, cosines and correlation to hidden.
    pub conv: Convolution,
    /// Pooled query, C to hidden: what was clicked, for the size of the box.
    pub clicked: Linear,
    /// Over the hidden channels.
    pub norm: Norm,
    /// Hidden to heat and box.
    pub out: Linear,
    /// Pooled query to hidden.
    pub absent1: Linear,
    /// Hidden to the logit of "not in this window".
    pub absent2: Linear,
    /// The second correlation, at half the stride.
    pub fine: Option<Fine>,
    /// What the query alone says of the box.
    pub extent: Option<Extent>,
    /// Template cells along an edge.
    pub cells: usize,
    /// Distance of template cells, in feature cells.
    pub spacing: f64,
    /// Stride of the features, px.
    pub stride_px: usize,
    /// Gate heads.
    pub heads: usize,
    /// Width of a gate head.
    pub gate_channels: usize,
    /// Width of the correlated projection.
    pub projection: usize,
    /// Gated reference channels.
    pub head_channels: usize,
}

/// Deviation of the click's weight in the pooled query, in cells.
const POOL_SIGMA_CELLS: f64 = 1.5;
/// Added to squared lengths before the root, so that a zero vector has a gradient.
const LENGTH_SQUARED_MIN: f64 = 1e-6;
/// Logarithms of box edges are held within this range around [`EDGE_CELLS`].
const EDGE_LOG_MAX: f64 = 4.0;
/// Edge of a box of log-size zero, in cells.
const EDGE_CELLS: f64 = 1.5;

/// What depends on the reference alone; channels first, `[R, channels, H * W]`.
struct Map {
    /// Planes of twice the height and width.
    fine: Option<Tensor<3>>,
    projected: Tensor<3>,
    gate: Tensor<3>,
    head: Tensor<3>,
}

/// What depends on the query alone.
struct Asked {
    fine: Option<Tensor<3>>,
    extent: Option<Tensor<2>>,
    template: Tensor<3>,
    gate: Tensor<3>,
    clicked: Tensor<2>,
    absent: Tensor<2>,
}

impl LocatorTemplate {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let knobs = &config.template;
        let channels = knobs.channels;
        let gates = knobs.gate_heads * knobs.gate_channels;
        let inputs = knobs.head_channels + knobs.gate_heads + 1;
        let hidden = knobs.head_hidden;
        let constant = |value: f64, size: usize| Initializer::Constant { value }.init([size], device);
        Self {
            template: linear::linear(channels, knobs.projection, true, device),
            shares: constant(0.0, knobs.cells * knobs.cells),
            scale: constant(20.0_f64.ln(), 1),
            map: linear::linear(channels, knobs.projection + gates + knobs.head_channels, true, device),
            gate: linear::linear(channels, gates, true, device),
            gate_scale: constant(4.0_f64.ln(), knobs.gate_heads),
            gate_bias: constant(0.0, knobs.gate_heads),
            conv: Convolution::new(inputs, hidden, 3, device),
            clicked: linear::linear(channels, hidden, true, device),
            norm: Norm::new(hidden, device),
            out: linear::near_constant(hidden, 5, 0.02, 0.0, device),
            absent1: linear::linear(channels, hidden, true, device),
            absent2: linear::near_constant(hidden, 1, 0.02, 0.0, device),
            fine: (knobs.fine_channels > 0).then(|| Fine::new(config, device)),
            extent: (knobs.extent_hidden > 0).then(|| Extent::new(config, device)),
            cells: knobs.cells,
            spacing: knobs.spacing_cells,
            stride_px: config.stride_px(),
            heads: knobs.gate_heads,
            gate_channels: knobs.gate_channels,
            projection: knobs.projection,
            head_channels: knobs.head_channels,
        }
    }

    /// `query` `[K, F, F, C]`, `click` `[K, 2]` px, `reference` `[R, H, W, C]`; query k looks at window `window[k]`.
    pub fn forward(&self, query: Tensor<4>, click: Tensor<2>, reference: Tensor<4>, window: &[usize]) -> LocatorMaps {
        let [_, height, width, _] = reference.dims();
        let device = reference.device();
        let asked = self.asked(query, click);
        let map = self.map(reference);
        let mut order = Vec::new();
        let mut parts = Vec::new();
        for index in 0..map.projected.dims()[0] {
            let queries: Vec<i64> = (0..window.len()).filter(|&k| window[k] == index).map(|k| k as i64).collect();
            if queries.is_empty() {
                continue;
            }
            let rows = Tensor::<1, Int>::from_data(TensorData::new(queries.clone(), [queries.len()]), &device);
            let whole = queries.len() == window.len();
            let asked = if whole { asked.clone_all() } else { asked.select(&rows) };
            parts.push(self.match_one(asked, map.one(index), [height, width]));
            order.extend(queries);
        }
        let mut places = vec![0_i64; order.len()];
        for (place, &query) in order.iter().enumerate() {
            places[query as usize] = place as i64;
        }
        joined(parts, places, &device)
    }

    /// Splits features `[.., C + 4F]` into those of the first correlation and those of the second.
    fn split(&self, features: Tensor<4>) -> (Tensor<4>, Option<Tensor<4>>) {
        let [.., all] = features.dims();
        let [channels, _] = self.template.weight.dims();
        let fine = self.fine.as_ref().map(|_| features.clone().narrow(3, channels, all - channels));
        (features.narrow(3, 0, channels), fine)
    }

    fn asked(&self, query: Tensor<4>, click: Tensor<2>) -> Asked {
        let extent = self.extent.as_ref().map(|own| own.forward(query.clone(), click.clone()));
        let (query, fine) = self.split(query);
        let fine = self.fine.as_ref().zip(fine).map(|(own, cells)| own.template(cells, click.clone()));
        let [k, edge, _, channels] = query.dims();
        let device = query.device();
        let cells = query.reshape([k, edge * edge, channels]);
        let at = click / self.stride_px as f64 - 0.5;
        let (x, y) = (at.clone().narrow(1, 0, 1), at.narrow(1, 1, 1));
        let grid = Tensor::<1, Int>::arange(0..edge as i64, &device).float();
        let pool = click_weights(x.clone(), y.clone(), grid);
        let pooled = pool.matmul(cells.clone()).reshape([k, channels]);
        let sampler = self.sampler(x, y, edge);
        let projected = linear::forward(&self.template, cells);
        let shares = softmax(self.shares.val(), 0).reshape([1, self.cells * self.cells, 1]);
        let template = unit(sampler.matmul(projected), 2) * shares;
        let gate = linear::forward(&self.gate, pooled.clone()).reshape([k, self.heads, self.gate_channels]);
        Asked {
            fine,
            extent,
            template,
            gate: unit(gate, 2),
            clicked: linear::forward(&self.clicked, pooled.clone()),
            absent: linear::forward(&self.absent2, gelu(linear::forward(&self.absent1, pooled))),
        }
    }

    /// Bilinear weights `[K, cells^2, F * F]` of the template's places; places beyond the query take nothing.
    fn sampler(&self, x: Tensor<2>, y: Tensor<2>, edge: usize) -> Tensor<3> {
        let [k, _] = x.dims();
        let (cells, offsets) = (self.cells, self.offsets());
        let rows = hats(y, &offsets, edge).reshape([k, cells, 1, edge, 1]);
        let columns = hats(x, &offsets, edge).reshape([k, 1, cells, 1, edge]);
        (rows * columns).reshape([k, cells * cells, edge * edge])
    }

    /// Distances of the template's rows (or columns) from the click, in feature cells.
    pub(super) fn offsets(&self) -> Vec<f32> {
        let half = (self.cells / 2) as f64;
        (0..self.cells).map(|cell| ((cell as f64 - half) * self.spacing) as f32).collect()
    }

    fn map(&self, reference: Tensor<4>) -> Map {
        let (reference, fine) = self.split(reference);
        let [r, height, width, channels] = reference.dims();
        let flat = reference.reshape([r, height * width, channels]);
        let all = linear::forward(&self.map, flat).swap_dims(1, 2);
        let gates = self.heads * self.gate_channels;
        let gate = all.clone().narrow(1, self.projection, gates);
        let gate = unit(gate.reshape([r * self.heads, self.gate_channels, height * width]), 1);
        Map {
            fine: self.fine.as_ref().zip(fine).map(|(own, cells)| own.reference(cells)),
            projected: unit(all.clone().narrow(1, 0, self.projection), 1),
            gate: gate.reshape([r, gates, height * width]),
            head: all.narrow(1, self.projection + gates, self.head_channels),
        }
    }

    /// All queries of one window.
    fn match_one(&self, asked: Asked, map: Map, [height, width]: [usize; 2]) -> LocatorMaps {
        let [k, ..] = asked.template.dims();
        let (heads, cells) = (self.heads, height * width);
        let correlation = correlate(asked.template, map.projected, self.cells, [height, width]);
        let gates = map.gate.reshape([heads, self.gate_channels, cells]);
        let cosine = asked.gate.swap_dims(0, 1).matmul(gates).swap_dims(0, 1);
        let scale = self.gate_scale.val().exp().reshape([1, heads, 1]);
        let attention = sigmoid(cosine.clone() * scale + self.gate_bias.val().reshape([1, heads, 1]));
        let group = self.head_channels / heads;
        let gated = map.head.reshape([1, heads, group, cells]) * attention.clone().unsqueeze_dim::<4>(2);
        let correlation = correlation.reshape([k, 1, cells]) * self.scale.val().exp().reshape([1, 1, 1]);
        let input = Tensor::cat(vec![gated.reshape([k, self.head_channels, cells]), cosine, correlation.clone()], 1);
        let [_, inputs, _] = input.dims();
        let hidden = self.conv.forward_narrow(input.reshape([k, inputs, height, width]));
        let mut hidden = hidden + asked.clicked.unsqueeze_dims::<4>(&[1, 1]);
        let mut middle = Tensor::zeros([1, 1, 1, 2], &hidden.device()) + 0.5;
        let mut maps = None;
        if let (Some(fine), Some(template), Some(map)) = (&self.fine, asked.fine, map.fine) {
            let seen = fine.see(template, map, [height, width]);
            hidden = hidden + seen.hidden;
            middle = middle + seen.offset.clone();
            maps = Some(FineMaps { correlation: seen.correlation, peak: seen.offset });
        }
        let out = linear::forward(&self.out, relu(self.norm.forward(hidden)));
        let heat = out.clone().narrow(3, 0, 1).reshape([k, height, width]);
        let mut bounds = out.clone().narrow(3, 1, 4);
        if let Some(extent) = asked.extent {
            bounds = bounds + extent.unsqueeze_dims::<4>(&[1, 1]);
        }
        let centre = bounds.clone().narrow(3, 0, 2) + middle;
        let edges = bounds.narrow(3, 2, 2).clamp(-EDGE_LOG_MAX, EDGE_LOG_MAX).exp() * EDGE_CELLS;
        LocatorMaps {
            heat: heat + correlation.reshape([k, height, width]) - asked.absent.unsqueeze_dim::<3>(2),
            bounds: Tensor::cat(vec![centre, edges], 3),
            attention: attention.mean_dim(1).reshape([k, height, width]),
            fine: maps,
        }
    }
}

impl Asked {
    fn clone_all(&self) -> Self {
        Self {
            fine: self.fine.clone(),
            extent: self.extent.clone(),
            template: self.template.clone(),
            gate: self.gate.clone(),
            clicked: self.clicked.clone(),
            absent: self.absent.clone(),
        }
    }

    fn select(&self, rows: &Tensor<1, Int>) -> Self {
        Self {
            fine: self.fine.clone().map(|fine| fine.select(0, rows.clone())),
            extent: self.extent.clone().map(|extent| extent.select(0, rows.clone())),
            template: self.template.clone().select(0, rows.clone()),
            gate: self.gate.clone().select(0, rows.clone()),
            clicked: self.clicked.clone().select(0, rows.clone()),
            absent: self.absent.clone().select(0, rows.clone()),
        }
    }
}

impl Map {
    fn one(&self, index: usize) -> Self {
        Self {
            fine: self.fine.clone().map(|fine| fine.narrow(0, index, 1)),
            projected: self.projected.clone().narrow(0, index, 1),
            gate: self.gate.clone().narrow(0, index, 1),
            head: self.head.clone().narrow(0, index, 1),
        }
    }
}

/// Correlates templates `[K, cells^2, P]` with one map `[1, P, H * W]`, zero beyond its border; gives `[1, K, H, W]`.
fn correlate(template: Tensor<3>, map: Tensor<3>, cells: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    let [k, _, projection] = template.dims();
    let filters = template.swap_dims(1, 2).reshape([k, projection, cells, cells]);
    let pad = cells / 2;
    let options = ConvOptions::new([1, 1], [pad, pad], [1, 1], 1);
    conv2d(map.reshape([1, projection, height, width]), filters, None, options)
}

/// Linear interpolation weights `[K, places, edge]` of places at `offsets` from `centre` `[K, 1]`, all in cells.
fn hats(centre: Tensor<2>, offsets: &[f32], edge: usize) -> Tensor<3> {
    let device = centre.device();
    let ([k, _], count) = (centre.dims(), offsets.len());
    let offsets = Tensor::<1>::from_data(TensorData::new(offsets.to_vec(), [count]), &device);
    let grid = Tensor::<1, Int>::arange(0..edge as i64, &device).float();
    let places = (centre + offsets.unsqueeze::<2>()).reshape([k, count, 1]);
    relu((grid.reshape([1, 1, edge]) - places).abs().neg() + 1.0)
}

/// Weights `[K, 1, F * F]` that fall off from the click as a Gaussian and sum to 1.
fn click_weights(x: Tensor<2>, y: Tensor<2>, grid: Tensor<1>) -> Tensor<3> {
    let [k, _] = x.dims();
    let [edge] = grid.dims();
    let sharpness = -0.5 / (POOL_SIGMA_CELLS * POOL_SIGMA_CELLS);
    let axis = |centre: Tensor<2>| softmax((grid.clone().unsqueeze::<2>() - centre).square() * sharpness, 1);
    let (rows, columns) = (axis(y).reshape([k, edge, 1]), axis(x).reshape([k, 1, edge]));
    (rows * columns).reshape([k, 1, edge * edge])
}

/// Scales vectors along `axis` to length 1.
fn unit(x: Tensor<3>, axis: usize) -> Tensor<3> {
    let length = (x.clone().square().sum_dim(axis) + LENGTH_SQUARED_MIN).sqrt();
    x / length
}

/// Puts the windows' maps together in the order of the queries.
fn joined(mut parts: Vec<LocatorMaps>, places: Vec<i64>, device: &Device) -> LocatorMaps {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let (mut heat, mut bounds, mut attention) = (Vec::new(), Vec::new(), Vec::new());
    let (mut correlation, mut peak) = (Vec::new(), Vec::new());
    for part in parts {
        heat.push(part.heat);
        bounds.push(part.bounds);
        attention.push(part.attention);
        if let Some(fine) = part.fine {
            correlation.push(fine.correlation);
            peak.push(fine.peak);
        }
    }
    let count = places.len();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), device);
    LocatorMaps {
        heat: Tensor::cat(heat, 0).select(0, rows.clone()),
        bounds: Tensor::cat(bounds, 0).select(0, rows.clone()),
        attention: Tensor::cat(attention, 0).select(0, rows.clone()),
        fine: (!peak.is_empty()).then(|| FineMaps {
            correlation: Tensor::cat(correlation, 0).select(0, rows.clone()),
            peak: Tensor::cat(peak, 0).select(0, rows),
        }),
    }
}
