//! The golden files beside the repository, and how to compare with them.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use smgeo_train::model::Trace;

use crate::formula;

/// The golden folder, or a line saying that the test is skipped without it.
pub fn folder(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden"));
    if !folder.is_dir() {
        println!("skipped: {test} needs ../shared/golden");
        return None;
    }
    Some(folder)
}

/// A file of golden tensors.
pub struct Goldens {
    bytes: Vec<u8>,
}

impl Goldens {
    pub fn open(test: &str, file: &str) -> Option<Self> {
        Some(Self { bytes: std::fs::read(folder(test)?.join(file)).unwrap() })
    }

    /// Shape and values; integers as floats.
    pub fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("the golden file has no {name}"));
        let words = view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        let values = match view.dtype() {
            safetensors::Dtype::F32 => words.map(f32::from_le_bytes).collect(),
            safetensors::Dtype::I32 => words.map(|b| i32::from_le_bytes(b) as f32).collect(),
            other => panic!("{name} is {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    pub fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.names().into_iter().map(|name| name.to_string()).collect()
    }

    /// Asserts `|x - golden| <= 1e-4 max|golden| + 1e-5`; gives the largest difference over the largest value.
    #[track_caller]
    pub fn assert_close(&self, name: &str, found: &[f32]) -> f32 {
        assert_close(name, found, &self.get(name).1)
    }
}

#[track_caller]
pub fn assert_close(name: &str, found: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(found.len(), golden.len(), "{name}: number of values");
    let largest = golden.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let worst = found.iter().zip(golden).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(worst <= 1e-4 * largest + 1e-5, "{name}: off by {worst}, values up to {largest}");
    worst / largest.max(1e-5)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Images `[B, C, H, W]` as the encoder takes them: `[B, H, W, 4]`, a missing fourth channel zero.
pub fn channels_last(planes: &[f32], [batch, channels, height, width]: [usize; 4], device: &Device) -> Tensor<4> {
    let tensor = Tensor::<4>::from_data(TensorData::new(planes.to_vec(), [batch, channels, height, width]), device);
    let tensor = tensor.permute([0, 2, 3, 1]);
    match channels {
        4 => tensor,
        _ => Tensor::cat(vec![tensor, Tensor::zeros([batch, height, width, 4 - channels], device)], 3),
    }
}

/// The golden query images: three formula planes and the click map of each sample.
pub fn query_images(name: &str, clicks: &[[f64; 2]], height: usize, width: usize, device: &Device) -> Tensor<4> {
    let rgb = formula::image(name, [clicks.len(), 3, height, width]);
    let planes: Vec<f32> = rgb
        .chunks(3 * height * width)
        .zip(clicks)
        .flat_map(|(rgb, &click)| [rgb.to_vec(), formula::click_map(click, height, width)].concat())
        .collect();
    channels_last(&planes, [clicks.len(), 4, height, width], device)
}

/// A trace's values of `[B, tokens, C]` in row-major order of a map of `rows` x `columns`.
pub fn traced(trace: &Trace, name: &str, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let (_, data) = trace.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("the trace has no {name}"));
    let values: Vec<f32> = data.iter::<f32>().collect();
    let channels = *data.shape().last().unwrap();
    let block = 1 << rows.trailing_zeros().min(columns.trailing_zeros());
    let mut ordered = Vec::with_capacity(values.len());
    for sample in values.chunks(rows * columns * channels) {
        for y in 0..rows {
            for x in 0..columns {
                let first = ((y / block) * (columns / block) + x / block) * block * block;
                let inside: usize = (0..16)
                    .map(|bit| (((y % block) >> bit & 1) << (2 * bit)) | (((x % block) >> bit & 1) << (2 * bit + 1)))
                    .sum();
                let token = (first + inside) * channels;
                ordered.extend(&sample[token..token + channels]);
            }
        }
    }
    ordered
}
