//! The blocks of one resolution, with the pool of experts that its GMoE blocks share.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::{Block, EmittedPlace, Place};
use super::token_order::TokenOrder;
use super::{Config, Mlp, Pass, Pool, View};
use crate::onnx::{Graph, Value};

/// One stage.
#[derive(Module, Debug)]
pub struct Stage {
    /// The shared pool; empty without GMoE blocks or where each block has its own.
    pub experts: Vec<Mlp>,
    /// The blocks.
    pub blocks: Vec<Block>,
}

impl Stage {
    /// Random weights.
    pub fn new(config: &Config, stage: usize, device: &Device) -> Self {
        let shared = config.moe.pool == Pool::Stage && !config.moe.blocks[stage].is_empty();
        Self {
            experts: if shared { experts(config, stage, device) } else { Vec::new() },
            blocks: (0..config.depths[stage]).map(|index| Block::new(config, stage, index, device)).collect(),
        }
    }

    /// `[B, N, C]` to `[B, N, C]`; gate entropies are appended to `entropies`.
    pub fn forward(
        &self,
        mut x: Tensor<3>,
        view: View,
        order: TokenOrder,
        name: &str,
        pass: &mut Pass,
        entropies: &mut Vec<Tensor<1>>,
    ) -> Tensor<3> {
        for (index, block) in self.blocks.iter().enumerate() {
            let name = format!("{name}.block{index}");
            let place = Place { pool: &self.experts, view, order, name: &name };
            let (out, entropy) = block.forward(x, &place, pass);
            entropies.extend(entropy);
            pass.record(|| format!("{name}.out"), &out);
            x = out;
        }
        x
    }
}

/// A pool of experts with random weights.
pub fn experts(config: &Config, stage: usize, device: &Device) -> Vec<Mlp> {
    let width = config.width(stage);
    let hidden = (width as f64 * config.moe.hidden_ratio) as usize;
    (0..config.moe.experts).map(|_| Mlp::new(width, hidden, device)).collect()
}

impl Stage {
    /// Emits [`Stage::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value, place: &EmittedPlace) -> Value {
        let blocks = self.blocks.iter().enumerate();
        blocks.fold(x.clone(), |x, (index, block)| block.emit(graph, &format!("{name}.blocks.{index}"), &x, place))
    }
}
