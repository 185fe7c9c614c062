//! The engines of a package: plans beside its networks, and `engines.toml`, which says what each was built for, with and by.
//!
//! `engines.toml` is not part of the package's identity: a plan is made from the package and changes none of its answers. Features
//! are kept under the hash of the encoder's plan, because each build rounds in its own way. A plan is code, so it is loaded only where this machine built it
//! or the package's signature covers it. A signed package is never written over: what a machine builds of one is entered in
//! `engines.local.toml`, which no signature covers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smgeo_engine::package::{ENCODER, LOCATOR};
use smgeo_engine::{Package, signature};

use crate::builder::{self, Job, JobProfile, Said};
use crate::error::GpuError;
use crate::lowering::{self, Mixtures, Precision};
use crate::tensorrt::Libraries;

/// Name of the file in the package's folder that says which engines there are.
pub const ENGINES: &str = "engines.toml";
/// Name of the file that says which engines were built of a signed package after it was signed.
pub const LOCAL_ENGINES: &str = "engines.local.toml";
/// Most images that an engine encodes in a run, and most queries it locates.
pub const BATCH_MAX: i64 = 16;
/// Edge of the largest search window, tiles.
pub const WINDOW_TILES_MAX: i64 = 8;
/// Edge of the window that the locator is made fastest for, tiles.
const WINDOW_TILES_USUAL: i64 = 4;

/// Where the system keeps what tells this machine from others.
const MACHINE_ID: &str = "/etc/machine-id";
const MACHINE_ID_DIGITS: usize = 32;

/// What an engine is built from.
pub struct Order<'a> {
    /// The package.
    pub package: &'a Package,
    /// Compute capability, such as 89.
    pub sm: u32,
    /// Whether the builder is to build for the GPU it finds here, and not for a capability it is told.
    pub for_this_gpu: bool,
    /// What the encoder computes in.
    pub precision: Precision,
    /// Where TensorRT is.
    pub libraries: &'a Libraries,
}

/// An engine, as `engines.toml` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Compute capability, such as 89.
    pub sm: u32,
    /// `rtx` or `enterprise`.
    pub flavour: String,
    /// `fp16`, `bf16` or `fp32`.
    pub precision: String,
    /// Version of the TensorRT that built it.
    pub tensorrt: String,
    /// Identity of the package, hexadecimal.
    pub package: String,
    /// SHA-256 of our library, whose plugin is inside of the plan.
    pub plugin_sha256: String,
    /// Which machine built it.
    pub built_on: String,
    /// The encoder's plan.
    pub encoder: Plan,
    /// The locator's plan.
    pub locator: Plan,
    /// Who vouches for it; known from where it was read, and never written.
    #[serde(skip)]
    pub origin: Origin,
}

/// Who vouches for an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody but the machine that built it.
    #[default]
    Local,
    /// The signer of the package: the entry is signed, and with it the hash of each plan.
    Signed,
}

/// A plan's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name in the package's folder.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Size.
    pub bytes: usize,
}

/// Builds both engines of a package and enters them. `child` makes the command of a child that calls [`builder::serve`];
/// `listen` hears which network is being built, and how it goes.
pub fn build(
    order: &Order,
    child: impl Fn() -> Command,
    mut listen: impl FnMut(&'static str, &Said),
) -> Result<Entry, GpuError> {
    let Order { package, sm, precision, libraries, .. } = order;
    let (index, kind) = if package.signature().is_some() { (LOCAL_ENGINES, "local-") } else { (ENGINES, "") };
    let stem = format!("{kind}sm_{sm}-{}-{}", libraries.flavour, precision.name());
    // Asked first: a build takes minutes, and without it there would be nothing to enter.
    let built_on = this_machine()?;
    let mixtures = if *precision == Precision::F32 { Mixtures::Gathered } else { Mixtures::Plugin };
    let (encoder, _) = lowering::encoder(&read(package, ENCODER)?, *precision, mixtures)?;
    let networks = [
        ("encoder", encoder, encoder_profiles()),
        ("locator", read(package, LOCATOR)?, locator_profiles(package.manifest().cells(), package.manifest().channels)),
    ];
    let mut plans = Vec::new();
    let mut version = String::new();
    for (network, onnx, profiles) in networks {
        let file = format!("{stem}.{network}.plan");
        let partial = package.folder().join(format!("{file}.partial"));
        let sm = (!order.for_this_gpu).then_some(*sm);
        let job = Job::new(libraries, sm, profiles, &partial)?;
        version = builder::build(child(), &job, &onnx, |said| listen(network, said))?;
        let bytes = read_file(&partial)?;
        let path = package.folder().join(&file);
        std::fs::rename(&partial, &path).map_err(|source| file_error(&path, source))?;
        plans.push(Plan { file, sha256: hash(&bytes), bytes: bytes.len() });
    }
    let [encoder, locator] = <[Plan; 2]>::try_from(plans).expect("two networks, two plans");
    let entry = Entry {
        sm: *sm,
        flavour: libraries.flavour.name().into(),
        precision: precision.name().into(),
        tensorrt: version,
        package: package.hash().to_string(),
        plugin_sha256: hash(&read_file(&libraries.shim)?),
        built_on,
        encoder,
        locator,
        origin: Origin::Local,
    };
    let mut entries = listed(package, index)?;
    entries.insert(stem, entry.clone());
    let path = package.folder().join(index);
    let text = toml::to_string_pretty(&entries).map_err(|error| GpuError::Engines(error.to_string()))?;
    std::fs::write(&path, text).map_err(|source| file_error(&path, source))?;
    Ok(entry)
}

/// The engines that a package has, by name.
pub fn entries(package: &Package) -> Result<BTreeMap<String, Entry>, GpuError> {
    let mut entries = listed(package, ENGINES)?;
    entries.extend(listed(package, LOCAL_ENGINES)?);
    Ok(entries)
}

/// The engine of a name; all of them without one.
pub fn named(package: &Package, name: Option<&str>) -> Result<BTreeMap<String, Entry>, GpuError> {
    let mut entries = entries(package)?;
    let Some(name) = name else { return Ok(entries) };
    match entries.remove_entry(name) {
        Some(entry) => Ok(BTreeMap::from([entry])),
        None => {
            let known: Vec<&str> = entries.keys().map(String::as_str).collect();
            let (folder, known) = (package.folder().display(), known.join(", "));
            Err(GpuError::Engines(format!("{folder} has no engine `{name}`; it has: {known}")))
        }
    }
}

/// The engines that a file enters. Where the package's signature names the file it is compared before it is parsed.
fn listed(package: &Package, index: &str) -> Result<BTreeMap<String, Entry>, GpuError> {
    let path = package.folder().join(index);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let bytes = read_file(&path)?;
    let signature = package.signature().filter(|signature| signature.names(index));
    if let Some(signature) = signature {
        signature.check(index, &bytes).map_err(|error| GpuError::Engines(error.to_string()))?;
    }
    let problem = |error: String| format!("{}: {error}; delete it and build the engines again", path.display());
    let text = std::str::from_utf8(&bytes).map_err(|error| GpuError::Engines(problem(error.to_string())))?;
    let mut entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| GpuError::Engines(problem(error.to_string())))?;
    let origin = if signature.is_some() { Origin::Signed } else { Origin::Local };
    entries.values_mut().for_each(|entry| entry.origin = origin);
    Ok(entries)
}

/// Writes the list of a package's files for `minisign` to sign, with the engines that `engines.toml` enters. An error where a
/// plan is not the one that was built. Answers with the list's path.
pub fn write_list(package: &Package) -> Result<PathBuf, GpuError> {
    let mut files = Vec::new();
    for entry in listed(package, ENGINES)?.into_values() {
        for plan in [entry.encoder, entry.locator] {
            plan.read(package)?;
            files.push(plan.file);
        }
    }
    if !files.is_empty() {
        files.push(ENGINES.into());
    }
    signature::write_list(package, &files).map_err(|error| GpuError::Engines(error.to_string()))
}

impl Entry {
    /// Refuses an engine that was built for another package, GPU or library; and, since a plan is code, one that another machine
    /// built and no signature covers.
    pub fn check(&self, package: &Package, sm: u32, plugin_sha256: &str) -> Result<(), GpuError> {
        let refuse =
            |problem: String| Err(GpuError::Engines(format!("{problem}; run `smgeo build-engine` on this machine")));
        if self.package != package.hash().to_string() {
            return refuse(format!("{} was built from another package", self.encoder.file));
        }
        if self.sm != sm {
            return refuse(format!("{} was built for sm_{}, this GPU is sm_{sm}", self.encoder.file, self.sm));
        }
        if self.plugin_sha256 != plugin_sha256 {
            return refuse(format!("{} was built with another plugin", self.encoder.file));
        }
        if self.origin == Origin::Local && self.built_on != this_machine()? {
            let file = &self.encoder.file;
            return refuse(format!("{file} was built on another machine and no signature covers it"));
        }
        Ok(())
    }
}

impl Plan {
    /// The plan's bytes, whose hash is the entry's, and the signature's where it names the file.
    pub fn read(&self, package: &Package) -> Result<Vec<u8>, GpuError> {
        if Path::new(&self.file).file_name().is_none_or(|name| name != self.file.as_str()) {
            return Err(GpuError::Engines(format!("`{}` is not a plain file name", self.file)));
        }
        let path = package.folder().join(&self.file);
        let bytes = read_file(&path)?;
        if let Some(signature) = package.signature().filter(|signature| signature.names(&self.file)) {
            signature.check(&self.file, &bytes).map_err(|error| GpuError::Engines(error.to_string()))?;
        }
        if hash(&bytes) == self.sha256 {
            return Ok(bytes);
        }
        Err(GpuError::Engines(format!("{} is not the plan that was built; build it again", path.display())))
    }
}

/// The encoder's open axis: images.
fn encoder_profiles() -> Vec<JobProfile> {
    let profile = |input: &str, rest: &[i64]| {
        let extents = |count: i64| [&[count], rest].concat();
        JobProfile { input: input.into(), smallest: extents(1), usual: extents(1), largest: extents(BATCH_MAX) }
    };
    vec![profile("image", &[256, 256, 4]), profile("view", &[])]
}

/// The locator's: queries, and the window's edges.
fn locator_profiles(cells: usize, channels: usize) -> Vec<JobProfile> {
    let (cells, channels) = (cells as i64, channels as i64);
    let queries = |input: &str, rest: &[i64]| {
        let extents = |count: i64| [&[count], rest].concat();
        JobProfile { input: input.into(), smallest: extents(1), usual: extents(1), largest: extents(BATCH_MAX) }
    };
    let window = |tiles: i64| vec![1, tiles * cells, tiles * cells, channels];
    let reference = JobProfile {
        input: "reference".into(),
        smallest: window(1),
        usual: window(WINDOW_TILES_USUAL),
        largest: window(WINDOW_TILES_MAX),
    };
    vec![queries("query", &[cells, cells, channels]), queries("click", &[2]), reference, queries("window", &[])]
}

/// A name of this machine that is the same until it is installed anew, and says nothing else about it.
fn this_machine() -> Result<String, GpuError> {
    machine_of(&read_file(Path::new(MACHINE_ID))?)
}

/// The name that follows from the content of [`MACHINE_ID`]. An empty one, or `uninitialized` as images are shipped with, would be the
/// name of every machine.
fn machine_of(id: &[u8]) -> Result<String, GpuError> {
    let id = id.trim_ascii();
    if id.len() != MACHINE_ID_DIGITS || !id.iter().all(u8::is_ascii_hexdigit) {
        return Err(GpuError::Engines(format!(
            "{MACHINE_ID} holds no id of {MACHINE_ID_DIGITS} hexadecimal digits, so engines of this machine cannot be told from others'; make one with `systemd-machine-id-setup`"
        )));
    }
    Ok(hash(&[b"smgeo engines built on ", id].concat())[..16].to_owned())
}

/// SHA-256, hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn read(package: &Package, name: &str) -> Result<Vec<u8>, GpuError> {
    package.read(name).map_err(|error| GpuError::Engines(error.to_string()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, GpuError> {
    std::fs::read(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> GpuError {
    GpuError::File { path: PathBuf::from(path), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_an_id_of_its_own_has_no_name() {
        for id in ["", "\n", "uninitialized\n", "0123456789abcdef\n", "0123456789abcdef0123456789abcdeg\n"] {
            let error = machine_of(id.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("/etc/machine-id") && error.contains("systemd-machine-id-setup"), "{error}");
        }
        let [one, other] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
        assert_eq!(machine_of(one.as_bytes()).unwrap(), machine_of(format!("{one}\n").as_bytes()).unwrap());
        assert_ne!(machine_of(one.as_bytes()).unwrap(), machine_of(other.as_bytes()).unwrap());
    }
}
