//! A PyTorch `.pth` file: a zip of one pickle and of raw storages.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use super::pickle::{Element, Object, TensorView};
use super::weights::half;
use super::{CheckpointError, Weight};

/// An opened file and the object in its pickle.
pub struct Archive {
    /// The object that was saved.
    pub object: Object,
    path: PathBuf,
    zip: ZipArchive<File>,
    root: String,
}

/// `torch.save` puts nothing in front of its zip. Left to find out, the reader takes what lies between directory and end for
/// directory when both are 76 bytes, which is so for a file name of 21 letters, `CVOGL_DroneAerial_val` among them.
const FROM_THE_START: Config = Config { archive_offset: ArchiveOffset::Known(0) };
/// A pickle holds names and shapes; a larger one is no checkpoint.
const PICKLE_BYTES_MAX: u64 = 64 << 20;
/// No storage of this family of networks is larger.
const STORAGE_BYTES_MAX: u64 = 2 << 30;

impl Archive {
    /// Opens a file and reads its pickle. Nothing in it is executed.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = File::open(path).map_err(|source| CheckpointError::File { path: path.into(), source })?;
        let broken = |problem: String| CheckpointError::Broken { path: path.into(), problem };
        let mut zip = ZipArchive::with_config(FROM_THE_START, file)
            .map_err(|error| broken(format!("no zip of torch.save: {error}")))?;
        let pickle = zip.file_names().flatten().find(|name| name.ends_with("/data.pkl")).map(|name| name.into_owned());
        let pickle = pickle.ok_or_else(|| broken("it has no data.pkl".into()))?;
        let root = pickle.trim_end_matches("data.pkl").to_owned();
        let order = read(&mut zip, path, &format!("{root}byteorder"), 16).unwrap_or_else(|_| b"little".to_vec());
        if order != b"little" {
            return Err(broken("its numbers are big-endian".into()));
        }
        let object = Object::parse(&read(&mut zip, path, &pickle, PICKLE_BYTES_MAX)?)?;
        Ok(Self { object, path: path.into(), zip, root })
    }

    /// The values of a tensor, as 32-bit floats.
    pub fn tensor(&mut self, view: &TensorView) -> Result<Weight, CheckpointError> {
        let name = format!("{}data/{}", self.root, view.storage.key);
        let bytes = read(&mut self.zip, &self.path, &name, STORAGE_BYTES_MAX)?;
        let values = values(&bytes, view.storage.element);
        gathered(&values, view).ok_or_else(|| CheckpointError::Broken {
            path: self.path.clone(),
            problem: format!("a tensor reaches beyond its storage {}", view.storage.key),
        })
    }
}

fn read(zip: &mut ZipArchive<File>, path: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, CheckpointError> {
    let broken = |problem: String| CheckpointError::Broken { path: path.into(), problem };
    let entry = zip.by_name(name).map_err(|error| broken(format!("{name}: {error}")))?;
    let mut bytes = Vec::new();
    let taken = entry.take(bytes_max + 1).read_to_end(&mut bytes);
    taken.map_err(|source| CheckpointError::File { path: path.into(), source })?;
    match bytes.len() as u64 > bytes_max {
        true => Err(broken(format!("{name} has more than {bytes_max} bytes"))),
        false => Ok(bytes),
    }
}

fn values(bytes: &[u8], element: Element) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let chunks = bytes.chunks_exact(N);
        chunks.map(|chunk| value(chunk.try_into().expect("chunks have this length"))).collect()
    }
    match element {
        Element::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Element::F32 => each(bytes, f32::from_le_bytes),
        Element::F16 => each(bytes, |b| half(u16::from_le_bytes(b))),
        Element::Bf16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        Element::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        Element::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Element::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        Element::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
        Element::U8 | Element::Bool => each(bytes, |[b]: [u8; 1]| f32::from(b)),
    }
}

/// The elements of a view in row-major order; nothing where it reaches beyond the storage.
fn gathered(values: &[f32], view: &TensorView) -> Option<Weight> {
    if view.shape.len() != view.strides.len() {
        return None;
    }
    let count = view.shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent))?;
    let reach = view.shape.iter().zip(&view.strides).try_fold(view.offset, |reach, (&extent, &stride)| {
        reach.checked_add(extent.saturating_sub(1).checked_mul(stride)?)
    })?;
    if count > 0 && (reach >= values.len() || count > values.len().max(1) * view.shape.len().max(1)) {
        return None;
    }
    let mut out = Vec::with_capacity(count);
    for flat in 0..count {
        let (mut rest, mut at) = (flat, view.offset);
        for (&extent, &stride) in view.shape.iter().zip(&view.strides).rev() {
            at += rest % extent * stride;
            rest /= extent;
        }
        out.push(values[at]);
    }
    Some(Weight { shape: view.shape.clone(), values: out })
}
