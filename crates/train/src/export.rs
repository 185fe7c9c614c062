//! Writes an engine package: the two ONNX files and the manifest that seals them.

use std::path::{Path, PathBuf};

use burn::module::Module;
use sha2::{Digest, Sha256};
use smgeo_engine::package::{ENCODER, FORMAT, LOCATOR};
use smgeo_engine::{EngineError, Manifest, Package, TILE_PX, signature};

use crate::model::{Config, SmGeo};
use crate::onnx::{self, GmoeLowering, Graph};

/// The remark in both files that is the network's configuration, as TOML.
pub const CONFIG: &str = "config";

/// Why a package cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds a signed package.
    #[error("the folder of the package is not written to")]
    Signed(#[source] EngineError),
    /// The written package does not open.
    #[error("the written package does not open")]
    Package(#[source] EngineError),
}

/// What a package says about itself beside its networks.
#[derive(Clone, Debug, PartialEq)]
pub struct Passport {
    /// Name of the model, for people.
    pub name: String,
    /// Ground resolution it was trained at, m/px.
    pub gsd_m: f64,
    /// Smallest and largest ground resolution seen in training, m/px.
    pub gsd_m_range: [f64; 2],
    /// Divisor of the heat logits, from calibration on held-out pairs.
    pub temperature: f32,
    /// Data, seed, revision.
    pub training: toml::Table,
    /// What was measured on held-out data.
    pub metrics: toml::Table,
}

/// How the networks of a package are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How GMoE blocks are written.
    pub lowering: GmoeLowering,
    /// How weights are stored.
    pub precision: Precision,
}

impl From<GmoeLowering> for Form {
    fn from(lowering: GmoeLowering) -> Self {
        Self { lowering, precision: Precision::F32 }
    }
}

/// Bits of a stored weight; the computation is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats: half the file. (No bf16: not every runtime reads it from a file.)
    F16,
}

/// Writes `encoder.onnx`, `locator.onnx` and `package.toml` into `folder`, and opens the result. A signed package is left as it is.
pub fn export(
    model: &SmGeo,
    config: &Config,
    passport: Passport,
    form: Form,
    folder: &Path,
) -> Result<Package, ExportError> {
    signature::check_unsigned(folder).map_err(ExportError::Signed)?;
    std::fs::create_dir_all(folder).map_err(|source| ExportError::File { path: folder.into(), source })?;
    let graphs = graphs(model, config, form.lowering);
    let [encoder, locator] = match form.precision {
        Precision::F32 => graphs,
        Precision::F16 => graphs.map(Graph::halved),
    };
    let remarks = remarks(config, &passport);
    write(&folder.join(ENCODER), encoder, &remarks)?;
    write(&folder.join(LOCATOR), locator, &remarks)?;
    let manifest = Manifest {
        format: FORMAT,
        name: passport.name,
        architecture: config.architecture.clone(),
        fusion: config.fusion.into(),
        channels: config.channels(),
        stride_px: config.stride_px(),
        tile_px: TILE_PX,
        gsd_m: passport.gsd_m,
        gsd_m_range: passport.gsd_m_range,
        temperature: passport.temperature,
        files: Default::default(),
        training: passport.training,
        metrics: passport.metrics,
    };
    manifest.seal(folder).map_err(ExportError::Package)
}

/// The two graphs for images of [`TILE_PX`].
pub fn graphs(model: &SmGeo, config: &Config, lowering: GmoeLowering) -> [Graph; 2] {
    // Weights are read off the plain device; an autodiff one would keep a graph of the reading.
    let model = model.valid();
    let cells = TILE_PX / config.stride_px();
    [model.encoder.emit(TILE_PX, lowering), model.locator.emit(cells, config.channels())]
}

fn remarks(config: &Config, passport: &Passport) -> Vec<(&'static str, String)> {
    let text = toml::to_string(config).unwrap_or_default();
    vec![
        ("name", passport.name.clone()),
        ("config_sha256", hex::encode(Sha256::digest(text.as_bytes()))),
        (CONFIG, text),
    ]
}

fn write(path: &Path, graph: Graph, remarks: &[(&str, String)]) -> Result<(), ExportError> {
    let file = |source| ExportError::File { path: path.into(), source };
    let bytes = onnx::file(graph, remarks).map_err(file)?;
    std::fs::write(path, bytes).map_err(file)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::training::Plan;

    /// The smallest network that is one.
    const PLAN: &str = "preset = 'nano'\n[data]\n[model]\nembed = 8\ndepths = [1, 1, 1, 1]\nheads = [1, 1, 1, 1]\n\
        [model.moe]\nblocks = [[], [0], [0], []]\n[model.template]\nchannels = 16\n";

    #[test]
    fn a_signed_package_is_not_written_over() {
        let config = toml::from_str::<Plan>(PLAN).unwrap().config().unwrap();
        let model = SmGeo::new(&config, &Device::default()).unwrap();
        let passport = Passport {
            name: "small".into(),
            gsd_m: 0.6,
            gsd_m_range: [0.5, 0.7],
            temperature: 1.0,
            training: toml::Table::new(),
            metrics: toml::Table::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let exported = || export(&model, &config, passport.clone(), GmoeLowering::Sparse.into(), folder.path());
        exported().unwrap();
        for name in [ENCODER, LOCATOR] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::write(folder.path().join(signature::SIGNATURE), "signed").unwrap();
        let error = exported().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("the package is signed"), "{error}: {cause}");
        for name in [ENCODER, LOCATOR] {
            assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), name);
        }
    }
}
