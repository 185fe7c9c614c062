//! The shared Swin encoder: one image of either view in, one map of features out.
//!
//! Everything happens inside the image: windows, shifts and biases never cross its border, so a tile's features depend
//! on the tile alone and can be cached.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::EmittedPlace;
use super::token_order::TokenOrder;
use super::{
    Config, Finer, Fusion, Norm, Pass, PatchEmbed, PatchMerge, Pyramid, Stage, View, ViewPair, kernels, patch_embed,
};
use crate::onnx::{Dimension, Element, GmoeLowering, Graph};

/// The encoder.
#[derive(Module, Debug)]
pub struct Encoder {
    /// One per view.
    pub patch_embed: ViewPair<PatchEmbed>,
    /// Four resolutions.
    pub stages: Vec<Stage>,
    /// Between the stages.
    pub merges: Vec<PatchMerge>,
    /// After the last stage, where features are its map.
    pub norm: Option<Norm>,
    /// In place of `norm`, where features are stage 2 and stage 3 joined.
    pub pyramid: Option<Pyramid>,
    /// Beside the pyramid, where the locator correlates at stride 8 too.
    pub finer: Option<Finer>,
}

/// What the encoder gives.
pub struct Encoded {
    /// `[B, F, F, C]`, row-major.
    pub features: Tensor<4>,
    /// Mean entropy of all gates, nats; `[1]`, with gradient. Absent without GMoE blocks.
    pub entropy: Option<Tensor<1>>,
}

impl Encoder {
    /// Random weights.
    pub fn new(config: &Config, device: &Device) -> Self {
        let template = config.fusion == Fusion::Template;
        Self {
            patch_embed: ViewPair {
                query: PatchEmbed::new(config.embed, View::Query, device),
                tile: Some(PatchEmbed::new(config.embed, View::Tile, device)),
            },
            stages: (0..4).map(|stage| Stage::new(config, stage, device)).collect(),
            merges: (0..3).map(|stage| PatchMerge::new(config.width(stage), device)).collect(),
            norm: config.ends_in_norm().then(|| Norm::new(config.width(3), device)),
            pyramid: template.then(|| Pyramid::new(config, device)),
            finer: (template && config.template.fine_channels > 0).then(|| Finer::new(config, device)),
        }
    }

    /// Encodes images `[B, H, W, 4]` of values 0..255 (the click map scaled by 255 as well).
    pub fn forward(&self, images: Tensor<4>, view: View, pass: &mut Pass) -> Encoded {
        self.forward_normalised(patch_embed::normalised(images), view, pass)
    }

    /// Encodes normalised images `[B, H, W, 4]`; both edges are multiples of 32 px.
    pub fn forward_normalised(&self, images: Tensor<4>, view: View, pass: &mut Pass) -> Encoded {
        let [batch, height, width, _] = images.dims();
        let mut order = TokenOrder::new(height / Config::PATCH_PX, width / Config::PATCH_PX);
        let patches = patch_embed::patches(images);
        let patches = kernels::gather_tokens(patches, &order.z_order_sources());
        let mut x = self.patch_embed.of(view).forward(patches);
        let prefix = match view {
            View::Query => "query",
            View::Tile => "tile",
        };
        pass.record(|| format!("{prefix}.patch_embed"), &x);
        let mut entropies = Vec::new();
        let (mut finest, mut fine) = (None, None);
        for (index, stage) in self.stages.iter().enumerate() {
            let name = format!("{prefix}.stage{index}");
            x = stage.forward(x, view, order, &name, pass, &mut entropies);
            pass.record(|| format!("{name}.out"), &x);
            if index == 1 && self.finer.is_some() {
                finest = Some(x.clone());
            }
            if index == 2 && self.pyramid.is_some() {
                fine = Some((x.clone(), order));
            }
            if let Some(merge) = self.merges.get(index) {
                x = merge.forward(x);
                order = order.merged();
                pass.record(|| format!("{prefix}.merge{index}.out"), &x);
            }
        }
        if let (Some(pyramid), Some((map, map_order))) = (&self.pyramid, fine) {
            (x, order) = (pyramid.forward(map, x), map_order);
        }
        if let (Some(finer), Some(stage1)) = (&self.finer, finest) {
            x = finer.forward(stage1, x);
        }
        if let Some(norm) = &self.norm {
            x = norm.forward(x);
        }
        let x = kernels::gather_tokens(x, &order.row_major_sources());
        let [_, _, channels] = x.dims();
        Encoded { features: x.reshape([batch, order.height, order.width, channels]), entropy: mean(entropies) }
    }
}

fn mean(entropies: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    let count = entropies.len() as f64;
    let sum = entropies.into_iter().reduce(|a, b| a + b)?;
    Some(sum / count)
}

impl Encoder {
    /// The graph of `encoder.onnx` for images of `edge_px`: `image` u8 `[B, edge, edge, 4]` and `view` i32 `[B]` (0 query,
    /// 1 tile) to `features` f32 `[B, F, F, C]`.
    pub fn emit(&self, edge_px: usize, lowering: GmoeLowering) -> Graph {
        use Dimension::{Fixed, Open};
        let mut graph = Graph::new();
        let batch = Open("B");
        let image = [batch, Fixed(edge_px), Fixed(edge_px), Fixed(4)];
        let image = graph.input("image", Element::U8, &image);
        let view = graph.input("view", Element::I32, &[batch]);
        let edge = edge_px / Config::PATCH_PX;
        let mut order = TokenOrder::new(edge, edge);
        let tokens = self.patch_embed.emit(&mut graph, &image, &view, [edge_px, edge_px]);
        let places = graph.vector(&order.z_order_sources());
        let mut x = graph.gather(&tokens, &places, 1);
        let (mut finest, mut fine) = (None, None);
        for (index, stage) in self.stages.iter().enumerate() {
            let place = EmittedPlace { pool: &stage.experts, view: &view, order, lowering };
            x = stage.emit(&mut graph, &format!("stages.{index}"), &x, &place);
            if index == 1 && self.finer.is_some() {
                finest = Some(x.clone());
            }
            if index == 2 && self.pyramid.is_some() {
                fine = Some((x.clone(), order));
            }
            if let Some(merge) = self.merges.get(index) {
                x = merge.emit(&mut graph, &format!("merges.{index}"), &x, order.tokens());
                order = order.merged();
            }
        }
        if let (Some(pyramid), Some((map, map_order))) = (&self.pyramid, fine) {
            (x, order) = (pyramid.emit(&mut graph, "pyramid", &map, &x, map_order.tokens()), map_order);
        }
        if let (Some(finer), Some(stage1)) = (&self.finer, finest) {
            x = finer.emit(&mut graph, "finer", &stage1, &x, order.tokens());
        }
        if let Some(norm) = &self.norm {
            x = norm.emit(&mut graph, "norm", &x);
        }
        let places = graph.vector(&order.row_major_sources());
        let x = graph.gather(&x, &places, 1);
        let channels = self.channels();
        let x = graph.reshape(&x, &[-1, order.height as i64, order.width as i64, channels as i64]);
        let features = [batch, Fixed(order.height), Fixed(order.width), Fixed(channels)];
        graph.output(&x, "features", Element::F32, &features);
        graph
    }

    /// Channels of the features.
    pub fn channels(&self) -> usize {
        let map = match &self.pyramid {
            Some(pyramid) => pyramid.norm.weight.dims()[0],
            None => self.merges[2].reduction.weight.dims()[1],
        };
        map + self.finer.as_ref().map_or(0, |finer| finer.above.weight.dims()[1])
    }
}
