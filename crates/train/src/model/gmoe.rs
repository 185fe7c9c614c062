//! Grid-level mixture of experts: each 64 px cell is sent to the best `top_k` of the experts, all its tokens together.
//!
//! A router reads the mean of the cell's tokens. Cells are sorted by expert, so each expert is one pair of matrix
//! products over all its cells; only selected experts run.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand_distr::{Distribution, Normal};

use super::block::EmittedPlace;
use super::token_order::TokenOrder;
use super::{Config, Mlp, Pass, Router, View, ViewPair, kernels, linear};
use crate::onnx::{Attribute, GmoeLowering, Graph, Value};

/// The router of a block, and its own experts where blocks do not share.
#[derive(Module, Debug)]
pub struct Gmoe {
    /// C to experts.
    pub routers: ViewPair<Linear>,
    /// Experts of this block alone; empty where the stage's are used.
    pub experts: Vec<Mlp>,
    /// Experts that a cell is sent to.
    pub top_k: usize,
    /// Edge of a cell in tokens.
    pub cell: usize,
    /// Deviation of the noise on the logits while training.
    pub noise_sigma: f64,
}

/// What a GMoE block gives.
pub struct Routed {
    /// `[B, N, C]`.
    pub tokens: Tensor<3>,
    /// Mean entropy of the gate over all cells, nats; `[1]`, with gradient.
    pub entropy: Tensor<1>,
}

/// Where each cell goes: `top_k` experts per cell, best first.
struct Routing {
    experts: Vec<i64>,
    top_k: usize,
}

impl Gmoe {
    /// Random weights; `experts` is empty where the stage's pool is used.
    pub fn new(config: &Config, stage: usize, experts: Vec<Mlp>, device: &Device) -> Self {
        let moe = &config.moe;
        let router = || linear::near_constant(config.width(stage), moe.experts, 0.01, 0.0, device);
        Self {
            routers: ViewPair { query: router(), tile: (moe.router == Router::PerView).then(router) },
            experts,
            top_k: moe.top_k,
            cell: moe.cells[stage],
            noise_sigma: moe.noise_sigma,
        }
    }

    /// `[B, N, C]` in the map's order; `pool` is the stage's.
    pub fn forward(
        &self,
        x: Tensor<3>,
        pool: &[Mlp],
        view: View,
        order: TokenOrder,
        pass: &mut Pass,
        name: &str,
    ) -> Routed {
        let [batch, tokens, channels] = x.dims();
        let edge = self.cell.min(order.height).min(order.width);
        let (size, cells) = (edge * edge, batch * tokens / (edge * edge));
        let grid = x.reshape([cells, size, channels]);
        let means = match size {
            1 => grid.clone().reshape([cells, channels]),
            _ => grid.clone().mean_dim(1).reshape([cells, channels]),
        };
        let logits = self.noisy(linear::forward(self.routers.of(view), means), pass);
        let entropy = entropy(logits.clone());
        let routing = Routing::best(&logits, self.top_k);
        let weights = softmax(logits.clone().gather(1, routing.indices(&logits.device())), 1);
        self.trace(&logits, &routing, &weights, &entropy, batch, pass, name);
        let experts = if self.experts.is_empty() { pool } else { &self.experts };
        let mixed = mixture(grid.reshape([cells, size * channels]), channels, &routing, weights, experts);
        Routed { tokens: mixed.reshape([batch, tokens, channels]), entropy }
    }

    fn noisy(&self, logits: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let sigma = self.noise_sigma as f32;
        let (Some(source), Ok(normal)) = (pass.noise.as_mut(), Normal::new(0.0_f32, sigma)) else {
            return logits;
        };
        let dims = logits.dims();
        let noise: Vec<f32> = (0..dims[0] * dims[1]).map(|_| normal.sample(source)).collect();
        let noise = Tensor::<2>::from_data(TensorData::new(noise, dims), &logits.device());
        logits + noise
    }

    #[allow(clippy::too_many_arguments, reason = "one call; the gate's four numbers are recorded together")]
    fn trace(
        &self,
        logits: &Tensor<2>,
        routing: &Routing,
        weights: &Tensor<2>,
        entropy: &Tensor<1>,
        batch: usize,
        pass: &mut Pass,
        name: &str,
    ) {
        let Some(trace) = pass.trace.as_mut() else { return };
        let [cells, experts] = logits.dims();
        let grid = |last: usize| [batch, cells / batch, last];
        let indices = TensorData::new(routing.experts.clone(), grid(self.top_k));
        trace.push((format!("{name}.logits"), logits.clone().reshape(grid(experts)).to_data()));
        trace.push((format!("{name}.idx"), indices));
        trace.push((format!("{name}.weight"), weights.clone().reshape(grid(self.top_k)).to_data()));
        trace.push((format!("{name}.entropy"), entropy.to_data()));
    }
}

/// Mean over rows of the entropy of the softmax over all experts, nats; `[cells, experts]` to `[1]`.
pub fn entropy(logits: Tensor<2>) -> Tensor<1> {
    let probability = softmax(logits, 1);
    let [cells, _] = probability.dims();
    let logarithm = (probability.clone() + 1e-8).log();
    (probability * logarithm).sum() * (-1.0 / cells as f64)
}

impl Routing {
    /// The `top_k` largest logits of each row `[cells, experts]`; of equal ones the lower index first.
    fn best(logits: &Tensor<2>, top_k: usize) -> Self {
        let [_, experts] = logits.dims();
        let values: Vec<f32> = logits.clone().detach().into_data().iter::<f32>().collect();
        let mut chosen = Vec::with_capacity(values.len() / experts * top_k);
        for row in values.chunks(experts) {
            let mut ranked: Vec<usize> = (0..experts).collect();
            ranked.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            chosen.extend(ranked[..top_k].iter().map(|&expert| expert as i64));
        }
        Self { experts: chosen, top_k }
    }

    fn indices(&self, device: &Device) -> Tensor<2, Int> {
        let cells = self.experts.len() / self.top_k;
        Tensor::from_data(TensorData::new(self.experts.clone(), [cells, self.top_k]), device)
    }

    /// The slots (cell x top_k + rank) of each expert.
    fn slots(&self, experts: usize) -> Vec<Vec<usize>> {
        let mut slots = vec![Vec::new(); experts];
        for (slot, &expert) in self.experts.iter().enumerate() {
            slots[expert as usize].push(slot);
        }
        slots
    }
}

/// Sum over the chosen experts of weight x expert(cell); `grid` is `[cells, size * C]`.
fn mixture(grid: Tensor<2>, channels: usize, routing: &Routing, weights: Tensor<2>, experts: &[Mlp]) -> Tensor<2> {
    let [cells, row] = grid.dims();
    let slots = routing.slots(experts.len());
    let sorted: Vec<usize> = slots.iter().flatten().copied().collect();
    let mut outputs = Vec::new();
    for (expert, slots) in experts.iter().zip(&slots).filter(|(_, slots)| !slots.is_empty()) {
        let sources: Vec<i64> = slots.iter().map(|slot| (slot / routing.top_k) as i64).collect();
        let input = kernels::select_rows(grid.clone(), &sources);
        let output = expert.forward(input.reshape([slots.len() * row / channels, channels]));
        outputs.push(output.reshape([slots.len(), row]));
    }
    let mut places = vec![0; sorted.len()];
    for (place, &slot) in sorted.iter().enumerate() {
        places[slot] = place as i64;
    }
    let unsorted = kernels::select_rows(Tensor::cat(outputs, 0), &places);
    let weighted = unsorted.reshape([cells, routing.top_k, row]) * weights.unsqueeze_dim::<3>(2);
    weighted.sum_dim(1).reshape([cells, row])
}

/// A GMoE block's values while it is written.
struct Emitted<'a> {
    name: &'a str,
    experts: &'a [Mlp],
    /// Tokens and channels of a cell.
    size: i64,
    channels: i64,
    top_k: i64,
    /// `[B * cells, size * C]`.
    grid: Value,
    /// `[B * cells, experts]`.
    logits: Value,
}

impl Gmoe {
    /// Emits [`Gmoe::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value, place: &EmittedPlace) -> Value {
        let order = place.order;
        let edge = self.cell.min(order.height).min(order.width);
        let (tokens, size) = (order.tokens() as i64, (edge * edge) as i64);
        let [channels, experts] = self.routers.query.weight.dims();
        let (channels, cells) = (channels as i64, tokens / size);
        let grid = graph.reshape(x, &[-1, cells, size, channels]);
        let means = graph.mean(&grid, 2, false);
        let both = [self.routers.of(View::Query), self.routers.of(View::Tile)];
        let weights = Tensor::stack::<3>(both.map(|router| router.weight.val()).to_vec(), 0);
        let logits = graph.matmul_by_view(&format!("{name}.routers.weight"), weights, place.view, &means);
        let zero = || Tensor::zeros([experts], &self.routers.query.weight.device());
        let biases = both.map(|router| router.bias.as_ref().map_or_else(zero, |bias| bias.val()).unsqueeze::<2>());
        let biases = Tensor::stack::<3>(biases.to_vec(), 0);
        let logits = graph.add_by_view(&format!("{name}.routers.bias"), biases, place.view, &logits);
        let emitted = Emitted {
            name,
            experts: if self.experts.is_empty() { place.pool } else { &self.experts },
            size,
            channels,
            top_k: self.top_k as i64,
            grid: graph.reshape(x, &[-1, size * channels]),
            logits: graph.reshape(&logits, &[-1, experts as i64]),
        };
        let mixed = match place.lowering {
            GmoeLowering::Custom => emitted.custom(graph),
            GmoeLowering::Sparse => emitted.sparse(graph),
            GmoeLowering::Static => emitted.gathered(graph),
        };
        graph.reshape(&mixed, &[-1, tokens, channels])
    }
}

impl Emitted<'_> {
    /// One node: x `[M, size, C]`, logits `[M, E]`, W1 `[E, C, H]`, b1 `[E, H]`, W2 `[E, H, C]`, b2 `[E, C]`.
    fn custom(&self, graph: &mut Graph) -> Value {
        let x = graph.reshape(&self.grid, &[-1, self.size, self.channels]);
        let [w1, b1, w2, b2] = self.stacked(graph);
        let inputs = [&x, &self.logits, &w1, &b1, &w2, &b2];
        graph.custom_node("GMoE", &inputs, vec![Attribute::Int("top_k", self.top_k)])
    }

    /// Each expert gathers its cells and adds its weighted outputs.
    fn sparse(&self, graph: &mut Graph) -> Value {
        let (indices, weights) = self.best(graph);
        let shape = graph.unary("Shape", &self.logits);
        let none = graph.node("ConstantOfShape", &[&shape], Vec::new());
        let gates = graph.node("ScatterElements", &[&none, &indices, &weights], vec![Attribute::Int("axis", 1)]);
        let shape = graph.unary("Shape", &self.grid);
        let mut total = graph.node("ConstantOfShape", &[&shape], Vec::new());
        for (index, expert) in self.experts.iter().enumerate() {
            let place = graph.integers(&[], &[index as i64]);
            let gate = graph.gather(&gates, &place, 1);
            let rows = graph.unary("NonZero", &gate);
            let flat = graph.reshape(&rows, &[-1]);
            let input = graph.gather(&self.grid, &flat, 0);
            let input = graph.reshape(&input, &[-1, self.channels]);
            let output = expert.emit(graph, &format!("{}.experts.{index}", self.name), &input);
            let output = graph.reshape(&output, &[-1, self.size * self.channels]);
            let gate = graph.gather(&gate, &flat, 0);
            let gate = graph.reshape(&gate, &[-1, 1]);
            let weighted = graph.multiply(&output, &gate);
            let places = graph.reshape(&rows, &[-1, 1]);
            let addition = vec![Attribute::Text("reduction", "add")];
            total = graph.node("ScatterND", &[&total, &places, &weighted], addition);
        }
        total
    }

    /// Each cell gathers its experts' weights.
    fn gathered(&self, graph: &mut Graph) -> Value {
        let (indices, weights) = self.best(graph);
        let [w1, b1, w2, b2] = self.stacked(graph);
        let x = graph.reshape(&self.grid, &[-1, 1, self.size, self.channels]);
        let hidden = self.gathered_linear(graph, &x, &w1, &b1, &indices);
        let active = graph.gelu(&hidden);
        let output = self.gathered_linear(graph, &active, &w2, &b2, &indices);
        let weights = graph.reshape(&weights, &[-1, self.top_k, 1, 1]);
        let weighted = graph.multiply(&output, &weights);
        graph.sum(&weighted, 1, false)
    }

    fn gathered_linear(&self, graph: &mut Graph, x: &Value, weight: &Value, bias: &Value, indices: &Value) -> Value {
        let weight = graph.gather(weight, indices, 0);
        let product = graph.matmul(x, &weight);
        let bias = graph.gather(bias, indices, 0);
        let axis = graph.vector(&[2]);
        let bias = graph.node("Unsqueeze", &[&bias, &axis], Vec::new());
        graph.add(&product, &bias)
    }

    /// Indices and weights `[M, top_k]` of the chosen experts.
    fn best(&self, graph: &mut Graph) -> (Value, Value) {
        let count = graph.vector(&[self.top_k]);
        let (values, indices) = graph.node_pair("TopK", &[&self.logits, &count], vec![Attribute::Int("axis", -1)]);
        let weights = graph.softmax(&values, -1);
        (indices, weights)
    }

    /// W1, b1, W2, b2 of all experts.
    fn stacked(&self, graph: &mut Graph) -> [Value; 4] {
        let device = self.experts[0].fc1.weight.device();
        let mut stack = |name: &str, layer: fn(&Mlp) -> &Linear| {
            let layers: Vec<&Linear> = self.experts.iter().map(layer).collect();
            let weights = layers.iter().map(|layer| layer.weight.val()).collect();
            let weights =
                graph.weights(&format!("{}.experts.{name}.weight", self.name), Tensor::stack::<3>(weights, 0));
            let biases = layers.iter().map(|layer| {
                let [_, outputs] = layer.weight.dims();
                layer.bias.as_ref().map_or_else(|| Tensor::zeros([outputs], &device), |bias| bias.val())
            });
            let biases = Tensor::stack::<2>(biases.collect(), 0);
            [weights, graph.weights(&format!("{}.experts.{name}.bias", self.name), biases)]
        };
        let [w1, b1] = stack("fc1", |expert| &expert.fc1);
        let [w2, b2] = stack("fc2", |expert| &expert.fc2);
        [w1, b1, w2, b2]
    }
}
