//! The engine package: a folder with `package.toml`, `encoder.onnx` and `locator.onnx`. The manifest names the SHA-256 of
//! each file, and no byte of a file is used before it has been compared: what runs is what was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TILE_PX;
use crate::error::EngineError;
use crate::graph;
use crate::signature::{self, Signature, TrustedKey};

/// Name of the manifest in the package folder.
pub const MANIFEST: &str = "package.toml";
/// Name of the encoder's file in the package folder.
pub const ENCODER: &str = "encoder.onnx";
/// Name of the locator's file in the package folder.
pub const LOCATOR: &str = "locator.onnx";
/// The package format this version reads and writes.
pub const FORMAT: u32 = 1;

// A manifest is some kilobytes; an ONNX file cannot pass the 2 GiB of a protobuf message.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
pub(crate) const FILE_BYTES_MAX: u64 = (1 << 31) - 1;
// Wider features than any known backbone's are a damaged manifest.
const CHANNELS_MAX: usize = 8192;

/// How the locator brings query and reference together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// The query's cells around the click are correlated with the map; heat is a logit against "not in this window".
    Template,
    /// The paper's gate of the pooled query and convolutional head; the sigmoid of heat is its score.
    Paper,
}

/// What `package.toml` says. Keys this version does not know are left alone, so that an exporter can add remarks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the package format, [`FORMAT`].
    pub format: u32,
    /// Name of the model, for people.
    pub name: String,
    /// The network's size, such as `nano` or `tiny`.
    pub architecture: String,
    /// How query and reference meet.
    pub fusion: Fusion,
    /// Numbers a cell of the features.
    pub channels: usize,
    /// Pixels a cell, a divisor of 256.
    pub stride_px: usize,
    /// Edge of the encoder's images, px: 256.
    pub tile_px: usize,
    /// Ground resolution the model was trained at, m/px.
    pub gsd_m: f64,
    /// Smallest and largest ground resolution seen in training, m/px.
    pub gsd_m_range: [f64; 2],
    /// Divisor of the logits that makes the posterior calibrated, measured on held-out pairs.
    pub temperature: f32,
    /// SHA-256 of each file, hexadecimal, by name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What it was trained on: data, seed, revision. Free-form.
    #[serde(default)]
    pub training: toml::Table,
    /// What was measured on held-out data. Free-form.
    #[serde(default)]
    pub metrics: toml::Table,
}

impl Manifest {
    /// Edge of the feature map of one image, cells.
    pub fn cells(&self) -> usize {
        TILE_PX / self.stride_px
    }

    /// Hashes the networks that lie in `folder` and writes its `package.toml`. The last step of an export. A signed package is not
    /// written over.
    pub fn seal(mut self, folder: &Path) -> Result<Package, EngineError> {
        signature::check_unsigned(folder)?;
        for name in [ENCODER, LOCATOR] {
            self.files
                .insert(name.into(), hex::encode(Sha256::digest(read_limited(&folder.join(name), FILE_BYTES_MAX)?)));
        }
        let path = folder.join(MANIFEST);
        let problem = |problem| EngineError::Manifest { path: path.clone(), problem };
        let text = toml::to_string_pretty(&self).map_err(|error| problem(error.to_string()))?;
        std::fs::write(&path, text).map_err(|source| EngineError::File { path: path.clone(), source })?;
        Package::open(folder)
    }

    fn check(&self) -> Result<(), String> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let [lo, hi] = self.gsd_m_range;
        if self.format != FORMAT {
            return Err(format!("format = {} is not known to this version, which reads {FORMAT}", self.format));
        }
        if self.tile_px != TILE_PX {
            return Err(format!("tile_px = {} but this version cuts tiles of {TILE_PX}", self.tile_px));
        }
        if self.stride_px == 0 || !TILE_PX.is_multiple_of(self.stride_px) {
            return Err(format!("stride_px = {} does not divide {TILE_PX}", self.stride_px));
        }
        if self.channels == 0 || self.channels > CHANNELS_MAX {
            return Err(format!("channels = {} is not between 1 and {CHANNELS_MAX}", self.channels));
        }
        if !positive(f64::from(self.temperature)) {
            return Err(format!("temperature = {} must be a positive number", self.temperature));
        }
        if !(positive(lo) && lo <= self.gsd_m && self.gsd_m <= hi && hi.is_finite()) {
            return Err(format!("gsd_m = {} must be positive and inside of gsd_m_range = [{lo}, {hi}]", self.gsd_m));
        }
        match [ENCODER, LOCATOR].into_iter().find(|name| !self.files.contains_key(*name)) {
            Some(name) => Err(format!("[files] does not name {name}")),
            None => Ok(()),
        }
    }

    // Every value that changes what the networks give or how it is read; names and remarks do not.
    fn identity(&self) -> String {
        let Manifest { format, fusion, channels, stride_px, tile_px, gsd_m, temperature, .. } = self;
        let mut text = format!(
            "{format} {fusion:?} {channels} {stride_px} {tile_px} {gsd_m} {temperature} {}\n",
            self.architecture
        );
        for (name, digest) in &self.files {
            text.push_str(&format!("{name} {}\n", digest.to_ascii_lowercase()));
        }
        text
    }
}

/// Identity of a package: SHA-256 over the meaning of its manifest and the hashes of its files. Features, built engines and
/// detections carry it, so that nothing of one package is ever read with another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageHash(pub [u8; 32]);

impl PackageHash {
    /// The first 12 hexadecimal digits: enough for people and file names.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for PackageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PackageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageHash({})", self.short())
    }
}

/// A package whose signature, if it has one, manifest, hashes and network interfaces have been checked.
#[derive(Clone, Debug)]
pub struct Package {
    folder: PathBuf,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    hash: PackageHash,
    signature: Option<Signature>,
}

impl Package {
    /// Opens the package in `folder` and checks all of it. No key is trusted, so a signed package is refused. Errors name the
    /// file and the remedy.
    pub fn open(folder: impl AsRef<Path>) -> Result<Package, EngineError> {
        Package::open_trusting(folder, &[])
    }

    /// As [`Package::open`], and a signed package opens where one of `keys` signed it.
    pub fn open_trusting(folder: impl AsRef<Path>, keys: &[TrustedKey]) -> Result<Package, EngineError> {
        let folder = folder.as_ref().to_path_buf();
        let signature = Signature::verify(&folder, keys)?;
        let path = folder.join(MANIFEST);
        let manifest_bytes = read_limited(&path, MANIFEST_BYTES_MAX)?;
        if let Some(signature) = &signature {
            signature.check(MANIFEST, &manifest_bytes)?;
        }
        let manifest = read_manifest(&path, &manifest_bytes)?;
        manifest.check().map_err(|problem| EngineError::Manifest { path: path.clone(), problem })?;
        for name in manifest.files.keys() {
            check_name(name).map_err(|problem| EngineError::Manifest {
                path: path.clone(),
                problem: format!("[files]: {problem}"),
            })?;
        }
        let hash = PackageHash(Sha256::digest(manifest.identity()).into());
        let package = Package { folder, manifest, manifest_bytes, hash, signature };
        for name in package.manifest.files.keys() {
            let bytes = package.read(name)?;
            let check = match name.as_str() {
                ENCODER => graph::check_encoder(&bytes, &package.manifest),
                LOCATOR => graph::check_locator(&bytes, &package.manifest),
                _ => Ok(()),
            };
            check.map_err(|problem| EngineError::Graph { path: package.folder.join(name), problem })?;
        }
        Ok(package)
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The identity of the package.
    pub fn hash(&self) -> PackageHash {
        self.hash
    }

    /// The signature, where the package has one.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The manifest's text, as it was read.
    pub(crate) fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Where the package lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a file of the package and compares its hash again: the bytes given are the ones that the manifest means and the
    /// signature covers, even if the file was exchanged since the package was opened.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, EngineError> {
        let path = self.folder.join(name);
        let Some(expected) = self.manifest.files.get(name) else {
            let problem = format!("[files] does not name {name}");
            return Err(EngineError::Manifest { path: self.folder.join(MANIFEST), problem });
        };
        let bytes = read_limited(&path, FILE_BYTES_MAX)?;
        if let Some(signature) = &self.signature {
            signature.check(name, &bytes)?;
        }
        let found = hex::encode(Sha256::digest(&bytes));
        if !found.eq_ignore_ascii_case(expected) {
            return Err(EngineError::Hash { path, expected: expected.clone(), found });
        }
        Ok(bytes)
    }
}

fn read_manifest(path: &Path, bytes: &[u8]) -> Result<Manifest, EngineError> {
    let problem = |problem| EngineError::Manifest { path: path.into(), problem };
    let text = std::str::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
    // The format comes first: another format may differ in every other key.
    let table: toml::Table = toml::from_str(text).map_err(|error| problem(error.to_string()))?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if format == i64::from(FORMAT) => {}
        Some(format) => {
            return Err(problem(format!("format = {format} is not known to this version, which reads {FORMAT}")));
        }
        None => {
            return Err(problem(format!("no key `format`; is this an smgeo package? it should say format = {FORMAT}")));
        }
    }
    toml::from_str(text).map_err(|error| problem(error.to_string()))
}

/// A package reaches no file outside of its folder.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let reserved = |char: char| char == '\\' || char == ':' || char.is_control();
    let plain = Path::new(name).file_name().is_some_and(|file| file == name) && !name.contains(reserved);
    if plain { Ok(()) } else { Err(format!("it names `{name}`, which is not a plain file name")) }
}

pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, EngineError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => EngineError::Missing { path: path.into() },
        _ => EngineError::File { path: path.into(), source },
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let too_large = || std::io::Error::other(format!("{length} bytes are more than the {bytes_max} allowed"));
    if length > bytes_max {
        return Err(failed(too_large()));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
