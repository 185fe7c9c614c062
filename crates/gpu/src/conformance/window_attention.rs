//! Window attention as the paper writes it: roll the map, cut windows, mask what is no neighbour, roll back. Nothing of the
//! Z-order is used but where a token lies.

use super::noise::Noise;
use super::{Extent, Report, compare};
use crate::device::{Buffer, Device};
use crate::element::Element;
use crate::error::GpuError;
use crate::window_attention::{AttentionShape, OFFSETS, WINDOW, window_attention};

type Row = (usize, [usize; 2], [usize; 2], usize);

/// Images, map, heads and their width, shift.
const EDGES: &[Row] = &[
    (1, [8, 8], [1, 32], 0),
    (2, [16, 16], [2, 24], 4),
    (1, [16, 32], [1, 32], 4),
    (1, [24, 16], [3, 8], 4),
    (1, [8, 16], [2, 16], 3),
    (1, [40, 8], [1, 24], 7),
];
/// Nano's and tiny's stages for four 256 px images, and stage 0 of a whole 1024 px reference.
const FLOWN: &[Row] = &[
    (4, [64, 64], [3, 32], 4),
    (4, [32, 32], [6, 32], 4),
    (4, [16, 16], [12, 32], 4),
    (4, [8, 8], [24, 32], 0),
    (1, [256, 256], [3, 32], 4),
];

pub fn check<T: Element, D: Device>(device: &D, extent: Extent, report: &mut Report) -> Result<(), GpuError> {
    let flown = if extent == Extent::Flown { FLOWN } else { &[] };
    for &(images, map, heads, shift) in EDGES.iter().chain(flown) {
        let shape = AttentionShape::new(images, map, heads, shift)?;
        for with_bias in [true, false] {
            let attention = Attention::<T>::new(&shape, with_bias);
            let found = attention.given(device)?;
            let name = format!(
                "window_attention {} {images} x {map:?} heads {heads:?} shift {shift} bias {with_bias}",
                T::NAME
            );
            // The weights are rounded before they multiply the values, and the mixture after.
            let outcome = compare(found.iter().map(|value| value.wide()), &attention.wanted());
            report.add(name, 2.0 * T::ROUNDING, outcome);
        }
    }
    Ok(())
}

struct Attention<T> {
    shape: AttentionShape,
    qkv: Vec<T>,
    /// The same for the reference.
    wide_qkv: Vec<f64>,
    bias: Option<Vec<f32>>,
}

impl<T: Element> Attention<T> {
    fn new(shape: &AttentionShape, with_bias: bool) -> Self {
        let mut noise = Noise::new(shape.numbers() as u64);
        let qkv = noise.numbers(3 * shape.numbers(), 2.0, T::of);
        let bias = with_bias.then(|| noise.numbers(OFFSETS * shape.heads(), 1.0, |value| value as f32));
        let wide_qkv = qkv.iter().map(|value| value.wide()).collect();
        Self { shape: *shape, qkv, wide_qkv, bias }
    }

    fn given<D: Device>(&self, device: &D) -> Result<Vec<T>, GpuError> {
        let qkv = Buffer::of(device, &self.qkv)?;
        let bias = self.bias.as_ref().map(|bias| Buffer::of(device, bias)).transpose()?;
        let mut out = Buffer::new(device, self.shape.numbers())?;
        window_attention(device, &self.shape, &qkv, bias.as_ref(), &mut out)?;
        out.read(device)
    }

    fn wanted(&self) -> Vec<f64> {
        let shape = &self.shape;
        let mut out = vec![0.0; shape.numbers()];
        for image in 0..shape.images() {
            for head in 0..shape.heads() {
                for top in (0..shape.height()).step_by(WINDOW) {
                    for left in (0..shape.width()).step_by(WINDOW) {
                        self.window([image, head, top, left], &mut out);
                    }
                }
            }
        }
        out
    }

    /// One head of the window whose upper left token of the rolled map is at (`top`, `left`).
    fn window(&self, [image, head, top, left]: [usize; 4], out: &mut [f64]) {
        let (height, width, shift) = (self.shape.height(), self.shape.width(), self.shape.shift());
        let (heads, head_width) = (self.shape.heads(), self.shape.head_width());
        let places: Vec<(usize, usize)> =
            (0..WINDOW * WINDOW).map(|at| (top + at / WINDOW, left + at % WINDOW)).collect();
        let row_of = |&(y, x): &(usize, usize)| {
            let source = [(y + shift) % height, (x + shift) % width];
            image * height * width + z_order(source, [height, width], self.shape.block())
        };
        let read = |part: usize, place: &(usize, usize), channel: usize| {
            self.wide_qkv[((row_of(place) * 3 + part) * heads + head) * head_width + channel]
        };
        let region = |&(y, x): &(usize, usize)| [strip(y, height, shift), strip(x, width, shift)];
        for query in &places {
            let logits: Vec<f64> = places
                .iter()
                .map(|key| {
                    let product: f64 = (0..head_width).map(|c| read(0, query, c) * read(1, key, c)).sum();
                    let (down, right) = (query.0 + WINDOW - 1 - key.0, query.1 + WINDOW - 1 - key.1);
                    let offset = down * (2 * WINDOW - 1) + right;
                    let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[offset * heads + head]));
                    let mask = if shift > 0 && region(query) != region(key) { -100.0 } else { 0.0 };
                    product / (head_width as f64).sqrt() + bias + mask
                })
                .collect();
            let highest = logits.iter().fold(f64::NEG_INFINITY, |most, logit| most.max(*logit));
            let weights: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for channel in 0..head_width {
                let mixed: f64 = places.iter().zip(&weights).map(|(key, weight)| weight * read(2, key, channel)).sum();
                out[(row_of(query) * heads + head) * head_width + channel] = mixed / sum;
            }
        }
    }
}

/// Which of the three strips of the rolled map a coordinate lies in (Liu et al. 2021, figure 4).
fn strip(at: usize, length: usize, shift: usize) -> usize {
    usize::from(at + WINDOW >= length) + usize::from(at + shift >= length)
}

/// Place of a token: blocks row by row; inside, each bit of (y, x) chooses a half, the highest first, x before y.
fn z_order([y, x]: [usize; 2], [_, width]: [usize; 2], block: usize) -> usize {
    let mut place = (y / block * (width / block) + x / block) * block * block;
    let (mut half, mut area) = (block / 2, block * block / 2);
    while half > 0 {
        place += usize::from(x % block / half % 2 == 1) * area;
        place += usize::from(y % block / half % 2 == 1) * area / 2;
        (half, area) = (half / 2, area / 4);
    }
    place
}
