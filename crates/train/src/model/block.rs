//! A Swin block: `x += attention(norm1(x)); x += mlp_or_gmoe(norm2(x))`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::token_order::TokenOrder;
use super::{Config, Gmoe, Mlp, Norm, Pass, Pool, View, WindowAttention};
use crate::onnx::{GmoeLowering, Graph, Value};

/// One block.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: Norm,
    /// Windows, shifted in odd blocks.
    pub attn: WindowAttention,
    /// Before the feed-forward part.
    pub norm2: Norm,
    /// The feed-forward network of a dense block.
    pub mlp: Option<Mlp>,
    /// The mixture of experts of a GMoE block.
    pub moe: Option<Gmoe>,
    /// Drop probability of both branches while training.
    pub drop_path: f64,
}

/// What all blocks of a forward pass share.
pub struct Place<'a> {
    /// The stage's experts.
    pub pool: &'a [Mlp],
    /// The images' view.
    pub view: View,
    /// The order of the stage's tokens.
    pub order: TokenOrder,
    /// The block's name in a trace.
    pub name: &'a str,
}

impl Block {
    /// Random weights of block `index` of `stage`.
    pub fn new(config: &Config, stage: usize, index: usize, device: &Device) -> Self {
        let width = config.width(stage);
        let shift = if config.shift && index % 2 == 1 { config.window / 2 } else { 0 };
        let routed = config.moe.blocks[stage].contains(&index);
        let own_pool = match config.moe.pool {
            Pool::Stage => Vec::new(),
            Pool::Block => super::stage::experts(config, stage, device),
        };
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        let before: usize = config.depths[..stage].iter().sum::<usize>() + index;
        let last = config.depths.iter().sum::<usize>() - 1;
        Self {
            norm1: Norm::new(width, device),
            attn: WindowAttention::new(width, config.heads[stage], config.window, shift, config.position_bias, device),
            norm2: Norm::new(width, device),
            mlp: (!routed).then(|| Mlp::new(width, hidden, device)),
            moe: routed.then(|| Gmoe::new(config, stage, own_pool, device)),
            drop_path: config.drop_path * before as f64 / last.max(1) as f64,
        }
    }

    /// `[B, N, C]` to `[B, N, C]`, and the gate's entropy of a GMoE block.
    pub fn forward(&self, x: Tensor<3>, place: &Place, pass: &mut Pass) -> (Tensor<3>, Option<Tensor<1>>) {
        let attended = self.attn.forward(self.norm1.forward(x.clone()), place.order);
        pass.record(|| format!("{}.attn", place.name), &attended);
        let x = x + pass.drop_path(attended, self.drop_path);
        let input = self.norm2.forward(x.clone());
        let (output, entropy) = match (&self.moe, &self.mlp) {
            (Some(moe), _) => {
                let gate = format!("{}.gate", place.name);
                let routed = moe.forward(input, place.pool, place.view, place.order, pass, &gate);
                (routed.tokens, Some(routed.entropy))
            }
            (None, Some(mlp)) => (mlp.forward(input), None),
            (None, None) => (input, None),
        };
        (x + pass.drop_path(output, self.drop_path), entropy)
    }
}

/// What all blocks of an emitted stage share.
pub struct EmittedPlace<'a> {
    /// The stage's experts.
    pub pool: &'a [Mlp],
    /// Views `[B]`.
    pub view: &'a Value,
    /// The order of the stage's tokens.
    pub order: TokenOrder,
    /// How GMoE blocks are written.
    pub lowering: GmoeLowering,
}

impl Block {
    /// Emits [`Block::forward`].
    pub fn emit(&self, graph: &mut Graph, name: &str, x: &Value, place: &EmittedPlace) -> Value {
        let normal = self.norm1.emit(graph, &format!("{name}.norm1"), x);
        let attended = self.attn.emit(graph, &format!("{name}.attn"), &normal, place.order);
        let x = graph.add(x, &attended);
        let normal = self.norm2.emit(graph, &format!("{name}.norm2"), &x);
        let output = match (&self.moe, &self.mlp) {
            (Some(moe), _) => moe.emit(graph, &format!("{name}.moe"), &normal, place),
            (None, Some(mlp)) => mlp.emit(graph, &format!("{name}.mlp"), &normal),
            (None, None) => normal,
        };
        graph.add(&x, &output)
    }
}
