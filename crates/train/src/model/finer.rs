//! Features at stride 8 for the template locator's second, finer correlation.
//!
//! Stage 1 keeps edges that stage 2 has merged; the pyramid above tells what they belong to. The four stride-8 vectors of a
//! stride-16 cell stand in the cell's channels, in Z-order, so a tile keeps one map of features.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::linear::{self, emit_linear};
use super::{Config, Norm};
use crate::onnx::{Graph, Value};

/// Stage 1 and the pyramid's map to `4 * fine_channels` channels a stride-16 cell.
#[derive(Module, Debug)]
pub struct Finer {
    /// Over stage 1's channels.
    pub norm: Norm,
    /// Stage 1's width to F.
    pub own: Linear,
    /// The pyramid's C channels to 4F: what the four are part of.
    pub above: Linear,
}

impl Finer {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let knobs = &config.template;
        Self {
            norm: Norm::new(config.width(1), device),
            own: linear::linear(config.width(1), knobs.fine_channels, true, device),
            above: linear::linear(knobs.channels, 4 * knobs.fine_channels, true, device),
        }
    }

    /// Stage 1 `[B, 4N, 2E]` and the pyramid's map `[B, N, C]`, both in Z-order, to `[B, N, C + 4F]`.
    pub fn forward(&self, stage1: Tensor<3>, map: Tensor<3>) -> Tensor<3> {
        let above = linear::forward(&self.above, map.clone());
        let own = linear::forward(&self.own, self.norm.forward(stage1)).reshape(above.dims());
        Tensor::cat(vec![map, own + above], 2)
    }
}

impl Finer {
    /// Emits [`Finer::forward`]; `tokens` is the number N of the pyramid's.
    pub fn emit(&self, graph: &mut Graph, name: &str, stage1: &Value, map: &Value, tokens: usize) -> Value {
        let above = emit_linear(&self.above, graph, &format!("{name}.above"), map);
        let own = self.norm.emit(graph, &format!("{name}.norm"), stage1);
        let own = emit_linear(&self.own, graph, &format!("{name}.own"), &own);
        let [_, channels] = self.above.weight.dims();
        let own = graph.reshape(&own, &[-1, tokens as i64, channels as i64]);
        let finer = graph.add(&own, &above);
        graph.concat(&[map, &finer], 2)
    }
}
