//! A square of the crop over which the map is taken as straight between its corners, and how it is painted.
//!
//! All its pixels are computed together, in arrays that the compiler lays into vectors. Positions are f32, as on the GPU.

use super::{Picture, STRIDE_PX};

/// Pixels of a cell.
pub(super) const AREA: usize = STRIDE_PX * STRIDE_PX;

/// Adding it to a small float rounds that to an integer and leaves it in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
const ROUNDED_BITS: u32 = 0x3F_FFFF;

/// Is where the pixels of a cell lie in the frame, row by row.
pub(super) struct Cell {
    x: [f32; AREA],
    y: [f32; AREA],
    /// The level whose pixels are as large as the crop's, as a fraction.
    depth: [f32; AREA],
    depth_min: f32,
    depth_max: f32,
}

/// Is one coordinate, bilinear over the cell: `at + across u + down v + bend u v` at column `u` and row `v`.
struct Bilinear {
    at: f32,
    across: f32,
    down: f32,
    bend: f32,
}

impl Bilinear {
    #[inline(always)]
    fn of([nw, ne, sw, se]: [f64; 4]) -> Self {
        const EDGE: f64 = STRIDE_PX as f64;
        Self {
            at: nw as f32,
            across: ((ne - nw) / EDGE) as f32,
            down: ((sw - nw) / EDGE) as f32,
            bend: ((se - sw - ne + nw) / (EDGE * EDGE)) as f32,
        }
    }
}

impl Cell {
    /// Lays a cell between its corners: north-west, north-east, south-west, south-east. The coarsest level is `last`.
    #[inline(always)]
    pub(super) fn between(corners: [(f64, f64); 4], last: usize) -> Self {
        let (x, y) = (Bilinear::of(corners.map(|corner| corner.0)), Bilinear::of(corners.map(|corner| corner.1)));
        let (across, down) = edge_depths(&x, &y);
        let limited = |depth: f32| depth.max(0.0).min(last as f32);
        let mut cell = Self {
            x: [0.0; AREA],
            y: [0.0; AREA],
            depth: [0.0; AREA],
            depth_min: limited(extreme(across, f32::min) + extreme(down, f32::min)),
            depth_max: limited(extreme(across, f32::max) + extreme(down, f32::max)),
        };
        for (row, across) in across.into_iter().enumerate() {
            let v = row as f32 + 0.5;
            let (left, right) = (x.at + x.down * v, x.across + x.bend * v);
            let (top, bottom) = (y.at + y.down * v, y.across + y.bend * v);
            for (column, down) in down.into_iter().enumerate() {
                let (u, pixel) = (column as f32 + 0.5, row * STRIDE_PX + column);
                cell.x[pixel] = left + right * u;
                cell.y[pixel] = top + bottom * u;
                cell.depth[pixel] = limited(across + down);
            }
        }
        cell
    }

    /// The levels that its pixels are read from, the finest and the coarsest.
    #[inline(always)]
    pub(super) fn levels(&self) -> std::ops::RangeInclusive<usize> {
        self.depth_min as usize..=self.depth_max.ceil() as usize
    }

    /// Adds what the level `depth` of the frame `full` has to say of each pixel: all where the pixel's depth is the level's,
    /// less the further it is, nothing from one level on and outside of the frame.
    #[inline(always)]
    pub(super) fn add(&self, level: Picture<'_>, depth: usize, full: Picture<'_>, sums: &mut [[f32; AREA]; 3]) {
        let places = self.places(level, depth, full);
        let row_bytes = level.width_px * 3;
        let mut corners = [[0_u32; AREA]; 4];
        for (pixel, begin) in places.begin.iter().enumerate() {
            let begin = *begin as usize;
            let (north, south) = (pair(level.rgb, begin), pair(level.rgb, begin + row_bytes));
            corners[0][pixel] = north as u32;
            corners[1][pixel] = (north >> 24) as u32;
            corners[2][pixel] = south as u32;
            corners[3][pixel] = (south >> 24) as u32;
        }
        for pixel in 0..AREA {
            let (share, across, down) = (places.share[pixel], places.across[pixel], places.down[pixel]);
            let south = share * down;
            let north = share - south;
            let weights = [north - north * across, north * across, south - south * across, south * across];
            for (channel, sums) in sums.iter_mut().enumerate() {
                let part = |corner: usize| {
                    let byte = (corners[corner][pixel] >> (8 * channel)) & 0xFF;
                    byte as i32 as f32 * weights[corner]
                };
                sums[pixel] += part(0) + part(1) + part(2) + part(3);
            }
        }
    }

    #[inline(always)]
    fn places(&self, level: Picture<'_>, depth: usize, full: Picture<'_>) -> Places {
        let depth = depth as f32;
        let (width, height) = (level.width_px as f32, level.height_px as f32);
        let (full_width, full_height) = (full.width_px as f32, full.height_px as f32);
        let (scale_x, scale_y) = (width / full_width, height / full_height);
        let row_bytes = (level.width_px * 3) as u32;
        let mut places = Places { begin: [0; AREA], across: [0.0; AREA], down: [0.0; AREA], share: [0.0; AREA] };
        for pixel in 0..AREA {
            let (frame_x, frame_y) = (self.x[pixel], self.y[pixel]);
            let seen = (frame_x >= 0.0) & (frame_y >= 0.0) & (frame_x < full_width) & (frame_y < full_height);
            let share = (1.0 - (self.depth[pixel] - depth).abs()).max(0.0);
            places.share[pixel] = if seen { share } else { 0.0 };
            // Between the centres of the level's pixels; beyond the outermost centres the edge goes on.
            let x = (frame_x * scale_x - 0.5).max(0.0).min(width - 1.0);
            let y = (frame_y * scale_y - 0.5).max(0.0).min(height - 1.0);
            let (west, north) = (before(x, width), before(y, height));
            places.across[pixel] = x - west as i32 as f32;
            places.down[pixel] = y - north as i32 as f32;
            places.begin[pixel] = north.wrapping_mul(row_bytes).wrapping_add(west.wrapping_mul(3));
        }
        places
    }
}

/// Is where each pixel of a cell is read in a level.
struct Places {
    /// The byte at which the north-western of the four pixels around it begins.
    begin: [u32; AREA],
    /// How far it lies from that pixel to the next one east, 0 to 1.
    across: [f32; AREA],
    /// How far to the next one south.
    down: [f32; AREA],
    /// How much the level counts.
    share: [f32; AREA],
}

/// Returns what the edges of the crop's pixels add to their depths: those across by row, those down by column. Together they
/// are the logarithm of the geometric mean of both edges, which keeps a foreshortened pixel from blurring more than its
/// area asks for. Within a cell the edge across depends on the row alone, and the edge down on the column.
#[inline(always)]
fn edge_depths(x: &Bilinear, y: &Bilinear) -> ([f32; STRIDE_PX], [f32; STRIDE_PX]) {
    let (mut across, mut down) = ([0.0; STRIDE_PX], [0.0; STRIDE_PX]);
    for step in 0..STRIDE_PX {
        let along = step as f32;
        let depth = |x: f32, y: f32| 0.25 * log2(x * x + y * y);
        across[step] = depth(x.across + x.bend * along, y.across + y.bend * along);
        down[step] = depth(x.down + x.bend * along, y.down + y.bend * along);
    }
    (across, down)
}

/// Returns the base-2 logarithm of a positive number to 2e-5: the series of the inverse hyperbolic tangent, without branches.
#[inline(always)]
fn log2(number: f32) -> f32 {
    let bits = number.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = f32::from_bits(bits & 0x7F_FFFF | 0x3F80_0000);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let squared = t * t;
    // 2 / ln 2 over 1, 3, 5, 7.
    let series = 2.885_39 + squared * (0.961_796_7 + squared * (0.577_078 + squared * 0.412_198_6));
    exponent as f32 + t * series
}

#[inline(always)]
fn extreme(values: [f32; STRIDE_PX], of: impl Fn(f32, f32) -> f32) -> f32 {
    let [a, b, c, d, e, f, g, h] = values;
    of(of(of(a, b), of(c, d)), of(of(e, f), of(g, h)))
}

/// Returns the pixel whose centre lies before `at`, or just as well the one before that where `at` is a centre, so that there
/// is always a next one in a picture of so many pixels.
#[inline(always)]
fn before(at: f32, pixels: f32) -> u32 {
    rounded((at - 0.5).min(pixels - 2.0).max(0.0))
}

/// Rounds a number from 0 to four million; a conversion would check its range and be no vector.
#[inline(always)]
pub(super) fn rounded(number: f32) -> u32 {
    (number + ROUNDING).to_bits() & ROUNDED_BITS
}

/// Reads two pixels that stand side by side, into the low bytes.
#[inline(always)]
fn pair(rgb: &[u8], begin: usize) -> u64 {
    match rgb.get(begin..begin + 8) {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("eight bytes")),
        None => last_pair(rgb, begin),
    }
}

/// At the end of the picture fewer than eight bytes are left, or none where a row or column is the only one; what is missing
/// has no weight.
#[cold]
#[inline(never)]
fn last_pair(rgb: &[u8], begin: usize) -> u64 {
    let left = rgb.get(begin..).unwrap_or_default();
    let mut bytes = [0; 8];
    bytes[..left.len()].copy_from_slice(left);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_right_to_2e_5() {
        for step in 1..100_000 {
            let number = step as f32 * step as f32 * 0.001;
            let wanted = f64::from(number).log2();
            assert!((f64::from(log2(number)) - wanted).abs() < 2e-5, "{number}");
        }
    }
}
