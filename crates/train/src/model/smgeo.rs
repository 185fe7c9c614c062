//! The whole network: encoder and locator.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::onnx::{Dimension, Element, Graph, Value};

use super::{Config, ConfigError, Encoded, Encoder, Fusion, LocatorPaper, LocatorTemplate, Pass, View};

/// SMGeo.
#[derive(Module, Debug)]
pub struct SmGeo {
    /// Images to features, for both views.
    pub encoder: Encoder,
    /// Query features and a map of tile features to heat and box.
    pub locator: Locator,
}

/// One of the two kinds of locator; exactly one is present.
#[derive(Module, Debug)]
pub struct Locator {
    /// `fusion = "template"`.
    pub template: Option<LocatorTemplate>,
    /// `fusion = "paper"`, `"softmax"` or `"none"`.
    pub paper: Option<LocatorPaper>,
}

/// What the locator gives for K queries on maps of H x W cells.
#[derive(Clone, Debug)]
pub struct LocatorMaps {
    /// Logits `[K, H, W]`. Template: relative to "not in this window", whose logit is 0. Paper: the logit of the score.
    pub heat: Tensor<3>,
    /// `[K, H, W, 4]`: dx, dy, w, h in cells; the box's centre is (cell index + dx, dy) times the stride.
    pub bounds: Tensor<4>,
    /// `[K, H, W]`, 0 to 1: how much the gate lets through.
    pub attention: Tensor<3>,
    /// What the fine correlation says of the clicked point, where there is one.
    pub fine: Option<FineMaps>,
}

/// The fine correlation of K queries, at half the stride.
#[derive(Clone, Debug)]
pub struct FineMaps {
    /// `[K, 2 * H, 2 * W]`: the correlation, scaled. Among neighbouring places these are logits.
    pub correlation: Tensor<3>,
    /// `[K, H, W, 2]`: x, y in cells from a cell's middle to the correlation's peak near it.
    pub peak: Tensor<4>,
}

impl SmGeo {
    /// The network with random weights, drawn from the device's seeded generator.
    pub fn new(config: &Config, device: &Device) -> Result<Self, ConfigError> {
        config.validate()?;
        let template = config.fusion == Fusion::Template;
        let model = Self {
            encoder: Encoder::new(config, device),
            locator: Locator {
                template: template.then(|| LocatorTemplate::new(config, device)),
                paper: (!template).then(|| LocatorPaper::new(config, device)),
            },
        };
        // Parameters are drawn when first read; reading them here makes the draw order, and so the seed, meaningful.
        Ok(model.materialize())
    }

    /// Encodes images `[B, H, W, 4]` of one view: R, G, B and click map, all as bytes 0..255 in f32 (the click map's
    /// 0..1 times 255, zero for tiles), exactly what the `image` input of `encoder.onnx` holds as u8.
    pub fn encode(&self, images: Tensor<4>, view: View, pass: &mut Pass) -> Encoded {
        self.encoder.forward(images, view, pass)
    }

    /// Matches queries `[K, F, F, C]` with clicks `[K, 2]` (x, y in query px) against maps `[R, H, W, C]`; query k looks
    /// at map `window[k]`.
    pub fn locate(
        &self,
        query: Tensor<4>,
        click: Tensor<2>,
        reference: Tensor<4>,
        window: &[usize],
        pass: &mut Pass,
    ) -> LocatorMaps {
        debug_assert!(window.iter().all(|&index| index < reference.dims()[0]));
        match (&self.locator.template, &self.locator.paper) {
            (Some(template), _) => template.forward(query, click, reference, window),
            (None, Some(paper)) => paper.forward(query, reference, window, pass),
            (None, None) => unreachable!("a network is built with one locator"),
        }
    }
}

/// Inputs of an emitted locator.
pub struct LocatorInputs {
    /// `[K, F, F, C]`.
    pub query: Value,
    /// `[K, 2]`, query px.
    pub click: Value,
    /// `[R, H, W, C]`.
    pub reference: Value,
    /// `[K]`: which of R.
    pub window: Value,
}

/// Outputs of an emitted locator, as in [`LocatorMaps`].
pub struct LocatorOutputs {
    /// `[K, H, W]`.
    pub heat: Value,
    /// `[K, H, W, 4]`.
    pub bounds: Value,
    /// `[K, H, W]`.
    pub attention: Value,
}

impl Locator {
    /// The graph of `locator.onnx` for query maps of `edge` x `edge` cells of `channels`.
    pub fn emit(&self, edge: usize, channels: usize) -> Graph {
        use Dimension::{Fixed, Open};
        let mut graph = Graph::new();
        let (k, r, height, width) = (Open("K"), Open("R"), Open("H"), Open("W"));
        let f32 = Element::F32;
        let inputs = LocatorInputs {
            query: graph.input("query", f32, &[k, Fixed(edge), Fixed(edge), Fixed(channels)]),
            click: graph.input("click", f32, &[k, Fixed(2)]),
            reference: graph.input("reference", f32, &[r, height, width, Fixed(channels)]),
            window: graph.input("window", Element::I32, &[k]),
        };
        let outputs = match (&self.template, &self.paper) {
            (Some(template), _) => template.emit(&mut graph, &inputs, edge),
            (None, Some(paper)) => paper.emit(&mut graph, &inputs),
            (None, None) => unreachable!("a network is built with one locator"),
        };
        graph.output(&outputs.heat, "heat", f32, &[k, height, width]);
        graph.output(&outputs.bounds, "box", f32, &[k, height, width, Fixed(4)]);
        graph.output(&outputs.attention, "attention", f32, &[k, height, width]);
        graph
    }
}
