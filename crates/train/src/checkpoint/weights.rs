//! Named tensors of 32-bit floats, and their safetensors form.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::CheckpointError;

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// Tensors by name, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Weight>);

impl Weight {
    /// A tensor of the given extents.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "extents and number of values agree");
        Self { shape, values }
    }

    /// The matrix's transpose; other ranks stay.
    pub fn transposed(self) -> Self {
        let [rows, columns] = self.shape[..] else { return self };
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..columns {
            values.extend((0..rows).map(|row| self.values[row * columns + column]));
        }
        Self { shape: vec![columns, rows], values }
    }
}

impl Weights {
    /// Reads a safetensors file; floats of any width become 32-bit, other types are left out.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::File { path: path.into(), source })?;
        let broken = |error: safetensors::SafeTensorError| CheckpointError::Broken {
            path: path.into(),
            problem: error.to_string(),
        };
        let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let tensors = file.tensors().into_iter().filter_map(|(name, tensor)| {
            let values = floats(&tensor)?;
            Some((name, Weight { shape: tensor.shape().to_vec(), values }))
        });
        Ok(Self(tensors.collect()))
    }

    /// Writes a safetensors file with `remarks` in its header.
    pub fn write(&self, path: &Path, remarks: &[(&str, String)]) -> Result<(), CheckpointError> {
        let broken = |error: safetensors::SafeTensorError| CheckpointError::Broken {
            path: path.into(),
            problem: error.to_string(),
        };
        let bytes: BTreeMap<&String, Vec<u8>> = self
            .0
            .iter()
            .map(|(name, weight)| (name, weight.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = self.0.iter().map(|(name, weight)| {
            let view = TensorView::new(Dtype::F32, weight.shape.clone(), &bytes[name]);
            view.map(|view| (name, view)).map_err(broken)
        });
        let views: Vec<_> = views.collect::<Result<_, _>>()?;
        let remarks: HashMap<String, String> =
            remarks.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        safetensors::serialize_to_file(views, Some(remarks), path).map_err(broken)
    }

    /// The mean, in equal parts, of the weights of one network after several trainings; names and extents have to agree.
    pub fn mean(parts: &[Weights]) -> Result<Self, CheckpointError> {
        let Some((first, rest)) = parts.split_first() else { return Ok(Self::default()) };
        let mut mean = first.clone();
        for (name, weight) in &mut mean.0 {
            for part in rest {
                let other = part.get(name).filter(|other| other.shape == weight.shape);
                let other =
                    other.ok_or_else(|| CheckpointError::Names { missing: vec![name.clone()], unknown: Vec::new() })?;
                weight.values.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += value);
            }
            weight.values.iter_mut().for_each(|sum| *sum /= parts.len() as f32);
        }
        Ok(mean)
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&Weight> {
        self.0.get(name)
    }

    /// Takes the tensor of a name out.
    pub fn take(&mut self, name: &str) -> Option<Weight> {
        self.0.remove(name)
    }
}

/// The values of a float tensor; nothing for other types.
fn floats(tensor: &TensorView) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    let wide = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    match tensor.dtype() {
        Dtype::F32 => Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::F64 => Some(
            bytes
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
        ),
        Dtype::BF16 => Some(bytes.chunks_exact(2).map(|b| wide(u16::from_le_bytes([b[0], b[1]]))).collect()),
        Dtype::F16 => Some(bytes.chunks_exact(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect()),
        _ => None,
    }
}

/// The value of an IEEE 754 half.
pub(super) fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff) / 1024.0;
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_any_width_are_read_and_integers_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let tensors: [(&str, Dtype, &[u8]); 4] = [
            ("single", Dtype::F32, &[0, 0, 0x20, 0xc0]),
            ("double", Dtype::F64, &[0, 0, 0, 0, 0, 0, 4, 0xc0]),
            ("brain", Dtype::BF16, &[0x20, 0xc0]),
            ("integer", Dtype::I32, &[1, 0, 0, 0]),
        ];
        let views = tensors.map(|(name, kind, bytes)| (name, TensorView::new(kind, vec![1], bytes).unwrap()));
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let weight = |name: &str| (name.to_owned(), Weight::new([1], vec![-2.5]));
        assert_eq!(Weights::read(&path).unwrap(), Weights(["single", "double", "brain"].map(weight).into()));
    }

    #[test]
    fn the_mean_of_two_trainings_lies_halfway() {
        let weights = |values: [f32; 2]| Weights([("a.bias".to_owned(), Weight::new([2], values.to_vec()))].into());
        let mean = Weights::mean(&[weights([1.0, -2.0]), weights([3.0, 2.0])]).unwrap();
        assert_eq!(mean, weights([2.0, 0.0]));
        let other = Weights([("b.bias".to_owned(), Weight::new([2], vec![0.0; 2]))].into());
        assert!(Weights::mean(&[weights([1.0, 1.0]), other]).is_err());
    }

    #[test]
    fn halves_are_exact() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)] {
            assert_eq!(half(bits), value);
        }
    }
}
