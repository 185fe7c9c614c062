//! Which backend runs, and how: the `[engine]` part of a configuration.

use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::error::EngineError;
use crate::gate;
use crate::package::Package;
use crate::rten::{RtenBackend, RtenConfig};

/// A backend by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// OpenVINO in f32 where this program has it and its library is found, else rten.
    #[default]
    Auto,
    /// Pure Rust, always there.
    Rten,
    /// OpenVINO; an error where its library is not found.
    OpenVino,
}

impl FromStr for BackendName {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<BackendName, EngineError> {
        match name {
            "auto" => Ok(BackendName::Auto),
            "rten" => Ok(BackendName::Rten),
            "openvino" => Ok(BackendName::OpenVino),
            _ => Err(EngineError::Setting(format!("there is no backend `{name}`; choose auto, rten or openvino"))),
        }
    }
}

/// Arithmetic of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bit: the same answers on every backend, to rounding.
    #[default]
    F32,
    /// 16 bit with 8 of mantissa: about twice as fast on a CPU that has it. Only for packages that were checked with it,
    /// and only on OpenVINO.
    Bf16,
}

impl Precision {
    /// The name in logs and provenance.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// How the engine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// The backend.
    pub backend: BackendName,
    /// Arithmetic of the networks.
    pub precision: Precision,
    /// Threads to compute on. Absent: as many as the system lets the process use.
    pub threads: Option<NonZeroUsize>,
    /// Most images encoded in one run; more are split. Bounds the memory of a large request.
    pub batch_images_max: NonZeroUsize,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        let RtenConfig { threads, batch_images_max } = RtenConfig::default();
        EngineConfig { backend: BackendName::Auto, precision: Precision::F32, threads, batch_images_max }
    }
}

impl EngineConfig {
    /// The backend, ready, with `package` loaded and run once. An arithmetic other than f32 needs a passing check of this
    /// package, see [`gate`]. The choice and its reason are logged.
    pub fn build(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        let is_bf16 = self.precision == Precision::Bf16 && self.backend != BackendName::Rten;
        if is_bf16 && !gate::is_admitted(package, "openvino", Precision::Bf16.name()) {
            let folder = package.folder().display();
            let problem = format!(
                "there is no passing check of bf16 for the package {folder}; run `smgeo inspect {folder} --check-bf16 PAIRS` on held-out pairs, or choose precision = \"f32\""
            );
            return Err(EngineError::Setting(problem));
        }
        self.build_unchecked(package)
    }

    /// The backend without asking for a check of its arithmetic: for the check itself.
    pub fn build_unchecked(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        match (self.backend, self.precision) {
            (BackendName::Rten, Precision::Bf16) => {
                let problem = "precision = \"bf16\" needs backend = \"openvino\"; rten computes in f32";
                Err(EngineError::Setting(problem.into()))
            }
            (BackendName::Rten, Precision::F32) => self.rten(package),
            (BackendName::OpenVino, _) | (BackendName::Auto, Precision::Bf16) => self.openvino(package),
            (BackendName::Auto, Precision::F32) => match self.openvino(package) {
                Err(EngineError::LibraryMissing { library, remedy, .. }) => {
                    tracing::info!(backend = "rten", missing = library, remedy, "backend chosen");
                    self.rten(package)
                }
                other => other,
            },
        }
    }

    fn rten(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        let config = RtenConfig { threads: self.threads, batch_images_max: self.batch_images_max };
        Ok(Box::new(RtenBackend::new(package, &config)?))
    }

    #[cfg(feature = "openvino")]
    fn openvino(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        Ok(Box::new(crate::openvino::OpenVinoBackend::new(package, self)?))
    }

    #[cfg(not(feature = "openvino"))]
    fn openvino(&self, _package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        let remedy =
            "this program was built without the feature `openvino`; build it with it, or choose backend = \"rten\"";
        let source = "not part of this program".into();
        Err(EngineError::LibraryMissing { library: "OpenVINO", remedy, source })
    }
}
