//! The control that needs no training: normalised cross-correlation of the query's middle with the window, at several scales.

use smgeo_engine::EncoderImage;

use crate::data::Raster;
use crate::data::pair_set::{Pair, picture_of};

/// Coarseness of the search in pixels.
const STEP_PX: usize = 4;
/// Edge of the template in query pixels.
const TEMPLATE_PX: usize = 96;
/// Sizes the template is tried at.
const SCALES: [f64; 3] = [0.87, 1.0, 1.15];

/// A window made ready for the search.
pub struct Searched {
    width: usize,
    height: usize,
    luminance: Vec<f32>,
}

impl Searched {
    /// Shrinks a window picture.
    pub fn new(picture: &Raster) -> Self {
        let (width, height) = (picture.width() / STEP_PX, picture.height() / STEP_PX);
        Self { width, height, luminance: picture.resized(width, height).luminance() }
    }

    /// The window pixel that the click best correlates with, over all places and scales.
    pub fn find(&self, query: &EncoderImage, click: [f32; 2]) -> [f64; 2] {
        let query = picture_of(query);
        let mut best = (f32::NEG_INFINITY, [0.0; 2]);
        for scale in SCALES {
            let edge = ((TEMPLATE_PX as f64 * scale) as usize / STEP_PX).min(self.width).min(self.height);
            let template = template(&query, click, edge);
            let (score, x, y) = self.best_place(&template, edge);
            if score > best.0 {
                let middle = |place: usize| (place as f64 + edge as f64 / 2.0) * STEP_PX as f64;
                best = (score, [middle(x), middle(y)]);
            }
        }
        best.1
    }

    fn best_place(&self, template: &[f32], edge: usize) -> (f32, usize, usize) {
        let count = (edge * edge) as f32;
        let mut best = (f32::NEG_INFINITY, 0, 0);
        for y in 0..=self.height - edge {
            for x in 0..=self.width - edge {
                let (mut sum, mut squares, mut product) = (0.0, 0.0, 0.0);
                for row in 0..edge {
                    let line = &self.luminance[(y + row) * self.width + x..][..edge];
                    for (value, weight) in line.iter().zip(&template[row * edge..]) {
                        sum += value;
                        squares += value * value;
                        product += value * weight;
                    }
                }
                // The template has no mean and unit length, so only the window's own spread is divided by.
                let score = product / (squares - sum * sum / count).max(1.0).sqrt();
                if score > best.0 {
                    best = (score, x, y);
                }
            }
        }
        best
    }
}

/// The query around the click at `edge` x `edge` pixels, without mean, of unit length.
fn template(query: &Raster, click: [f32; 2], edge: usize) -> Vec<f32> {
    let corner = click.map(|place| f64::from(place) - TEMPLATE_PX as f64 / 2.0);
    let cut = query.crop(corner[0] as i64, corner[1] as i64, TEMPLATE_PX, TEMPLATE_PX, [0; 3]);
    let values = cut.resized(edge, edge).luminance();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let length = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>().max(1e-6).sqrt();
    values.iter().map(|value| (value - mean) / length).collect()
}

/// Finds the place and answers with a box of a given size there.
pub fn guess(window: &Searched, query: &EncoderImage, click: [f32; 2], size: [f64; 2]) -> [f64; 4] {
    let [x, y] = window.find(query, click);
    [x - size[0] / 2.0, y - size[1] / 2.0, x + size[0] / 2.0, y + size[1] / 2.0]
}

/// Median width and height of the pairs' boxes.
pub fn median_size(pairs: &[Pair]) -> [f64; 2] {
    let median = |side: fn(&Pair) -> f64| super::measure::quantile(pairs.iter().map(side).collect(), 0.5);
    [median(|pair| pair.box_xyxy[2] - pair.box_xyxy[0]), median(|pair| pair.box_xyxy[3] - pair.box_xyxy[1])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use smgeo_engine::TILE_PX;

    #[test]
    fn a_piece_of_the_window_is_found_where_it_was_cut() {
        let mut window = Raster::filled(512, 512, [0; 3]);
        // Blobs of random brightness: nothing repeats.
        let mut state = 7u32;
        let levels: Vec<u8> = (0..1024)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for (at, pixel) in window.rgb_mut().chunks_exact_mut(3).enumerate() {
            pixel.fill(levels[(at / 512 / 16) * 32 + at % 512 / 16]);
        }
        let query = window.crop(172, 72, TILE_PX, TILE_PX, [0; 3]);
        let image = EncoderImage::tile(query.rgb()).unwrap();
        let [x, y] = Searched::new(&window).find(&image, [128.0, 128.0]);
        assert!((x - 300.0).abs() <= 4.0 && (y - 200.0).abs() <= 4.0, "{x} {y}");
    }
}
