//! The query crop: a piece of the drone's frame, laid out as the network was trained to see it.
//!
//! With a pose the crop is north up at the map's scale, so query and map differ by relief, light and season but not by
//! rotation and scale; without one it is a square of the frame around the click. Both are the same operation, a map from
//! crop pixels to frame pixels, sampled without aliasing from a pyramid of halved frames. Training makes its queries with this
//! very code, so what flies is what was trained.

use crate::TILE_PX;

/// Is the value of crop pixels that the camera did not see.
const UNSEEN: u8 = 0;

/// Caps the halvings: 2^5 frame pixels a crop pixel is a drone too high to see anything.
const LEVELS_MAX: usize = 6;

/// Is how far apart, in crop pixels, the map is asked.
const STRIDE_PX: usize = 8;

/// Is a borrowed RGB picture: `height_px` rows of `width_px` pixels of three bytes.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The bytes, `width_px * height_px * 3` of them.
    pub rgb: &'a [u8],
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
}

/// Is a picture with its halvings, made once a frame and shared by all targets in it.
pub struct Pyramid {
    levels: Vec<Level>,
}

struct Level {
    rgb: Vec<u8>,
    width_px: usize,
    height_px: usize,
}

impl Pyramid {
    /// Halves `picture` as long as it stays larger than a crop.
    ///
    /// # Panics
    /// When the picture's bytes are not `width_px * height_px * 3`, or there are none.
    pub fn new(picture: Picture<'_>) -> Self {
        assert_eq!(picture.rgb.len(), picture.width_px * picture.height_px * 3, "a picture's bytes fit its size");
        assert!(!picture.rgb.is_empty(), "a picture has pixels");
        let mut levels =
            vec![Level { rgb: picture.rgb.to_vec(), width_px: picture.width_px, height_px: picture.height_px }];
        while levels.len() < LEVELS_MAX {
            let last = &levels[levels.len() - 1];
            if last.width_px.min(last.height_px) < 64 {
                break;
            }
            levels.push(halved(last));
        }
        Self { levels }
    }

    /// Samples a [`TILE_PX`]² RGB crop.
    ///
    /// `frame_from_crop` takes a point of the crop to a point of the frame, both in pixels from the outer corner of the first
    /// pixel, or to `None` where the camera cannot see. Crop pixels outside the frame are black.
    pub fn crop(&self, frame_from_crop: impl Fn(f64, f64) -> Option<(f64, f64)>) -> Vec<u8> {
        let mut rgb = vec![UNSEEN; TILE_PX * TILE_PX * 3];
        let points = self.grid(&frame_from_crop);
        for row in 0..TILE_PX {
            for column in 0..TILE_PX {
                let corner = points[row * (TILE_PX + 1) + column];
                let right = points[row * (TILE_PX + 1) + column + 1];
                let below = points[(row + 1) * (TILE_PX + 1) + column];
                let diagonal = points[(row + 1) * (TILE_PX + 1) + column + 1];
                let (Some(corner), Some(right), Some(below), Some(diagonal)) = (corner, right, below, diagonal) else {
                    continue;
                };
                let centre = (
                    0.25 * (corner.0 + right.0 + below.0 + diagonal.0),
                    0.25 * (corner.1 + right.1 + below.1 + diagonal.1),
                );
                let scale = footprint_px(corner, right, below);
                if let Some(colour) = self.sample(centre, scale) {
                    let at = (row * TILE_PX + column) * 3;
                    rgb[at..at + 3].copy_from_slice(&colour);
                }
            }
        }
        rgb
    }

    /// Maps the corners of all crop pixels, so that each pixel knows its centre and its size in the frame. The map is asked
    /// every [`STRIDE_PX`] pixels and drawn straight between: over so few pixels no camera bends more than a hair.
    fn grid(&self, frame_from_crop: &impl Fn(f64, f64) -> Option<(f64, f64)>) -> Vec<Option<(f64, f64)>> {
        const COARSE: usize = TILE_PX / STRIDE_PX + 1;
        let coarse: Vec<_> = (0..COARSE * COARSE)
            .map(|i| frame_from_crop((i % COARSE * STRIDE_PX) as f64, (i / COARSE * STRIDE_PX) as f64))
            .map(|point| point.filter(|(x, y)| x.is_finite() && y.is_finite()))
            .collect();
        let mut points = Vec::with_capacity((TILE_PX + 1) * (TILE_PX + 1));
        for row in 0..=TILE_PX {
            let north = (row / STRIDE_PX).min(COARSE - 2);
            let down = (row - north * STRIDE_PX) as f64 / STRIDE_PX as f64;
            for column in 0..=TILE_PX {
                let west = (column / STRIDE_PX).min(COARSE - 2);
                let across = (column - west * STRIDE_PX) as f64 / STRIDE_PX as f64;
                let corner = |dy: usize, dx: usize| coarse[(north + dy) * COARSE + west + dx];
                let corners = (corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1));
                points.push(between(corners, across, down));
            }
        }
        points
    }

    /// Reads the frame at `at`, averaged over about `footprint_px` pixels; `None` outside.
    fn sample(&self, at: (f64, f64), footprint_px: f64) -> Option<[u8; 3]> {
        let full = &self.levels[0];
        if at.0 < 0.0 || at.1 < 0.0 || at.0 >= full.width_px as f64 || at.1 >= full.height_px as f64 {
            return None;
        }
        let depth = footprint_px.max(1.0).log2().min((self.levels.len() - 1) as f64);
        let finer = (depth.floor() as usize).min(self.levels.len() - 1);
        let coarser = (finer + 1).min(self.levels.len() - 1);
        let blend = (depth - finer as f64) as f32;
        let fine = self.levels[finer].bilinear(at, full);
        let coarse = self.levels[coarser].bilinear(at, full);
        Some(std::array::from_fn(|i| (fine[i] + (coarse[i] - fine[i]) * blend + 0.5) as u8))
    }
}

impl Level {
    /// Reads between pixel centres; `at` is in pixels of the `full` level.
    fn bilinear(&self, at: (f64, f64), full: &Level) -> [f32; 3] {
        let x = (at.0 * self.width_px as f64 / full.width_px as f64 - 0.5).clamp(0.0, (self.width_px - 1) as f64);
        let y = (at.1 * self.height_px as f64 / full.height_px as f64 - 0.5).clamp(0.0, (self.height_px - 1) as f64);
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(self.width_px - 1), (y0 + 1).min(self.height_px - 1));
        let (fx, fy) = ((x - x0 as f64) as f32, (y - y0 as f64) as f32);
        let pixel = |x: usize, y: usize| -> &[u8] { &self.rgb[(y * self.width_px + x) * 3..][..3] };
        let (nw, ne, sw, se) = (pixel(x0, y0), pixel(x1, y0), pixel(x0, y1), pixel(x1, y1));
        std::array::from_fn(|i| {
            let north = f32::from(nw[i]) + (f32::from(ne[i]) - f32::from(nw[i])) * fx;
            let south = f32::from(sw[i]) + (f32::from(se[i]) - f32::from(sw[i])) * fx;
            north + (south - north) * fy
        })
    }
}

type Point = Option<(f64, f64)>;

/// Blends four corner points; a corner that the camera cannot see makes the whole cell unseen.
fn between((nw, ne, sw, se): (Point, Point, Point, Point), across: f64, down: f64) -> Point {
    let (nw, ne, sw, se) = (nw?, ne?, sw?, se?);
    let blend = |nw: f64, ne: f64, sw: f64, se: f64| {
        let (north, south) = (nw + (ne - nw) * across, sw + (se - sw) * across);
        north + (south - north) * down
    };
    Some((blend(nw.0, ne.0, sw.0, se.0), blend(nw.1, ne.1, sw.1, se.1)))
}

/// Returns the mean edge, in frame pixels, of a crop pixel: the geometric mean keeps a foreshortened pixel from blurring
/// more than its area asks for.
fn footprint_px(corner: (f64, f64), right: (f64, f64), below: (f64, f64)) -> f64 {
    let across = (right.0 - corner.0).hypot(right.1 - corner.1);
    let down = (below.0 - corner.0).hypot(below.1 - corner.1);
    (across * down).sqrt()
}

/// Averages 2 x 2 pixels; an odd last row or column is left out.
fn halved(level: &Level) -> Level {
    let (width_px, height_px) = (level.width_px / 2, level.height_px / 2);
    let mut rgb = Vec::with_capacity(width_px * height_px * 3);
    for row in 0..height_px {
        let north = &level.rgb[2 * row * level.width_px * 3..][..width_px * 6];
        let south = &level.rgb[(2 * row + 1) * level.width_px * 3..][..width_px * 6];
        for (n, s) in north.chunks_exact(6).zip(south.chunks_exact(6)) {
            for i in 0..3 {
                let sum = u16::from(n[i]) + u16::from(n[i + 3]) + u16::from(s[i]) + u16::from(s[i + 3]);
                rgb.push(((sum + 2) / 4) as u8);
            }
        }
    }
    Level { rgb, width_px, height_px }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker(width_px: usize, height_px: usize) -> Vec<u8> {
        (0..width_px * height_px)
            .flat_map(|i| [if (i % width_px + i / width_px).is_multiple_of(2) { 255 } else { 0 }; 3])
            .collect()
    }

    #[test]
    fn a_crop_at_the_frames_scale_is_the_frame() {
        let rgb: Vec<u8> = (0..300 * 280 * 3).map(|i| (i * 31 % 251) as u8).collect();
        let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px: 300, height_px: 280 });
        let crop = pyramid.crop(|x, y| Some((x + 20.0, y + 10.0)));
        for (row, column) in [(0, 0), (100, 17), (255, 255)] {
            let expected = &rgb[((row + 10) * 300 + column + 20) * 3..][..3];
            assert_eq!(&crop[(row * TILE_PX + column) * 3..][..3], expected);
        }
    }

    #[test]
    fn a_coarser_crop_averages_instead_of_aliasing() {
        let rgb = checker(1024, 1024);
        let pyramid = Pyramid::new(Picture { rgb: &rgb, width_px: 1024, height_px: 1024 });
        let crop = pyramid.crop(|x, y| Some((4.0 * x, 4.0 * y)));
        assert!(crop.iter().all(|&value| (126..=129).contains(&value)));
    }

    #[test]
    fn what_the_camera_did_not_see_is_black() {
        let pyramid = Pyramid::new(Picture { rgb: &[200; 300 * 300 * 3], width_px: 300, height_px: 300 });
        let crop = pyramid.crop(|x, y| (x < 128.0).then_some((x - 10.0, y)));
        let at = |column: usize| crop[(100 * TILE_PX + column) * 3];
        assert_eq!((at(5), at(50), at(200)), (UNSEEN, 200, UNSEEN));
    }
}
