//! A set of pairs with known answers: a folder with `pairs.jsonl`, one object a line, and the pictures it names. Every
//! evaluation reads this format, so any of them runs on any set.

use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::EngineError;

/// Name of the list in the folder.
pub const LIST: &str = "pairs.jsonl";

/// One query with its answer. Pixels are of the named pictures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pair {
    /// Picture with the object, relative to the folder.
    pub query: PathBuf,
    /// Picture to search, relative to the folder.
    pub reference: PathBuf,
    /// The clicked point, px of the query (x, y).
    pub click: [f32; 2],
    /// The true box, px of the reference: left, top, right, bottom.
    #[serde(rename = "box")]
    pub box_xyxy_px: [f32; 4],
    /// Ground resolution of the reference, m/px.
    pub gsd_m: f64,
    /// What the object is.
    #[serde(default)]
    pub class: String,
    /// Unit of resampling for confidence intervals: pairs of one group are not independent.
    #[serde(default)]
    pub group: String,
    /// Whether the query is laid out like the reference, north up at its scale. Only then does what lies around the click in one lie
    /// so in the other.
    #[serde(default = "rectified")]
    pub rectified: bool,
}

// Sets were of such queries before this was written down.
fn rectified() -> bool {
    true
}

/// A folder of pairs.
#[derive(Clone, Debug)]
pub struct PairSet {
    folder: PathBuf,
    sha256: String,
    /// The pairs, in the order of the list.
    pub pairs: Vec<Pair>,
}

impl PairSet {
    /// The folder's own name.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
    }

    /// SHA-256 of the list, hexadecimal: tells sets of one name apart.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Reads the list in `folder`. Pictures are read one by one when they are asked for.
    pub fn open(folder: &Path) -> Result<PairSet, EngineError> {
        let path = folder.join(LIST);
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => EngineError::Missing { path: path.clone() },
            _ => EngineError::File { path: path.clone(), source },
        };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let pairs = lines.map(|(number, line)| {
            let pair: Pair = serde_json::from_str(line)
                .map_err(|error| EngineError::Picture(format!("{} line {}: {error}", path.display(), number + 1)))?;
            let numbers = pair.click.iter().chain(&pair.box_xyxy_px);
            if numbers.into_iter().all(|number| number.is_finite()) && pair.gsd_m.is_finite() && pair.gsd_m > 0.0 {
                return Ok(pair);
            }
            Err(EngineError::Picture(format!("{} line {}: a number that cannot be", path.display(), number + 1)))
        });
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        Ok(PairSet { folder: folder.into(), sha256, pairs: pairs.collect::<Result<_, _>>()? })
    }

    /// Reads a picture of the set.
    pub fn picture(&self, name: &Path) -> Result<RgbImage, EngineError> {
        let path = self.folder.join(name);
        let failed = |error: String| EngineError::Picture(format!("{} cannot be read: {error}", path.display()));
        let reader = ImageReader::open(&path).and_then(ImageReader::with_guessed_format);
        let picture = reader.map_err(|error| failed(error.to_string()))?.decode();
        Ok(picture.map_err(|error| failed(error.to_string()))?.into_rgb8())
    }
}
