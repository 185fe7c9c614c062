//! A square of brightness around a point between pixels.

use crate::level::Level;
use crate::similarity::Similarity;
use crate::vector::{LANES, run, total, used_lanes};

/// Is the size of a patch. It is told to every operation instead of being kept in the patch, so that where it is a constant
/// every loop has a known length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Square {
    radius: usize,
}

impl Square {
    /// Is so many samples from the middle to the edge; its side is twice that and one.
    pub(crate) const fn of_radius(radius: usize) -> Self {
        Self { radius }
    }

    /// One sample more on each side, for the gradient.
    #[inline(always)]
    pub(crate) const fn wider(self) -> Self {
        Self { radius: self.radius + 1 }
    }

    #[inline(always)]
    const fn side(self) -> usize {
        2 * self.radius + 1
    }

    #[inline(always)]
    fn count(self) -> f32 {
        (self.side() * self.side()) as f32
    }

    /// Vectors a row.
    #[inline(always)]
    const fn blocks(self) -> usize {
        self.side().div_ceil(LANES)
    }

    /// Numbers a row.
    #[inline(always)]
    const fn stride(self) -> usize {
        self.blocks() * LANES
    }

    /// Numbers in all rows.
    #[inline(always)]
    const fn filled(self) -> usize {
        self.side() * self.stride()
    }
}

/// Is a square of samples one pixel apart, row by row. Its middle sample lies on the point it was taken at.
///
/// Rows are filled up to whole vectors. What stands there means nothing until the mean is subtracted; then it is zero and adds
/// nothing to any sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    values: Vec<f32>,
}

impl Patch {
    #[inline(always)]
    fn resize(&mut self, square: Square) {
        // One vector more: the last row is read two samples beyond its end.
        self.values.resize(square.filled() + LANES, 0.0);
    }

    /// Takes the samples around `at` (pixels of the level, (0, 0) its outer corner). Beyond the edge the picture goes on
    /// with its last row or column.
    #[inline(always)]
    pub(crate) fn sample(&mut self, square: Square, level: &Level, at: [f64; 2]) {
        self.resize(square);
        // From the corner of the first pixel to its centre.
        let (left, top) = (at[0] - 0.5 - square.radius as f64, at[1] - 0.5 - square.radius as f64);
        let (x0, y0) = (left.floor(), top.floor());
        let (fx, fy) = ((left - x0) as f32, (top - y0) as f32);
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        let (right, below) = (x0 + square.stride() as f64, y0 + square.side() as f64);
        if x0 >= 0.0 && y0 >= 0.0 && right < level.width as f64 && below < level.height as f64 {
            self.sample_inside(square, level, [x0 as usize, y0 as usize], weights);
        } else {
            self.sample_clamped(square, level, [x0 as i64, y0 as i64], weights);
        }
    }

    #[inline(always)]
    fn sample_inside(&mut self, square: Square, level: &Level, [x0, y0]: [usize; 2], [w00, w01, w10, w11]: [f32; 4]) {
        for (row, values) in self.values[..square.filled()].chunks_exact_mut(square.stride()).enumerate() {
            let (upper, lower) = (&level.row(y0 + row)[x0..], &level.row(y0 + row + 1)[x0..]);
            for (block, values) in values.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let upper = run::<u8, { LANES + 1 }>(upper, block);
                let lower = run::<u8, { LANES + 1 }>(lower, block);
                for lane in 0..LANES {
                    values[lane] = w00 * f32::from(upper[lane])
                        + w01 * f32::from(upper[lane + 1])
                        + w10 * f32::from(lower[lane])
                        + w11 * f32::from(lower[lane + 1]);
                }
            }
        }
    }

    #[inline(never)]
    fn sample_clamped(&mut self, square: Square, level: &Level, [x0, y0]: [i64; 2], [w00, w01, w10, w11]: [f32; 4]) {
        let at = |x: i64, y: i64| {
            let column = x.clamp(0, level.width as i64 - 1) as usize;
            let row = y.clamp(0, level.height as i64 - 1) as usize;
            f32::from(level.luma[row * level.width + column])
        };
        for row in 0..square.side() {
            for column in 0..square.side() {
                let (x, y) = (x0 + column as i64, y0 + row as i64);
                self.values[row * square.stride() + column] =
                    w00 * at(x, y) + w01 * at(x + 1, y) + w10 * at(x, y + 1) + w11 * at(x + 1, y + 1);
            }
        }
    }

    /// Takes samples around `at` that lie on the square after `since` has turned and zoomed the picture.
    #[inline(always)]
    pub(crate) fn sample_turned(&mut self, square: Square, level: &Level, at: [f64; 2], since: Similarity) {
        self.resize(square);
        let radius = square.radius as f64;
        for row in 0..square.side() {
            for column in 0..square.side() {
                let [dx, dy] = since.turned_back([column as f64 - radius, row as f64 - radius]);
                self.values[row * square.stride() + column] = level.between([at[0] + dx, at[1] + dy]);
            }
        }
    }

    /// Subtracts the mean and scales to the contrast of `other`, which has no mean.
    #[inline(always)]
    pub(crate) fn match_contrast(&mut self, square: Square, other: &Patch) {
        let ours = self.subtract_mean(square);
        let theirs = (products(square, other, other) / square.count()).sqrt();
        if ours > 0.0 {
            let scale = theirs / ours;
            self.values.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// Subtracts the mean, so that a brighter picture is the same picture, and returns the root of the mean square.
    #[inline(always)]
    pub(crate) fn subtract_mean(&mut self, square: Square) -> f32 {
        let rows = &mut self.values[..square.filled()];
        let mut sums = [0.0; LANES];
        for row in rows.chunks_exact(square.stride()) {
            for (block, values) in row.as_chunks::<LANES>().0.iter().enumerate() {
                let used = used_lanes(square.side(), block);
                for lane in 0..LANES {
                    sums[lane] += values[lane] * used[lane];
                }
            }
        }
        let mean = total(sums) / square.count();
        let mut squares = [0.0; LANES];
        for row in rows.chunks_exact_mut(square.stride()) {
            for (block, values) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let used = used_lanes(square.side(), block);
                for lane in 0..LANES {
                    values[lane] = (values[lane] - mean) * used[lane];
                    squares[lane] += values[lane] * values[lane];
                }
            }
        }
        (total(squares) / square.count()).sqrt()
    }

    /// Returns how alike two patches without mean are: 1 the same but for contrast, 0 unrelated.
    #[inline(always)]
    pub(crate) fn correlation(&self, square: Square, other: &Patch) -> f32 {
        let product = products(square, self, other);
        let scale = (products(square, self, self) * products(square, other, other)).sqrt();
        if scale > 0.0 { product / scale } else { 0.0 }
    }
}

/// Is a patch with its brightness gradient: what Lucas-Kanade lays over another picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    /// The samples without their mean.
    pub(crate) patch: Patch,
    // Rows as the patch's, zero where they are filled up.
    gradient_x: Vec<f32>,
    gradient_y: Vec<f32>,
    // The inverse of the sum of gradient products, [xx, xy, yy].
    inverse: [f64; 3],
    // Kept for its memory.
    wide: Patch,
}

/// A window whose brightness varies less than this along some direction, in grey levels per pixel, cannot be placed along it.
const TEXTURE_MIN: f64 = 1.5;

impl Template {
    /// Takes a template around `at`. Says no when the picture there has too little texture to be found again.
    #[must_use]
    #[inline(always)]
    pub(crate) fn take(&mut self, square: Square, level: &Level, at: [f64; 2]) -> bool {
        let mut wide = std::mem::take(&mut self.wide);
        wide.sample(square.wider(), level, at);
        let textured = self.set(square, &wide);
        self.wide = wide;
        textured
    }

    /// Makes the template of the inner part of `wide`, whose outermost samples serve the gradient alone.
    #[must_use]
    #[inline(always)]
    pub(crate) fn set(&mut self, square: Square, wide: &Patch) -> bool {
        self.patch.resize(square);
        self.gradient_x.resize(square.filled(), 0.0);
        self.gradient_y.resize(square.filled(), 0.0);
        let (mut xx, mut xy, mut yy) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for row in 0..square.side() {
            let wide_row = |row: usize| &wide.values[row * square.wider().stride()..];
            let (above, here, below) = (wide_row(row), wide_row(row + 1), wide_row(row + 2));
            for block in 0..square.blocks() {
                let above = run::<f32, { LANES + 2 }>(above, block);
                let here = run::<f32, { LANES + 2 }>(here, block);
                let below = run::<f32, { LANES + 2 }>(below, block);
                let used = used_lanes(square.side(), block);
                let begin = row * square.stride() + block * LANES;
                let values = &mut self.patch.values[begin..begin + LANES];
                let gradient_x = &mut self.gradient_x[begin..begin + LANES];
                let gradient_y = &mut self.gradient_y[begin..begin + LANES];
                for lane in 0..LANES {
                    let gx = 0.5 * (here[lane + 2] - here[lane]) * used[lane];
                    let gy = 0.5 * (below[lane + 1] - above[lane + 1]) * used[lane];
                    values[lane] = here[lane + 1];
                    gradient_x[lane] = gx;
                    gradient_y[lane] = gy;
                    xx[lane] += gx * gx;
                    xy[lane] += gx * gy;
                    yy[lane] += gy * gy;
                }
            }
        }
        self.patch.subtract_mean(square);
        self.inverse = inverse([xx, xy, yy].map(|lanes| f64::from(total(lanes))), square);
        self.inverse != [0.0; 3]
    }

    /// Returns the step towards where `seen`, of the same size and without mean, matches.
    #[inline(always)]
    pub(crate) fn step(&self, square: Square, seen: &Patch) -> [f64; 2] {
        let (mut bx, mut by) = ([0.0; LANES], [0.0; LANES]);
        for block in 0..square.side() * square.blocks() {
            let template = run::<f32, LANES>(&self.patch.values, block);
            let seen = run::<f32, LANES>(&seen.values, block);
            let (gx, gy) = (run::<f32, LANES>(&self.gradient_x, block), run::<f32, LANES>(&self.gradient_y, block));
            for lane in 0..LANES {
                let difference = template[lane] - seen[lane];
                bx[lane] += difference * gx[lane];
                by[lane] += difference * gy[lane];
            }
        }
        let (bx, by) = (f64::from(total(bx)), f64::from(total(by)));
        let [ixx, ixy, iyy] = self.inverse;
        [ixx * bx + ixy * by, ixy * bx + iyy * by]
    }
}

/// Inverts the sum of gradient products, [xx, xy, yy]; zero where there is too little texture.
#[inline(always)]
fn inverse([xx, xy, yy]: [f64; 3], square: Square) -> [f64; 3] {
    let determinant = xx * yy - xy * xy;
    let smaller_eigenvalue = 0.5 * (xx + yy - ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt());
    let textured = smaller_eigenvalue > TEXTURE_MIN * TEXTURE_MIN * f64::from(square.count()) && determinant > 0.0;
    if textured { [yy / determinant, -xy / determinant, xx / determinant] } else { [0.0; 3] }
}

/// Returns the sum of products of two patches without mean.
#[inline(always)]
fn products(square: Square, one: &Patch, other: &Patch) -> f32 {
    let mut lanes = [0.0; LANES];
    for block in 0..square.side() * square.blocks() {
        let (one, other) = (run::<f32, LANES>(&one.values, block), run::<f32, LANES>(&other.values, block));
        for lane in 0..LANES {
            lanes[lane] += one[lane] * other[lane];
        }
    }
    total(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves() -> Level {
        let (width, height) = (90, 70);
        let luma = |at: usize| {
            let (x, y) = ((at % width) as f64, (at / width) as f64);
            (120.0 + 60.0 * (x * 0.31 + y * 0.11).sin() + 50.0 * (y * 0.27 - x * 0.05).cos()) as u8
        };
        Level { width, height, luma: (0..width * height).map(luma).collect() }
    }

    #[test]
    fn a_patch_is_its_definition_inside_and_at_the_edge() {
        let level = waves();
        for radius in [3, 6, 8, 14] {
            let square = Square::of_radius(radius);
            for at in [[45.3, 33.8], [2.0, 1.5], [88.9, 69.0], [-30.0, 200.0]] {
                let mut patch = Patch::default();
                patch.sample(square, &level, at);
                let place = |sample: usize, axis: usize| at[axis] + sample as f64 - radius as f64;
                let wanted = |row: usize, column: usize| level.between([place(column, 0), place(row, 1)]);
                let samples = || (0..square.side() * square.side()).map(|at| (at / square.side(), at % square.side()));
                for (row, column) in samples() {
                    let found = patch.values[row * square.stride() + column];
                    assert!((found - wanted(row, column)).abs() < 1e-3, "radius {radius}, {at:?}: {row}, {column}");
                }
                patch.subtract_mean(square);
                let used = |column: usize| column < square.side();
                let rows = || patch.values[..square.filled()].iter().enumerate();
                let mean = rows().map(|(_, value)| *value).sum::<f32>() / square.count();
                assert!(mean.abs() < 1e-3, "radius {radius}, {at:?}: a mean of {mean} is left");
                assert!(rows().all(|(at, value)| used(at % square.stride()) || *value == 0.0));
            }
        }
    }

    #[test]
    fn steps_lead_to_where_the_template_was_taken() {
        let level = waves();
        for radius in [6, 14] {
            let square = Square::of_radius(radius);
            let (mut template, mut seen) = (Template::default(), Patch::default());
            assert!(template.take(square, &level, [45.0, 35.0]));
            let mut at = [46.2, 34.1];
            for _ in 0..8 {
                seen.sample(square, &level, at);
                seen.subtract_mean(square);
                let [right, down] = template.step(square, &seen);
                at = [at[0] + right, at[1] + down];
            }
            let off_px = (at[0] - 45.0).hypot(at[1] - 35.0);
            assert!(off_px < 0.01, "radius {radius}: {off_px} px off");
            assert!(template.patch.correlation(square, &seen) > 0.999);
        }
    }
}
