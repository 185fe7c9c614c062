//! Which of a package's engines is loaded: the first that fits, that may be trusted as code, and that was checked.

use std::path::PathBuf;

use smgeo_engine::Package;

use super::log;
use crate::engines::{self, Entry};
use crate::error::GpuError;
use crate::key::Key;
use crate::probe::Gpu;
use crate::tensorrt::{Flavour, Libraries, TensorRt};

/// An engine that may be loaded, and what loads it.
pub struct Opened {
    /// TensorRT with the plugin; engines keep it open.
    pub library: TensorRt,
    /// What `engines.toml` says of it.
    pub entry: Entry,
    /// Tells it, on this model of GPU with this TensorRT, from others.
    pub fingerprint: String,
}

impl Opened {
    /// The arithmetic, and which engine on which GPU: what a check of it is kept under, after the backend's name.
    pub fn checked_as(&self) -> String {
        format!("{}-{}", self.arithmetic(), self.fingerprint)
    }

    /// What it computes in, as the engine's provenance calls it.
    pub fn arithmetic(&self) -> &'static str {
        match self.entry.precision.as_str() {
            "fp16" => "f16",
            "bf16" => "bf16",
            _ => "f32",
        }
    }
}

/// Refuses a plan of another version of TensorRT: it would not load, and a check of it would not hold.
fn check_version(entry: &Entry, version: &str) -> Result<(), GpuError> {
    if entry.tensorrt == version {
        return Ok(());
    }
    let (file, built) = (&entry.encoder.file, &entry.tensorrt);
    Err(GpuError::Engines(format!(
        "{file} was built with TensorRT {built}, and this is {version}; run `smgeo build-engine` on this machine"
    )))
}

/// The first engine, by name, whose plans fit this GPU, were built by this user or are signed, and are admitted.
pub fn matching(
    package: &Package,
    folders: &[PathBuf],
    name: Option<&str>,
    gpu: &Gpu,
    admit: impl Fn(&Opened) -> Result<(), GpuError>,
) -> Result<Opened, GpuError> {
    let mut reason = GpuError::Engines(format!(
        "{} has no engines; run `smgeo build-engine` on this machine",
        package.folder().display()
    ));
    let entries: Vec<Entry> = engines::named(package, name)?.into_values().collect();
    // Those for other GPUs have nothing to say where there is one for this.
    let is_own = |entry: &Entry| entry.sm == gpu.sm();
    let any_own = entries.iter().any(is_own);
    for entry in entries.into_iter().filter(|entry| is_own(entry) || !any_own) {
        let opened = entry.flavour.parse::<Flavour>().map_err(GpuError::Engines).and_then(|flavour| {
            let libraries = Libraries::find(flavour, folders)?;
            let shim = std::fs::read(&libraries.shim)
                .map_err(|source| GpuError::File { path: libraries.shim.clone(), source })?;
            entry.check(package, gpu, &engines::hash(&shim), Key::read)?;
            // SAFETY: the files lie where a person named them or the system keeps its libraries.
            let library = unsafe { TensorRt::open(&Libraries { parser: None, ..libraries }, Box::new(log)) }?;
            let version = library.version();
            check_version(&entry, &version)?;
            let fingerprint = entry.fingerprint(gpu, &version);
            let opened = Opened { library, entry, fingerprint };
            admit(&opened).map(|()| opened)
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}
