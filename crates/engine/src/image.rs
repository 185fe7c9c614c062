//! The one kind of image the encoder sees: 256 x 256 px, red, green, blue and the click map, one byte each. A tile has no
//! click and its fourth channel is zero. Normalisation is inside the network, so nobody here knows a mean or a deviation.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::TILE_PX;
use crate::error::EngineError;

/// Bytes a pixel of an [`EncoderImage`].
pub const CHANNELS: usize = 4;

/// Bytes of an [`EncoderImage`].
pub const IMAGE_BYTES: usize = TILE_PX * TILE_PX * CHANNELS;

/// Up to this brightness a pixel may show nothing.
const UNSEEN_MAX: u8 = 12;

/// Bytes of the RGB picture an [`EncoderImage`] is made from.
pub const RGB_BYTES: usize = TILE_PX * TILE_PX * 3;

/// Which of its two sets of per-view weights the encoder uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// What the drone sees, with a click.
    Query,
    /// A piece of the map.
    Tile,
}

impl View {
    /// The number that stands for this view in the encoder's `view` input.
    pub fn code(self) -> i32 {
        match self {
            View::Query => 0,
            View::Tile => 1,
        }
    }
}

/// An image for the encoder: 256 rows of 256 pixels of (red, green, blue, click map), u8. Cloning shares the pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct EncoderImage(Arc<[u8]>);

impl EncoderImage {
    /// A map tile from 256 x 256 x 3 bytes of RGB, rows from the top.
    pub fn tile(rgb: &[u8]) -> Result<EncoderImage, EngineError> {
        check_rgb(rgb)?;
        Ok(EncoderImage::tile_from(|x, y| pixel_of(rgb, x, y)))
    }

    /// A query from 256 x 256 x 3 bytes of RGB and the clicked point, px from the outer corner of the upper left pixel.
    pub fn query(rgb: &[u8], click: (f32, f32)) -> Result<EncoderImage, EngineError> {
        check_rgb(rgb)?;
        EncoderImage::query_painted(click, |pixels| {
            for (pixel, &[red, green, blue]) in pixels.iter_mut().zip(rgb.as_chunks::<3>().0) {
                *pixel = [red, green, blue, 0];
            }
        })
    }

    /// A query whose colours `paint` writes to where they stay, black where it writes none; see [`EncoderImage::query`].
    pub(crate) fn query_painted(
        click: (f32, f32),
        paint: impl FnOnce(&mut [[u8; CHANNELS]]),
    ) -> Result<EncoderImage, EngineError> {
        let (column, row) = click_pixel(click)?;
        Ok(filled(|pixels| {
            paint(pixels);
            for (y, pixels) in pixels.chunks_exact_mut(TILE_PX).enumerate() {
                let clicks = click_row(column, y.abs_diff(row));
                pixels.iter_mut().zip(clicks).for_each(|(pixel, click)| pixel[3] = click);
            }
        }))
    }

    /// A map tile whose colour at column `x`, row `y` the closure gives: the pixels are written once, to where they stay.
    pub fn tile_from(mut colour: impl FnMut(usize, usize) -> [u8; 3]) -> EncoderImage {
        painted(|x, y| {
            let [red, green, blue] = colour(x, y);
            [red, green, blue, 0]
        })
    }

    /// A query whose colour at column `x`, row `y` the closure gives; see [`EncoderImage::tile_from`].
    pub fn query_from(
        click: (f32, f32),
        mut colour: impl FnMut(usize, usize) -> [u8; 3],
    ) -> Result<EncoderImage, EngineError> {
        let (column, row) = click_pixel(click)?;
        Ok(painted(|x, y| {
            let [red, green, blue] = colour(x, y);
            [red, green, blue, CLICK_BYTES[y.abs_diff(row) * TILE_PX + x.abs_diff(column)]]
        }))
    }

    /// Whether anything is seen within `around` pixels of a place of the picture: what the camera did not see is black, or nearly so
    /// where a file was compressed.
    pub fn shows(&self, [x, y]: [f32; 2], around: usize) -> bool {
        let inside = 0.0..TILE_PX as f32;
        if !(inside.contains(&x) && inside.contains(&y)) {
            return false;
        }
        let near = |at: f32| (at as usize).saturating_sub(around)..(at as usize + around + 1).min(TILE_PX);
        let is_seen =
            |(x, y): (usize, usize)| self.0[(y * TILE_PX + x) * CHANNELS..][..3].iter().any(|byte| *byte > UNSEEN_MAX);
        near(y).flat_map(|y| near(x).map(move |x| (x, y))).any(is_seen)
    }

    /// All bytes: `[256, 256, 4]`, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncoderImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncoderImage({TILE_PX} x {TILE_PX} x {CHANNELS})")
    }
}

/// Value of the click map `v = (1 - d / sqrt(H^2 + W^2))^2` as a byte, `round(255 v)`, `dx` columns and `dy` rows from the
/// clicked pixel. The network divides by 255, so it sees `v` to 1/510. Source: the SMGeo and DetGeo loaders.
pub fn click_byte(dx: usize, dy: usize) -> u8 {
    let diagonal_px = ((2 * TILE_PX * TILE_PX) as f64).sqrt();
    let distance_px = ((dx * dx + dy * dy) as f64).sqrt();
    let closeness = 1.0 - distance_px / diagonal_px;
    (255.0 * closeness * closeness).round() as u8
}

// The map depends only on the distance to the click, so one table of distances serves every click.
static CLICK_BYTES: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let offsets = (0..TILE_PX).flat_map(|dy| (0..TILE_PX).map(move |dx| (dx, dy)));
    offsets.map(|(dx, dy)| click_byte(dx, dy)).collect()
});

/// The click map's row `dy` rows from the clicked pixel, which is in this column.
fn click_row(column: usize, dy: usize) -> [u8; TILE_PX] {
    let from_click = &CLICK_BYTES[dy * TILE_PX..][..TILE_PX];
    let mut clicks = [0; TILE_PX];
    let (left, right) = clicks.split_at_mut(column);
    right.copy_from_slice(&from_click[..TILE_PX - column]);
    left.iter_mut().rev().zip(&from_click[1..]).for_each(|(click, byte)| *click = *byte);
    clicks
}

fn click_pixel((x, y): (f32, f32)) -> Result<(usize, usize), EngineError> {
    let inside = 0.0..TILE_PX as f32;
    if inside.contains(&x) && inside.contains(&y) {
        // Truncation, as the loaders that trained the published networks do.
        Ok((x as usize, y as usize))
    } else {
        Err(EngineError::Click { x, y, width_px: TILE_PX as u32, height_px: TILE_PX as u32 })
    }
}

fn check_rgb(rgb: &[u8]) -> Result<(), EngineError> {
    if rgb.len() == RGB_BYTES { Ok(()) } else { Err(EngineError::ImageSize { bytes: rgb.len(), expected: RGB_BYTES }) }
}

fn pixel_of(rgb: &[u8], x: usize, y: usize) -> [u8; 3] {
    let at = (y * TILE_PX + x) * 3;
    [rgb[at], rgb[at + 1], rgb[at + 2]]
}

fn painted(mut pixel: impl FnMut(usize, usize) -> [u8; CHANNELS]) -> EncoderImage {
    filled(|pixels| {
        for (y, row) in pixels.chunks_exact_mut(TILE_PX).enumerate() {
            for (x, out) in row.iter_mut().enumerate() {
                *out = pixel(x, y);
            }
        }
    })
}

/// An image whose pixels, row by row, `fill` writes to where they stay.
fn filled(fill: impl FnOnce(&mut [[u8; CHANNELS]])) -> EncoderImage {
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, IMAGE_BYTES).collect();
    let buffer = Arc::get_mut(&mut bytes).expect("nobody else has seen the new buffer");
    fill(buffer.as_chunks_mut().0);
    EncoderImage(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Vec<u8> {
        (0..RGB_BYTES).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn a_tile_keeps_its_colours_and_has_no_click() {
        let rgb = ramp();
        let tile = EncoderImage::tile(&rgb).unwrap();
        for (pixel, colour) in tile.bytes().chunks(4).zip(rgb.chunks(3)) {
            assert_eq!(&pixel[..3], colour);
            assert_eq!(pixel[3], 0);
        }
    }

    #[test]
    fn the_click_map_follows_its_formula() {
        let query = EncoderImage::query(&ramp(), (100.9, 20.2)).unwrap();
        let diagonal = (2.0f64 * 256.0 * 256.0).sqrt();
        for (x, y) in [(100usize, 20usize), (101, 20), (0, 0), (255, 255), (17, 200)] {
            let distance = ((x as f64 - 100.0).powi(2) + (y as f64 - 20.0).powi(2)).sqrt();
            let value = (1.0 - distance / diagonal).powi(2);
            let byte = query.bytes()[(y * 256 + x) * 4 + 3];
            assert!((f64::from(byte) / 255.0 - value).abs() <= 0.5 / 255.0 + 1e-12, "at {x}, {y}: {byte}");
        }
    }

    #[test]
    fn a_click_outside_of_the_image_is_refused() {
        for click in [(-0.1, 3.0), (3.0, 256.0), (f32::NAN, 3.0), (3.0, f32::INFINITY)] {
            assert!(matches!(EncoderImage::query(&ramp(), click), Err(EngineError::Click { .. })), "{click:?}");
        }
    }

    #[test]
    fn pixels_of_the_wrong_amount_are_refused() {
        assert!(matches!(EncoderImage::tile(&[0; 12]), Err(EngineError::ImageSize { bytes: 12, .. })));
    }
}
