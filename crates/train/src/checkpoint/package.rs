//! The weights of an engine package, read back out of its two ONNX files, so that a shipped package can be trained on.
//!
//! The inverse of the emission, for the template locator in the sparse lowering: constants carry the names of the layers
//! they were emitted from. What the emission folded together (image normalisation, attention scale, position bias by pairs,
//! template shares) is taken apart again.

use std::collections::HashMap;
use std::path::Path;

use rten_onnx::onnx::{DataType, ModelProto, TensorProto};
use smgeo_engine::Package;
use smgeo_engine::package::{ENCODER, LOCATOR};

use super::misfit;
use super::weights::half;
use super::{CheckpointError, Parameter, Weight, Weights};
use crate::export::CONFIG;
use crate::model::{Config, View, bias_rows, normalisation};

/// Reads the weights of all `wanted` parameters from the package in `folder`, which has to be of the network of `config`. Its
/// files are checked against its manifest first, as the engine does.
pub fn package(folder: &Path, config: &Config, wanted: &[Parameter]) -> Result<Weights, CheckpointError> {
    let opened = Package::open(folder).map_err(CheckpointError::Package)?;
    let mut constants = Constants::default();
    for file in [ENCODER, LOCATOR] {
        constants.read(&opened, file)?;
    }
    let mut weights = Weights::default();
    let (mut missing, mut misshapen) = (Vec::new(), None);
    for Parameter { name, shape, .. } in wanted {
        match constants.parameter(name, shape, config) {
            Some(weight) if weight.shape == *shape => drop(weights.0.insert(name.clone(), weight)),
            Some(Weight { shape: found, .. }) => {
                let (name, expected) = (name.clone(), shape.clone());
                misshapen.get_or_insert(CheckpointError::Shape { name, expected, found });
            }
            None => missing.push(name.clone()),
        }
    }
    let missing = (!missing.is_empty()).then(|| CheckpointError::Names { missing, unknown: Vec::new() });
    match misshapen.or(missing) {
        None => Ok(weights),
        Some(misfit) => {
            let remedy = misfit::remedy(constants.config.as_deref(), config);
            Err(CheckpointError::Network { misfit: Box::new(misfit), remedy })
        }
    }
}

/// Constants of the graphs by the name of what they were emitted from, and the configuration that the graphs carry.
#[derive(Default)]
struct Constants {
    weights: HashMap<String, Weight>,
    config: Option<String>,
}

impl Constants {
    fn read(&mut self, package: &Package, file: &str) -> Result<(), CheckpointError> {
        let bytes = package.read(file).map_err(CheckpointError::Package)?;
        let broken = |problem: String| CheckpointError::Broken { path: package.folder().join(file), problem };
        let model = ModelProto::parse_buf(&bytes).map_err(|error| broken(error.to_string()))?;
        let graph = model.graph.ok_or_else(|| broken("it holds no graph".into()))?;
        self.weights.extend(graph.initializer.iter().filter_map(named));
        let remark = model.metadata_props.into_iter().find(|remark| remark.key.as_deref() == Some(CONFIG));
        self.config = remark.and_then(|remark| remark.value).or(self.config.take());
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Weight> {
        self.weights.get(name)
    }

    /// The parameter of a name, in the outside layout (linear weights `[out, in]`), laid out in `shape` where it has as many
    /// numbers.
    fn parameter(&self, name: &str, shape: &[usize], config: &Config) -> Option<Weight> {
        if let Some(rest) = name.strip_prefix("patch_embed.") {
            return self.patch_embed(rest, shape);
        }
        if let Some((block, leaf)) = name.split_once(".attn.qkv.") {
            return self.qkv(block, leaf);
        }
        if let Some(block) = name.strip_suffix(".attn.rel_bias") {
            return self.position(block);
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
            "locator.shares" | "locator.fine.shares" | "locator.gate_scale" => {
                Some(self.get(name)?.logarithms().shaped(shape))
            }
            "locator.scale" | "locator.fine.scale" => {
                let shares = self.get(&name.replace("scale", "shares"))?;
                Some(Weight::new([1], vec![shares.values.iter().sum::<f32>().ln()]))
            }
            "locator.gate_bias" => Some(self.get(name)?.clone().shaped(shape)),
            _ => Some(self.get(name)?.clone().transposed().shaped(shape)),
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

    /// The bias table from the biases of all pairs. It is that of the emitted window, which is smaller than the network's where
    /// the whole map is.
    fn position(&self, block: &str) -> Option<Weight> {
        let pairs = self.get(&format!("{block}.attn.bias"))?;
        let [_, heads, size, across] = pairs.shape[..] else { return None };
        let edge = size.isqrt();
        if size == 0 || across != size || edge * edge != size {
            return None;
        }
        let rows = (2 * edge - 1) * (2 * edge - 1);
        let mut table = vec![0.0; rows * heads];
        for (pair, row) in bias_rows(edge, edge).into_iter().enumerate() {
            for head in 0..heads {
                table[row * heads + head] = pairs.values[head * size * size + pair];
            }
        }
        Some(Weight::new([rows, heads], table))
    }

    fn patch_embed(&self, rest: &str, shape: &[usize]) -> Option<Weight> {
        let (view, leaf) = of_view(rest)?;
        let folded = self.get(&format!("patch_embed.{leaf}"))?.row(view)?;
        let (scale, offset) = normalisation();
        if leaf.starts_with("norm") {
            return Some(folded.shaped(shape));
        }
        let projection = self.get("patch_embed.proj.weight")?.row(view)?;
        let [inputs, embed] = projection.shape[..] else { return None };
        if leaf == "proj.bias" {
            let shift = |out: usize| -> f32 {
                let unfolded = |at: usize| projection.values[at * embed + out] / scale[at % 4] * offset[at % 4];
                (0..inputs).map(unfolded).sum()
            };
            return Some(Weight::new([embed], (0..embed).map(|out| folded.values[out] - shift(out)).collect()));
        }
        // From [(row, column, channel), embed] to [embed, channel, row, column].
        let (edge, pixels) = (Config::PATCH_PX, inputs / 4);
        let mut values = Vec::with_capacity(folded.values.len());
        for out in 0..embed {
            for (channel, scale) in scale.iter().enumerate() {
                values.extend((0..pixels).map(|pixel| folded.values[(pixel * 4 + channel) * embed + out] / scale));
            }
        }
        Some(Weight::new([embed, 4, pixels], values).shaped(&[embed, 4, edge, edge]))
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

    /// The same values in another shape, where it holds as many: layers that act on planes are emitted with axes of one.
    fn shaped(self, shape: &[usize]) -> Weight {
        match shape.iter().product::<usize>() == self.values.len() {
            true => Weight::new(shape, self.values),
            false => self,
        }
    }

    /// The logarithms, in a row.
    fn logarithms(&self) -> Weight {
        Weight::new([self.values.len()], self.values.iter().map(|value| value.ln()).collect())
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
    if leaf == "weight" { constant.transposed() } else { constant.shaped(shape) }
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
        config.template.extent_hidden = 8;
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

    /// What is said of nano's package when it is read into another network.
    fn refusal(change: impl Fn(&mut Config)) -> String {
        let folder = tempfile::tempdir().unwrap();
        exported(&Config::nano(), Precision::F32, folder.path());
        let mut config = Config::nano();
        change(&mut config);
        let wanted = parameters(&SmGeo::new(&config, &Device::default()).unwrap());
        package(folder.path(), &config, &wanted).unwrap_err().to_string()
    }

    #[test]
    fn a_package_of_another_network_is_refused_with_the_tensor_both_shapes_and_the_keys_that_fit() {
        type Change = fn(&mut Config);
        let cases: [(Change, [&str; 3]); 5] = [
            (|config| config.depths = [2, 2, 6, 2], ["stages.2.blocks.4", "missing", "depths = [2, 2, 4, 2]"]),
            (
                |config| config.moe.experts = 4,
                [
                    "stages.1.blocks.0.moe.routers.query.weight",
                    "shape [4, 64], the checkpoint [6, 64]",
                    "moe.experts = 6",
                ],
            ),
            (
                |config| config.embed = 48,
                ["patch_embed.query.proj.weight", "shape [48, 4, 4, 4], the checkpoint [32, 4, 4, 4]", "embed = 32"],
            ),
            (
                |config| config.template.cells = 7,
                ["locator.shares", "shape [49], the checkpoint [25]", "template.cells = 5"],
            ),
            (
                |config| config.heads = [2, 4, 8, 16],
                ["stages.0.blocks.0.attn.rel_bias", "shape [225, 2], the checkpoint [225, 1]", "heads = [1, 2, 4, 8]"],
            ),
        ];
        for (change, told) in cases {
            let error = refusal(change);
            for part in told.into_iter().chain(["under [model]"]) {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[test]
    fn the_shipped_package_fits_nano_with_four_experts_and_says_so() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/smgeo-nano"));
        let mut config = Config::nano();
        let mut read = |experts: usize| {
            config.moe.experts = experts;
            package(folder, &config, &parameters(&SmGeo::new(&config, &Device::default()).unwrap()))
        };
        read(4).unwrap();
        let error = read(6).unwrap_err().to_string();
        assert!(error.ends_with("; the package fits a plan with moe.experts = 4 under [model]"), "{error}");
    }

    #[test]
    fn a_package_whose_file_was_exchanged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::nano();
        let model = exported(&config, Precision::F32, folder.path());
        let path = folder.path().join(LOCATOR);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = package(folder.path(), &config, &parameters(&model)).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(LOCATOR), "{error}: {cause}");
    }
}
