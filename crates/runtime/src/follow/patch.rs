//! A square of brightness around a point between pixels.

use super::pyramid::Level;

/// Is a square of samples one pixel apart, row by row. Its middle sample lies on the point it was taken at.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// Samples from the middle to the edge; the side is twice that and one.
    pub radius: usize,
    /// The samples.
    pub values: Vec<f32>,
}

impl Patch {
    /// Returns the number of samples along a side.
    pub fn side(&self) -> usize {
        2 * self.radius + 1
    }

    /// Takes the samples around `at` (pixels of the level, (0, 0) its outer corner). Beyond the edge the picture goes on
    /// with its last row or column.
    pub fn sample(&mut self, level: &Level, at: [f64; 2], radius: usize) {
        self.radius = radius;
        let side = self.side();
        self.values.resize(side * side, 0.0);
        // From the corner of the first pixel to its centre.
        let (left, top) = (at[0] - 0.5 - radius as f64, at[1] - 0.5 - radius as f64);
        let (x0, y0) = (left.floor(), top.floor());
        let (fx, fy) = ((left - x0) as f32, (top - y0) as f32);
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        let inside = x0 >= 0.0 && y0 >= 0.0 && x0 as usize + side < level.width && y0 as usize + side < level.height;
        if inside {
            self.sample_inside(level, x0 as usize, y0 as usize, weights);
        } else {
            self.sample_clamped(level, x0 as i64, y0 as i64, weights);
        }
    }

    fn sample_inside(&mut self, level: &Level, x0: usize, y0: usize, [w00, w01, w10, w11]: [f32; 4]) {
        let side = self.side();
        for (row, values) in self.values.chunks_exact_mut(side).enumerate() {
            let begin = (y0 + row) * level.width + x0;
            let upper = &level.luma[begin..begin + side + 1];
            let lower = &level.luma[begin + level.width..begin + level.width + side + 1];
            for column in 0..side {
                values[column] = w00 * f32::from(upper[column])
                    + w01 * f32::from(upper[column + 1])
                    + w10 * f32::from(lower[column])
                    + w11 * f32::from(lower[column + 1]);
            }
        }
    }

    fn sample_clamped(&mut self, level: &Level, x0: i64, y0: i64, [w00, w01, w10, w11]: [f32; 4]) {
        let side = self.side();
        let at = |x: i64, y: i64| {
            let column = x.clamp(0, level.width as i64 - 1) as usize;
            let row = y.clamp(0, level.height as i64 - 1) as usize;
            f32::from(level.luma[row * level.width + column])
        };
        for row in 0..side {
            for column in 0..side {
                let (x, y) = (x0 + column as i64, y0 + row as i64);
                self.values[row * side + column] =
                    w00 * at(x, y) + w01 * at(x + 1, y) + w10 * at(x, y + 1) + w11 * at(x + 1, y + 1);
            }
        }
    }

    /// Takes samples around `at` at offsets that `placed` moves: a turned and zoomed patch.
    pub fn sample_with(&mut self, level: &Level, at: [f64; 2], radius: usize, placed: impl Fn([f64; 2]) -> [f64; 2]) {
        self.radius = radius;
        let side = self.side();
        self.values.resize(side * side, 0.0);
        for row in 0..side {
            for column in 0..side {
                let [dx, dy] = placed([column as f64 - radius as f64, row as f64 - radius as f64]);
                self.values[row * side + column] = level.between([at[0] + dx, at[1] + dy]);
            }
        }
    }

    /// Subtracts the mean and scales to the contrast of `other`, which has no mean.
    pub fn match_contrast(&mut self, other: &Patch) {
        let ours = self.subtract_mean();
        let squares: f32 = other.values.iter().map(|value| value * value).sum();
        let theirs = (squares / other.values.len().max(1) as f32).sqrt();
        if ours > 0.0 {
            let scale = theirs / ours;
            self.values.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// Subtracts the mean, so that a brighter picture is the same picture, and returns the root of the mean square.
    pub fn subtract_mean(&mut self) -> f32 {
        let count = self.values.len().max(1) as f32;
        let mean = self.values.iter().sum::<f32>() / count;
        let mut squares = 0.0;
        for value in &mut self.values {
            *value -= mean;
            squares += *value * *value;
        }
        (squares / count).sqrt()
    }

    /// Returns how alike two patches without mean are: 1 the same but for contrast, 0 unrelated.
    pub fn correlation(&self, other: &Patch) -> f32 {
        let (mut product, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (a, b) in self.values.iter().zip(&other.values) {
            product += a * b;
            ours += a * a;
            theirs += b * b;
        }
        let scale = (ours * theirs).sqrt();
        if scale > 0.0 { product / scale } else { 0.0 }
    }
}

/// Is a patch with its brightness gradient: what Lucas-Kanade lays over another picture.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The samples without their mean.
    pub patch: Patch,
    gradient_x: Vec<f32>,
    gradient_y: Vec<f32>,
    // The inverse of the sum of gradient products, [xx, xy, yy].
    inverse: [f64; 3],
    wide: Patch,
}

/// A window whose brightness varies less than this along some direction, in grey levels per pixel, cannot be placed along it.
const TEXTURE_MIN: f64 = 1.5;

impl Template {
    /// Takes a template around `at`. Says no when the picture there has too little texture to be found again.
    #[must_use]
    pub fn take(&mut self, level: &Level, at: [f64; 2], radius: usize) -> bool {
        let mut wide = std::mem::take(&mut self.wide);
        wide.sample(level, at, radius + 1);
        let textured = self.set(&wide);
        self.wide = wide;
        textured
    }

    /// Makes the template of the inner part of `wide`, whose outermost samples serve the gradient alone.
    #[must_use]
    pub fn set(&mut self, wide: &Patch) -> bool {
        let radius = wide.radius - 1;
        let (side, wide_side) = (2 * radius + 1, wide.side());
        self.patch.radius = radius;
        for values in [&mut self.patch.values, &mut self.gradient_x, &mut self.gradient_y] {
            values.resize(side * side, 0.0);
        }
        let (mut xx, mut xy, mut yy) = (0.0_f32, 0.0_f32, 0.0_f32);
        for row in 0..side {
            let above = &wide.values[row * wide_side..][..wide_side];
            let here = &wide.values[(row + 1) * wide_side..][..wide_side];
            let below = &wide.values[(row + 2) * wide_side..][..wide_side];
            for column in 0..side {
                let gx = 0.5 * (here[column + 2] - here[column]);
                let gy = 0.5 * (below[column + 1] - above[column + 1]);
                let index = row * side + column;
                self.patch.values[index] = here[column + 1];
                self.gradient_x[index] = gx;
                self.gradient_y[index] = gy;
                xx += gx * gx;
                xy += gx * gy;
                yy += gy * gy;
            }
        }
        self.patch.subtract_mean();
        let (xx, xy, yy) = (f64::from(xx), f64::from(xy), f64::from(yy));
        let determinant = xx * yy - xy * xy;
        let smaller_eigenvalue = 0.5 * (xx + yy - ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt());
        let textured = smaller_eigenvalue > TEXTURE_MIN * TEXTURE_MIN * (side * side) as f64 && determinant > 0.0;
        self.inverse = if textured { [yy / determinant, -xy / determinant, xx / determinant] } else { [0.0; 3] };
        textured
    }

    /// Returns the step towards where `seen`, of the same size and without mean, matches.
    pub fn step(&self, seen: &Patch) -> [f64; 2] {
        let (mut bx, mut by) = (0.0_f32, 0.0_f32);
        let samples = self.patch.values.iter().zip(&seen.values).zip(self.gradient_x.iter().zip(&self.gradient_y));
        for ((template, seen), (gx, gy)) in samples {
            let difference = template - seen;
            bx += difference * gx;
            by += difference * gy;
        }
        let (bx, by) = (f64::from(bx), f64::from(by));
        let [ixx, ixy, iyy] = self.inverse;
        [ixx * bx + ixy * by, ixy * bx + iyy * by]
    }
}
