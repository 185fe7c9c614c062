//! The weights of an engine package, read back out of its two ONNX files, so that a shipped package can be trained on.
//!
//! The inverse of the emission, for the template locator in the sparse lowering: constants carry the names of the layers
//! they were emitted from. What the emission folded together (image normalisation, attention scale, position bias by pairs,
//! template shares) is taken apart again.

use std::collections::HashMap;
use std::path::Path;

use rten_onnx::onnx::{DataType, ModelProto, TensorProto};
use smgeo_engine::package::{ENCODER, LOCATOR};

use super::weights::half;
use super::{CheckpointError, Parameter, Weight, Weights};
use crate::model::{Config, View, bias_rows, normalisation};

/// Reads the weights of all `wanted` parameters from the package in `folder`, which has to be of the network of `config`.
pub fn package(folder: &Path, config: &Config, wanted: &[Parameter]) -> Result<Weights, CheckpointError> {
    let mut constants = Constants::default();
    for file in [ENCODER, LOCATOR] {
        constants.read(&folder.join(file))?;
    }
    let mut weights = Weights::default();
    let mut missing = Vec::new();
    for Parameter { name, shape, .. } in wanted {
        match constants.parameter(name, shape, config) {
            Some(weight) => drop(weights.0.insert(name.clone(), weight)),
            None => missing.push(name.clone()),
        }
    }
    match missing.is_empty() {
        true => Ok(weights),
        false => Err(CheckpointError::Names { missing, unknown: Vec::new() }),
    }
}

/// Constants of the graphs by the name of what they were emitted from.
#[derive(Default)]
struct Constants(HashMap<String, Weight>);

impl Constants {
    fn read(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::File { path: path.into(), source })?;
        let broken = |problem: String| CheckpointError::Broken { path: path.into(), problem };
        let model = ModelProto::parse_buf(&bytes).map_err(|error| broken(error.to_string()))?;
        let graph = model.graph.ok_or_else(|| broken("it holds no graph".into()))?;
        for constant in &graph.initializer {
            if let Some((name, weight)) = named(constant) {
                self.0.insert(name, weight);
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Weight> {
        self.0.get(name)
    }

    /// The parameter of a name, in the outside layout (linear weights `[out, in]`).
    fn parameter(&self, name: &str, shape: &[usize], config: &Config) -> Option<Weight> {
        if let Some(rest) = name.strip_prefix("patch_embed.") {
            return self.patch_embed(rest, shape);
        }
        if let Some((block, leaf)) = name.split_once(".attn.qkv.") {
            return self.qkv(block, leaf);
        }
        if let Some(block) = name.strip_suffix(".attn.rel_bias") {
            return self.position(block, shape);
        }
        if let Some((block, rest)) = name.split_once(".moe.routers.") {
            let (view, leaf) = of_view(rest)?;
            return Some(matrix(leaf, self.get(&format!("{block}.moe.routers.{leaf}"))?.row(view)?, shape));
        }
        if let Some((stage, expert)) = name.split_once(".experts.").filter(|(stage, _)| !stage.contains("blocks")) {
            let index: usize = stage.strip_prefix("stages.")?.parse().ok()?;
            let block = config.moe.blocks.get(index)?.first()?;
            return Some(self.get(&format!("{stage}.blocks.{block}.moe.experts.{expert}"))?.clone().transposed());
        }
        match name {
            "locator.shares" | "locator.fine.shares" => Some(self.get(name)?.mapped(shape, |share| share.ln())),
            "locator.scale" | "locator.fine.scale" => {
                let shares = self.get(&name.replace("scale", "shares"))?;
                Some(Weight::new(shape, vec![shares.values.iter().sum::<f32>().ln()]))
            }
            "locator.gate_scale" => Some(self.get(name)?.mapped(shape, |scale| scale.ln())),
            "locator.gate_bias" => Some(self.get(name)?.mapped(shape, |bias| bias)),
            _ => self.get(name)?.clone().transposed().shaped(shape),
        }
    }

    fn qkv(&self, block: &str, leaf: &str) -> Option<Weight> {
        let parts = ["q", "k", "v"].map(|part| self.get(&format!("{block}.attn.{part}.{leaf}")));
        let [query, key, value] = parts.map(|part| part.map(|part| part.clone().transposed()));
        let (query, key, value) = (query?, key?, value?);
        // The emission scales queries by head width ^ -0.5; the position bias tells the heads.
        let heads = self.get(&format!("{block}.attn.bias"))?.shape[1];
        let channels = query.shape[0];
        let scale = (channels as f64 / heads as f64).sqrt() as f32;
        let mut shape = query.shape.clone();
        shape[0] = 3 * channels;
        let queries = query.values.iter().map(|weight| weight * scale);
        Some(Weight::new(shape, queries.chain(key.values).chain(value.values).collect::<Vec<f32>>()))
    }

    /// The bias table from the biases of all pairs; `None` where the emitted window is too small to show every row.
    fn position(&self, block: &str, shape: &[usize]) -> Option<Weight> {
        let pairs = self.get(&format!("{block}.attn.bias"))?;
        let [_, heads, size, _] = pairs.shape[..] else { return None };
        let edge = size.isqrt();
        let mut table = vec![f32::NAN; shape.iter().product()];
        for (pair, row) in bias_rows(edge, edge).into_iter().enumerate() {
            for head in 0..heads {
                *table.get_mut(row * heads + head)? = pairs.values[head * size * size + pair];
            }
        }
        table.iter().all(|bias| !bias.is_nan()).then(|| Weight::new(shape, table))
    }

    fn patch_embed(&self, rest: &str, shape: &[usize]) -> Option<Weight> {
        let (view, leaf) = of_view(rest)?;
        let folded = self.get(&format!("patch_embed.{leaf}"))?.row(view)?;
        let (scale, offset) = normalisation();
        if leaf.starts_with("norm") {
            return Some(Weight::new(shape, folded.values));
        }
        let projection = self.get("patch_embed.proj.weight")?.row(view)?;
        let [inputs, embed] = projection.shape[..] else { return None };
        if leaf == "proj.bias" {
            let shift = |out: usize| -> f32 {
                let unfolded = |at: usize| projection.values[at * embed + out] / scale[at % 4] * offset[at % 4];
                (0..inputs).map(unfolded).sum()
            };
            return Some(Weight::new(shape, (0..embed).map(|out| folded.values[out] - shift(out)).collect::<Vec<_>>()));
        }
        // From [(row, column, channel), embed] to [embed, channel, row, column].
        let pixels = inputs / 4;
        let mut values = Vec::with_capacity(folded.values.len());
        for out in 0..embed {
            for (channel, scale) in scale.iter().enumerate() {
                values.extend((0..pixels).map(|pixel| folded.values[(pixel * 4 + channel) * embed + out] / scale));
            }
        }
        Some(Weight::new(shape, values))
    }
}

impl Weight {
    /// Row `index` of the first axis; the only row where there is one for both views.
    fn row(&self, index: usize) -> Option<Weight> {
        let (rows, shape) = self.shape.split_first()?;
        let length: usize = shape.iter().product();
        let index = index.min(rows.saturating_sub(1));
        Some(Weight::new(shape, self.values.get(index * length..(index + 1) * length)?.to_vec()))
    }

    /// The same values in another shape: layers that act on planes are emitted with axes of one.
    fn shaped(self, shape: &[usize]) -> Option<Weight> {
        (shape.iter().product::<usize>() == self.values.len()).then(|| Weight::new(shape, self.values))
    }

    fn mapped(&self, shape: &[usize], change: impl Fn(f32) -> f32) -> Weight {
        Weight::new(shape, self.values.iter().map(|&value| change(value)).collect::<Vec<_>>())
    }
}

/// Splits `query.weight` into the view's index and the rest.
fn of_view(name: &str) -> Option<(usize, &str)> {
    let (view, rest) = name.split_once('.')?;
    let view = match view {
        "query" => View::Query,
        "tile" => View::Tile,
        _ => return None,
    };
    Some((view.index() as usize, rest))
}

/// A router's constant in the outside layout: a weight is transposed, a bias loses its row axis.
fn matrix(leaf: &str, constant: Weight, shape: &[usize]) -> Weight {
    if leaf == "weight" { constant.transposed() } else { Weight::new(shape, constant.values) }
}

/// The name a float constant was emitted under (without its running number) and its values.
fn named(constant: &TensorProto) -> Option<(String, Weight)> {
    let (name, _number) = constant.name.as_deref()?.rsplit_once('_')?;
    let shape: Vec<usize> = constant.dims.iter().map(|&extent| extent as usize).collect();
    let bytes = constant.raw_data.as_ref()?.borrow();
    let values: Vec<f32> = match constant.data_type? {
        DataType::FLOAT => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        DataType::FLOAT16 => bytes.chunks_exact(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect(),
        _ => return None,
    };
    (values.len() == shape.iter().product::<usize>()).then(|| (name.to_owned(), Weight::new(shape, values)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::checkpoint::{parameters, weights_of};
    use crate::export::{Form, Passport, Precision, export};
    use crate::model::SmGeo;
    use crate::onnx::GmoeLowering;

    fn exported(config: &Config, precision: Precision, folder: &Path) -> SmGeo {
        let device = Device::default();
        device.seed(1);
        let model = SmGeo::new(config, &device).unwrap();
        let passport = Passport {
            name: "test".into(),
            gsd_m: 0.6,
            gsd_m_range: [0.5, 0.7],
            temperature: 1.0,
            training: Default::default(),
            metrics: Default::default(),
        };
        let form = Form { lowering: GmoeLowering::Sparse, precision };
        export(&model, config, passport, form, folder).unwrap();
        model
    }

    #[test]
    fn an_exported_package_gives_the_weights_it_was_made_of() {
        check(Precision::F32, 1e-5);
        // A bias is taken apart from 64 rounded weights: their errors add up.
        check(Precision::F16, 6e-3);
    }

    #[track_caller]
    fn check(precision: Precision, tolerance: f32) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::nano();
        config.moe.experts = 3;
        config.template.fine_channels = 8;
        let model = exported(&config, precision, folder.path());
        let read = package(folder.path(), &config, &parameters(&model)).unwrap();
        let whole = weights_of(&model);
        assert_eq!(read.0.keys().collect::<Vec<_>>(), whole.0.keys().collect::<Vec<_>>());
        for (name, weight) in &whole.0 {
            let found = read.get(name).unwrap();
            assert_eq!(found.shape, weight.shape, "{name}");
            let [found, wanted] = [found, weight].map(|weight| match DIFFERENCES.contains(&name.as_str()) {
                true => centred(weight),
                false => weight.values.clone(),
            });
            for (found, value) in found.iter().zip(&wanted) {
                assert!((found - value).abs() < tolerance * (1.0 + value.abs()), "{name}: {found} for {value}");
            }
        }
    }

    /// Of these only differences along the first axis count: shares are logits, and the norm takes the mean out of what the others
    /// make.
    const DIFFERENCES: [&str; 7] = [
        "locator.shares",
        "locator.fine.shares",
        "locator.fine.conv",
        "locator.conv.weight",
        "locator.conv.bias",
        "locator.clicked.weight",
        "locator.clicked.bias",
    ];

    /// The values less their mean along the first axis.
    fn centred(weight: &Weight) -> Vec<f32> {
        let rows = weight.shape[0];
        let columns = weight.values.len() / rows;
        let mean = |column: usize| weight.values.iter().skip(column).step_by(columns).sum::<f32>() / rows as f32;
        let means: Vec<f32> = (0..columns).map(mean).collect();
        weight.values.iter().enumerate().map(|(at, value)| value - means[at % columns]).collect()
    }

    #[test]
    fn a_package_of_another_network_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        exported(&Config::nano(), Precision::F32, folder.path());
        let deeper = Config { depths: [2, 2, 6, 2], ..Config::nano() };
        let wanted = parameters(&SmGeo::new(&deeper, &Device::default()).unwrap());
        let error = package(folder.path(), &deeper, &wanted).unwrap_err().to_string();
        assert!(error.contains("stages.2.blocks.4"), "{error}");
    }
}
