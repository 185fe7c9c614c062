//! The engines of a package: plans beside its networks, and `engines.toml`, which says what each was built for, with and by.
//!
//! `engines.toml` is not part of the package's identity: a plan is made from the package and changes none of its answers. Features
//! are kept under the engine's fingerprint, because each build rounds in its own way. A plan is code, so it is loaded only where
//! this user built it, which the entry's code shows ([`Key`]), or the package's signature covers it. A signed package is never written
//! over: what a machine builds of one is entered in `engines.local.toml`, which no signature covers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smgeo_engine::package::{ENCODER, LOCATOR};
use smgeo_engine::{Package, signature};

use crate::builder::{self, Job, JobProfile, Said};
use crate::error::GpuError;
use crate::folders;
use crate::key::Key;
use crate::lowering::{self, Mixtures, Precision};
use crate::probe::Gpu;
use crate::tensorrt::{Flavour, Libraries};

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

// Digits of a fingerprint: enough to tell the engines of a package apart.
const FINGERPRINT_DIGITS: usize = 12;

/// What an engine is built from.
pub struct Order<'a> {
    /// The package.
    pub package: &'a Package,
    /// Compute capability, such as 89.
    pub sm: u32,
    /// The GPU that the builder finds here and is to build for; none where it is told the capability.
    pub gpu: Option<&'a Gpu>,
    /// What the encoder computes in.
    pub precision: Precision,
    /// Where TensorRT is.
    pub libraries: &'a Libraries,
    /// With which the entry is marked as built by this user.
    pub key: &'a Key,
}

/// An engine, as `engines.toml` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Compute capability, such as 89.
    pub sm: u32,
    /// The model of the GPU it was built on, for which TensorRT chose its kernels; none where it is for any of the capability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
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
    /// The code of everything else here, by the key of the user who built it, hexadecimal.
    pub code: String,
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
    /// Nobody but the user who built it.
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

/// Builds both engines of a package and enters them. Nothing of an earlier build is touched before both are there. `child` makes the
/// command of a child that calls [`builder::serve`]; `listen` hears which network is being built, and how it goes.
pub fn build(
    order: &Order,
    child: impl Fn() -> Command,
    listen: impl FnMut(&'static str, &Said),
) -> Result<Entry, GpuError> {
    let Order { package, sm, gpu, precision, libraries, key } = order;
    let (index, kind) = if package.signature().is_some() { (LOCAL_ENGINES, "local-") } else { (ENGINES, "") };
    let stem = format!("{kind}sm_{sm}-{}-{}", libraries.flavour, precision.name());
    let mut entries = listed(package, index)?;
    let plugin_sha256 = hash(&read_file(&libraries.shim)?);
    let built = build_plans(order, &stem, child, listen).and_then(|(plans, version)| {
        plans.iter().try_for_each(|plan| in_place(package, &plan.file))?;
        Ok((plans, version))
    });
    if built.is_err() {
        NETWORKS.iter().for_each(|network| drop(std::fs::remove_file(partial(package, &plan_file(&stem, network)))));
    }
    let ([encoder, locator], tensorrt) = built?;
    let entry = Entry {
        sm: *sm,
        gpu: gpu.map(Gpu::model),
        flavour: libraries.flavour.name().into(),
        precision: precision.name().into(),
        tensorrt,
        package: package.hash().to_string(),
        plugin_sha256,
        code: String::new(),
        encoder,
        locator,
        origin: Origin::Local,
    };
    let entry = entry.coded(key);
    entries.insert(stem, entry.clone());
    let text = toml::to_string_pretty(&entries).map_err(|error| GpuError::Engines(error.to_string()))?;
    let path = partial(package, index);
    std::fs::write(&path, text).map_err(|source| file_error(&path, source))?;
    in_place(package, index)?;
    Ok(entry)
}

const NETWORKS: [&str; 2] = ["encoder", "locator"];
/// The network whose runs the backend records.
const RECORDED: &str = NETWORKS[0];

/// Builds both plans under the names of files that are not whole. Gives what they are, and the version of TensorRT.
fn build_plans(
    order: &Order,
    stem: &str,
    child: impl Fn() -> Command,
    mut listen: impl FnMut(&'static str, &Said),
) -> Result<([Plan; 2], String), GpuError> {
    let Order { package, sm, gpu, precision, libraries, .. } = order;
    let mixtures = if *precision == Precision::F32 { Mixtures::Gathered } else { Mixtures::Plugin };
    let (encoder, _) = lowering::encoder(&read(package, ENCODER)?, *precision, mixtures)?;
    let manifest = package.manifest();
    let networks = [
        (encoder, encoder_profiles()),
        (read(package, LOCATOR)?, locator_profiles(manifest.cells(), manifest.channels)),
    ];
    let timing_cache = timing_cache(libraries.flavour, *sm)?;
    let mut plans = Vec::new();
    let mut version = String::new();
    for (network, (onnx, profiles)) in NETWORKS.into_iter().zip(networks) {
        let file = plan_file(stem, network);
        let path = partial(package, &file);
        let job = Job::new(libraries, gpu.is_none().then_some(*sm), profiles, &path)?;
        let job = Job { timing_cache: timing_cache.clone(), capturable: network == RECORDED, ..job };
        version = builder::build(child(), &job, &onnx, |said| listen(network, said))?;
        let bytes = read_file(&path)?;
        plans.push(Plan { file, sha256: hash(&bytes), bytes: bytes.len() });
    }
    Ok((plans.try_into().expect("two networks, two plans"), version))
}

fn plan_file(stem: &str, network: &str) -> String {
    format!("{stem}.{network}.plan")
}

/// Where a file of the package's folder is written before it is whole.
fn partial(package: &Package, file: &str) -> PathBuf {
    package.folder().join(format!("{file}.partial"))
}

fn in_place(package: &Package, file: &str) -> Result<(), GpuError> {
    let path = package.folder().join(file);
    std::fs::rename(partial(package, file), &path).map_err(|source| file_error(&path, source))
}

/// Where TensorRT's timings are kept from build to build: in the user's folder, because TensorRT reads them and a package's folder
/// holds what others wrote. TensorRT-RTX takes none.
fn timing_cache(flavour: Flavour, sm: u32) -> Result<Option<PathBuf>, GpuError> {
    if flavour == Flavour::Rtx {
        return Ok(None);
    }
    let folder = folders::cache()?;
    std::fs::create_dir_all(&folder).map_err(|source| file_error(&folder, source))?;
    Ok(Some(folder.join(format!("sm_{sm}-{flavour}.timings"))))
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
    /// Refuses an engine that was built for another package, GPU or library; and, since a plan is code, one that somebody else built
    /// and no signature covers. `key` is asked for this user's key where it matters.
    pub fn check(
        &self,
        package: &Package,
        gpu: &Gpu,
        plugin_sha256: &str,
        key: impl FnOnce() -> Result<Key, GpuError>,
    ) -> Result<(), GpuError> {
        let file = &self.encoder.file;
        let refuse =
            |problem: String| Err(GpuError::Engines(format!("{problem}; run `smgeo build-engine` on this machine")));
        if self.package != package.hash().to_string() {
            return refuse(format!("{file} was built from another package"));
        }
        if self.sm != gpu.sm() {
            return refuse(format!("{file} was built for sm_{}, this GPU is sm_{}", self.sm, gpu.sm()));
        }
        if let Some(built) = self.gpu.as_ref().filter(|built| **built != gpu.model()) {
            return refuse(format!("{file} was built on {built}, this GPU is {}", gpu.model()));
        }
        if self.plugin_sha256 != plugin_sha256 {
            return refuse(format!("{file} was built with another plugin"));
        }
        if self.origin == Origin::Signed {
            return Ok(());
        }
        match key() {
            Ok(key) if key.matches(&self.message(), &self.code) => Ok(()),
            Ok(_) => refuse(format!("{file} was not built by this user on this machine and no signature covers it")),
            Err(error) => refuse(format!("{file} may not be this user's, and no signature covers it: {error}")),
        }
    }

    /// The same with its code by this key.
    pub fn coded(self, key: &Key) -> Entry {
        Entry { code: key.code(&self.message()), ..self }
    }

    /// What the code is of: all of it but the code.
    fn message(&self) -> Vec<u8> {
        let entry = Entry { code: String::new(), ..self.clone() };
        let text = serde_json::to_string(&entry).expect("an entry has names and numbers only");
        format!("smgeo engine\n{text}").into_bytes()
    }

    /// Tells this engine, on a GPU, with a version of TensorRT, from others: what was found out about one holds for none of them.
    pub fn fingerprint(&self, gpu: &Gpu, tensorrt: &str) -> String {
        let Entry { encoder, locator, plugin_sha256, .. } = self;
        let parts = format!("{}\n{}\n{plugin_sha256}\n{}\n{tensorrt}", encoder.sha256, locator.sha256, gpu.model());
        hash(parts.as_bytes())[..FINGERPRINT_DIGITS].to_owned()
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
