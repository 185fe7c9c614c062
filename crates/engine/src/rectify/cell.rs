//! A square of the crop over which the map is taken as straight between its corners, and how it is painted.
//!
//! All its pixels are computed together, in arrays that the compiler lays into vectors. Positions are f32, as on the GPU.

use super::{Level, STRIDE_PX};

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

    /// Adds what the level `depth` of a frame of this size has to say of each pixel: all where the pixel's depth is the level's,
    /// less the further it is, nothing from one level on and outside of the frame.
    #[inline(always)]
    pub(super) fn add<const BYTES: usize>(
        &self,
        level: Level<'_, BYTES>,
        depth: usize,
        [full_width_px, full_height_px]: [usize; 2],
        sums: &mut Sums,
    ) {
        let places = self.places(level, depth, [full_width_px as f32, full_height_px as f32]);
        let row_bytes = level.width_px * BYTES;
        let (mut north, mut south) = ([[0_u32; 2]; AREA], [[0_u32; 2]; AREA]);
        for (pixel, begin) in places.begin.iter().enumerate() {
            let begin = *begin as usize;
            north[pixel] = pair::<BYTES>(level.bytes, begin);
            south[pixel] = pair::<BYTES>(level.bytes, begin + row_bytes);
        }
        let (north, south) = (north.as_flattened(), south.as_flattened());
        let (mut north_weights, mut south_weights) = ([[0.0_f32; 2]; AREA], [[0.0_f32; 2]; AREA]);
        for pixel in 0..AREA {
            let (share, across, down) = (places.share[pixel], places.across[pixel], places.down[pixel]);
            let south = share * down;
            let north = share - south;
            north_weights[pixel] = [north - north * across, north * across];
            south_weights[pixel] = [south - south * across, south * across];
        }
        let (north_weights, south_weights) = (north_weights.as_flattened(), south_weights.as_flattened());
        for (channel, sums) in sums.0.iter_mut().enumerate() {
            for side in 0..2 * AREA {
                let byte = |pair: u32| ((pair >> (8 * channel)) & 0xFF) as i32 as f32;
                sums[side] += byte(north[side]) * north_weights[side] + byte(south[side]) * south_weights[side];
            }
        }
    }

    #[inline(always)]
    fn places<const BYTES: usize>(
        &self,
        level: Level<'_, BYTES>,
        depth: usize,
        [full_width, full_height]: [f32; 2],
    ) -> Places {
        let depth = depth as f32;
        let (width, height) = (level.width_px as f32, level.height_px as f32);
        let (scale_x, scale_y) = (width / full_width, height / full_height);
        let (pixel_bytes, row_bytes) = (BYTES as u32, (level.width_px * BYTES) as u32);
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
            places.begin[pixel] = north.wrapping_mul(row_bytes).wrapping_add(west.wrapping_mul(pixel_bytes));
        }
        places
    }
}

/// Is what the levels have said of a cell's pixels: for each channel, what the pixels read to the west and to the east of each
/// add to it, side by side.
pub(super) struct Sums([[f32; 2 * AREA]; 3]);

impl Sums {
    /// Nothing yet.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[0.0; 2 * AREA]; 3])
    }

    /// Returns the colours of the cell's pixels, red in the lowest byte.
    #[inline(always)]
    pub(super) fn colours(&self) -> [u32; AREA] {
        let [red, green, blue] = self.0.each_ref().map(|sums| sums.as_chunks::<2>().0);
        let mut colours = [0; AREA];
        for (pixel, colour) in colours.iter_mut().enumerate() {
            let byte = |[west, east]: [f32; 2]| rounded(west + east);
            *colour = byte(red[pixel]) | byte(green[pixel]) << 8 | byte(blue[pixel]) << 16;
        }
        colours
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
fn rounded(number: f32) -> u32 {
    (number + ROUNDING).to_bits() & ROUNDED_BITS
}

/// Reads two pixels that stand side by side, red in the lowest byte of each; the highest byte means nothing.
#[inline(always)]
fn pair<const BYTES: usize>(bytes: &[u8], begin: usize) -> [u32; 2] {
    let both = match bytes.get(begin..begin + 8) {
        Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
        None => last_pair(bytes, begin),
    };
    [both as u32, (both >> (8 * BYTES)) as u32]
}

/// At the end of the picture fewer than eight bytes are left, or none where a row or column is the only one; what is missing
/// has no weight.
#[cold]
#[inline(never)]
fn last_pair(bytes: &[u8], begin: usize) -> u64 {
    let left = bytes.get(begin..).unwrap_or_default();
    let mut eight = [0; 8];
    eight[..left.len()].copy_from_slice(left);
    u64::from_le_bytes(eight)
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
