//! Which backend runs, and how: the `[engine]` part of a configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::cache::FeatureCache;
use crate::disk_cache::DiskCache;
use crate::error::EngineError;
use crate::gate;
use crate::package::Package;
use crate::rten::{self, RtenBackend, RtenConfig};
use crate::signature::TrustedKey;

/// A backend by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// TensorRT where this program has it and the package has a checked engine for this GPU; else OpenVINO in f32 where this
    /// program has it and its library is found; else rten.
    #[default]
    Auto,
    /// Pure Rust, always there.
    Rten,
    /// OpenVINO; an error where its library is not found.
    OpenVino,
    /// TensorRT; an error where the package has no engine for this GPU. Made by `smgeo-gpu`, which stands above this crate.
    TensorRt,
}

impl FromStr for BackendName {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<BackendName, EngineError> {
        match name {
            "auto" => Ok(BackendName::Auto),
            "rten" => Ok(BackendName::Rten),
            "openvino" => Ok(BackendName::OpenVino),
            "tensorrt" => Ok(BackendName::TensorRt),
            _ => {
                let problem = format!("there is no backend `{name}`; choose auto, rten, openvino or tensorrt");
                Err(EngineError::Setting(problem))
            }
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
    /// The encoder's large products in 8 bit: quicker on a CPU that has instructions for them. Only for packages that were checked
    /// with it, and only on rten.
    Int8,
}

impl Precision {
    /// The name in logs and provenance.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }
}

impl FromStr for Precision {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Precision, EngineError> {
        let all = [Precision::F32, Precision::Bf16, Precision::Int8];
        let known = all.into_iter().find(|precision| precision.name() == name);
        known.ok_or_else(|| EngineError::Setting(format!("there is no precision `{name}`; choose f32, bf16 or int8")))
    }
}

/// More memory than any machine has, and far from where the number of bytes would overflow.
const MIB_MAX: u64 = 1 << 30;

/// How the engine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Folder of the engine package.
    pub package: PathBuf,
    /// Public keys of minisign whose signature of the package counts. A signed package opens under one of them only; one without
    /// a signature opens under any.
    #[serde(default)]
    pub trusted_keys: Vec<TrustedKey>,
    /// The backend.
    #[serde(default)]
    pub backend: BackendName,
    /// Arithmetic of the networks.
    #[serde(default)]
    pub precision: Precision,
    /// Threads to compute on. Absent: as many as the system lets the process use.
    #[serde(default)]
    pub threads: Option<NonZeroUsize>,
    /// Most images encoded at once; more wait. More at once take more memory and no less time an image.
    #[serde(default = "batch_images_max")]
    pub batch_images_max: NonZeroUsize,
    /// Folder of the OpenVINO libraries. Absent: where the system looks, then where `scripts/setup-openvino.sh` puts them.
    #[serde(default)]
    pub openvino_folder: Option<PathBuf>,
    /// Folders of TensorRT's libraries and of smgeo's over them. The system's are looked at last.
    #[serde(default)]
    pub tensorrt_folders: Vec<PathBuf>,
    /// Memory for tile features, MiB.
    #[serde(default = "features_mib_max")]
    pub features_mib_max: u64,
    /// Memory of the GPU for tile features, MiB, with TensorRT.
    #[serde(default = "device_features_mib_max")]
    pub device_features_mib_max: u32,
    /// File that keeps tile features from run to run. Absent: they are kept in memory only.
    #[serde(default)]
    pub features_file: Option<PathBuf>,
    /// Most that file may hold, MiB; the oldest features are given up first.
    #[serde(default = "features_file_mib_max")]
    pub features_file_mib_max: u64,
    /// Whether that file keeps numbers of 16 bits: twice the tiles in the same space. What it kept otherwise is encoded again.
    #[serde(default)]
    pub features_file_f16: bool,
}

fn batch_images_max() -> NonZeroUsize {
    RtenConfig::default().batch_images_max
}

// Some 800 tiles of 160 channels: the ground around a drone.
fn device_features_mib_max() -> u32 {
    128
}

fn features_mib_max() -> u64 {
    256
}

// Some 40,000 tiles of a network with 96 channels every 16 px: 900 km2 at 0.6 m a pixel.
fn features_file_mib_max() -> u64 {
    4096
}

impl EngineConfig {
    /// The defaults, for the package in this folder.
    pub fn of(package: impl Into<PathBuf>) -> EngineConfig {
        EngineConfig {
            package: package.into(),
            trusted_keys: Vec::new(),
            backend: BackendName::default(),
            precision: Precision::default(),
            threads: None,
            batch_images_max: batch_images_max(),
            openvino_folder: None,
            tensorrt_folders: Vec::new(),
            features_mib_max: features_mib_max(),
            device_features_mib_max: device_features_mib_max(),
            features_file: None,
            features_file_mib_max: features_file_mib_max(),
            features_file_f16: false,
        }
    }

    /// Refuses what no package and no library can make right. Nothing is opened.
    pub fn check(&self) -> Result<(), EngineError> {
        // Windows are laid of features in memory; a file of no size only keeps nothing.
        let (memory, file) = (self.features_mib_max, self.features_file_mib_max);
        for (key, mib, least) in [("features_mib_max", memory, 1), ("features_file_mib_max", file, 0)] {
            if !(least..=MIB_MAX).contains(&mib) {
                let problem = format!("engine.{key} is {mib}; it must be {least} to {MIB_MAX}, in MiB");
                return Err(EngineError::Setting(problem));
            }
        }
        match (self.backend, self.precision) {
            (BackendName::Rten, precision) => rten::check_precision(precision),
            (BackendName::OpenVino, Precision::Int8) => {
                let problem =
                    "precision = \"int8\" needs backend = \"rten\"; openvino would take three times as long as in f32";
                Err(EngineError::Setting(problem.into()))
            }
            _ => Ok(()),
        }
    }

    /// The package, its signature and all else checked.
    pub fn open_package(&self) -> Result<Package, EngineError> {
        let package = Package::open_trusting(&self.package, &self.trusted_keys)?;
        if let Some(signature) = package.signature() {
            tracing::info!(signer = %signature.signer(), comment = signature.comment(), "the package is signed");
        }
        Ok(package)
    }

    /// The cache of tile features, backed by the file where one is named. A damaged file is put aside and begun anew; one that cannot
    /// be used otherwise is an error.
    pub fn features(&self) -> Result<FeatureCache, EngineError> {
        let cache = FeatureCache::new(self.features_mib_max << 20);
        let Some(file) = &self.features_file else { return Ok(cache) };
        let disk = DiskCache::open_or_renew(file, self.features_file_mib_max << 20)?;
        Ok(cache.with_disk(if self.features_file_f16 { disk.in_f16() } else { disk }))
    }

    /// The same for a flight, which a cache may cost time but not answers: where the file cannot be used, features are kept in
    /// memory only, and a warning says so. A file of another application's is still an error: the setting is wrong.
    pub fn features_in_flight(&self) -> Result<FeatureCache, EngineError> {
        self.features().or_else(|error| match error {
            error @ EngineError::NotACache { .. } => Err(error),
            error => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the feature cache on disk cannot be opened, features are kept in memory only");
                Ok(FeatureCache::new(self.features_mib_max << 20))
            }
        })
    }

    /// The backend, ready, with `package` loaded and run once. An arithmetic other than f32 needs a passing check of this
    /// package, see [`gate`]. The choice and its reason are logged.
    pub fn build(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        let precision = self.precision.name();
        // A backend that cannot compute in it says so itself.
        let asks = match (self.backend, self.precision) {
            (BackendName::Auto | BackendName::OpenVino, Precision::Bf16) => Some("openvino"),
            (BackendName::Auto | BackendName::Rten, Precision::Int8) => Some("rten"),
            _ => None,
        };
        if let Some(backend) = asks
            && !gate::is_admitted(package, backend, precision)?
        {
            let folder = package.folder().display();
            let problem = format!(
                "there is no passing check of {precision} for the package {folder}, or it failed on one of its sets; run `smgeo engine check {folder} --pairs PAIRS --precision {precision}` on held-out pairs, or choose precision = \"f32\""
            );
            return Err(EngineError::Setting(problem));
        }
        self.build_unchecked(package)
    }

    /// The backend without asking for a check of its arithmetic: for the check itself.
    pub fn build_unchecked(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        self.check()?;
        match (self.backend, self.precision) {
            (BackendName::Rten, _) | (BackendName::Auto, Precision::Int8) => self.rten(package),
            (BackendName::TensorRt, _) => Err(EngineError::LibraryMissing {
                library: "TensorRT",
                remedy: "this program was built without the feature `tensorrt`; build it with it, or choose backend = \"auto\"",
                source: "not part of this program".into(),
            }),
            (BackendName::OpenVino, _) | (BackendName::Auto, Precision::Bf16) => self.openvino(package),
            (BackendName::Auto, Precision::F32) => self.openvino_or_rten(package),
        }
    }

    fn openvino_or_rten(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        match self.openvino(package) {
            Ok(backend) => {
                tracing::info!(reason = "its library is found, and it is the faster one", "openvino is taken");
                return Ok(backend);
            }
            Err(error @ EngineError::LibraryMissing { .. }) => {
                tracing::info!(reason = &error as &dyn std::error::Error, "rten is taken");
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "openvino fails, rten is taken"),
        }
        self.rten(package)
    }

    fn rten(&self, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
        let EngineConfig { threads, batch_images_max, precision, .. } = *self;
        let config = RtenConfig { threads, batch_images_max, precision };
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
