//! Where the object is, as a probability for each cell of the window and one for "not in this window".
//!
//! The logits are relative to absence, whose logit is 0, so `p = softmax([heat / T ..., 0])`: a window that does not hold the
//! object says so, instead of sharing its certainty among wrong cells. The temperature `T` was measured on held-out pairs.

use crate::backend::Maps;
use crate::error::EngineError;

/// Probabilities over the cells of a window; they and `absent` add up to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    width: usize,
    height: usize,
    stride_px: usize,
    probabilities: Vec<f32>,
    absent: f32,
    peak: usize,
}

/// A place where the object may be: a local maximum and the cells around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// Column and row of its most probable cell.
    pub cell: [usize; 2],
    /// Probability that the object is within [`MODE_RADIUS`] cells of it.
    pub mass: f32,
    /// Mean of the centre under the posterior around the mode, reference px (x, y).
    pub mean_px: [f64; 2],
    /// Covariance of the centre around the mode, reference px^2, `[[xx, xy], [xy, yy]]`. Positive definite: never less
    /// than a uniform position within one cell.
    pub covariance_px2: [[f64; 2]; 2],
}

/// Cells on each side of a peak that belong to its mode: training spreads the target over a Gaussian of about 2 cells.
pub const MODE_RADIUS: usize = 2;

/// Most modes that are reported.
pub const MODES_MAX: usize = 4;

// A place less probable than this is noise, not an alternative.
const MODE_MASS_MIN: f32 = 0.01;

// Training shows a cell targets up to four cells away; an offset beyond that is not evidence.
const OFFSET_CELLS_MAX: f64 = 5.0;

impl Posterior {
    /// The posterior of `maps`, whose cells are `stride_px` reference pixels wide, calibrated by `temperature`.
    pub fn new(maps: &Maps, stride_px: usize, temperature: f32) -> Result<Posterior, EngineError> {
        let cells = maps.width * maps.height;
        if cells == 0 || maps.heat.len() != cells || maps.boxes.len() != 4 * cells {
            let problem = format!("maps of {} x {} cells with {} logits", maps.width, maps.height, maps.heat.len());
            return Err(EngineError::Shape(problem));
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(EngineError::Number(format!("temperature {temperature} must be a positive number")));
        }
        if let Some(at) = maps.heat.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            let problem = format!("a heat of {} at cell {at}", maps.heat[at]);
            return Err(EngineError::Output { network: "locator", problem });
        }
        let peak = argmax(maps.heat.iter().copied()).unwrap_or(0);
        if maps.heat[peak] == f32::NEG_INFINITY {
            return Err(EngineError::EmptyWindow);
        }
        let (width, height) = (maps.width, maps.height);
        let mut posterior = Posterior { width, height, stride_px, probabilities: maps.heat.clone(), absent: 0.0, peak };
        posterior.normalise(temperature);
        Ok(posterior)
    }

    /// Multiplies by a prior and normalises again. `prior` gives its density at the centre of a cell, reference px (x, y); a
    /// common factor changes nothing, because the prior is scaled to a mean of 1 over the possible cells: it moves probability
    /// between cells, and towards absence only where heat and prior disagree. A density that is not a positive number counts
    /// as impossible.
    pub fn with_prior(mut self, prior: impl Fn(f64, f64) -> f64) -> Posterior {
        let stride = self.stride_px as f64;
        let mut weights = Vec::with_capacity(self.probabilities.len());
        for (row, probabilities) in self.probabilities.chunks_exact(self.width).enumerate() {
            let y = (row as f64 + 0.5) * stride;
            let density = |(column, p): (usize, &f32)| {
                let density = if *p > 0.0 { prior((column as f64 + 0.5) * stride, y) } else { 0.0 };
                if density > 0.0 { density.min(f64::MAX) } else { 0.0 }
            };
            weights.extend(probabilities.iter().enumerate().map(density));
        }
        let highest = weights.iter().copied().fold(0.0, f64::max);
        if highest == 0.0 {
            // The prior rules out the whole window.
            self.probabilities.fill(0.0);
            self.absent = 1.0;
            return self;
        }
        weights.iter_mut().for_each(|density| *density /= highest);
        let possible = self.probabilities.iter().filter(|p| **p > 0.0).count() as f64;
        let mean = weights.iter().sum::<f64>() / possible;
        weights.iter_mut().zip(&self.probabilities).for_each(|(prior, p)| *prior *= f64::from(*p) / mean);
        let total = weights.iter().sum::<f64>() + f64::from(self.absent);
        if total > 0.0 {
            self.peak = argmax(weights.iter().copied()).unwrap_or(self.peak);
            self.absent = (f64::from(self.absent) / total) as f32;
            self.probabilities.iter_mut().zip(weights).for_each(|(p, weight)| *p = (weight / total) as f32);
        }
        self
    }

    /// Width of the window, cells.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height of the window, cells.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Reference pixels a cell.
    pub fn stride_px(&self) -> usize {
        self.stride_px
    }

    /// Probability of each cell, `[height, width]` row-major.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// Probability that the object is not in this window.
    pub fn absent(&self) -> f32 {
        self.absent
    }

    /// Index of the most probable cell; of equal ones the lowest.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Entropy over the cells and absence, nats: 0 when certain, `ln(cells + 1)` when nothing is known.
    pub fn entropy_nats(&self) -> f32 {
        let term = |p: &f32| if *p > 0.0 { -f64::from(*p) * f64::from(*p).ln() } else { 0.0 };
        (self.probabilities.iter().map(term).sum::<f64>() + term(&self.absent)) as f32
    }

    /// The places where the object may be, most probable peak first: the peak's own mode, then others that lie apart from it
    /// and hold at least one hundredth of the probability. Each cell's centre is the one its box in `maps` predicts.
    pub fn modes(&self, maps: &Maps) -> Vec<Mode> {
        let mut modes = Vec::with_capacity(MODES_MAX);
        modes.push(self.mode_at(self.peak, &[], maps));
        // When less than that is left over, no mode in it would be reported.
        let left = |modes: &[Mode]| 1.0 - self.absent - modes.iter().map(|mode| mode.mass).sum::<f32>();
        while modes.len() < MODES_MAX && left(&modes) >= MODE_MASS_MIN {
            let Some(next) = self.highest_apart(&modes) else { break };
            let mode = self.mode_at(next, &modes, maps);
            if mode.mass < MODE_MASS_MIN {
                break;
            }
            modes.push(mode);
        }
        modes
    }

    // The most probable cell that lies apart from all modes; of equal ones the lowest, of impossible ones none.
    fn highest_apart(&self, modes: &[Mode]) -> Option<usize> {
        let (mut best, mut highest) = (None, 0.0);
        for (at, p) in self.probabilities.iter().enumerate() {
            // Few cells are more probable than all before them, so few are asked where they lie.
            if *p > highest && !self.is_near_any(at, modes, 2 * MODE_RADIUS) {
                (best, highest) = (Some(at), *p);
            }
        }
        best
    }

    // Softmax of `probabilities`, which hold the logits, and of the absent cell's 0. Differences are taken in f64: a logit divided by
    // a small temperature may leave f32.
    fn normalise(&mut self, temperature: f32) {
        let cooled = |logit: f32| f64::from(logit) / f64::from(temperature);
        let highest = cooled(self.probabilities[self.peak]).max(0.0);
        let weight = |logit: f32| ((cooled(logit) - highest) as f32).exp();
        let absent = weight(0.0);
        self.probabilities.iter_mut().for_each(|p| *p = weight(*p));
        let total = f64::from(absent) + self.probabilities.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        self.absent = (f64::from(absent) / total) as f32;
        self.probabilities.iter_mut().for_each(|p| *p = (f64::from(*p) / total) as f32);
    }

    fn mode_at(&self, peak: usize, claimed: &[Mode], maps: &Maps) -> Mode {
        let cell = [peak % self.width, peak / self.width];
        let near = |at: usize, limit: usize| at.saturating_sub(MODE_RADIUS)..(at + MODE_RADIUS + 1).min(limit);
        let columns = near(cell[0], self.width);
        let cells = near(cell[1], self.height).flat_map(|row| columns.clone().map(move |column| (column, row)));
        let mut sums = Sums::default();
        for (column, row) in cells {
            let at = row * self.width + column;
            let (weight, centre) = (f64::from(self.probabilities[at]), centre_cells(maps, column, row));
            // What is impossible counts nothing, whatever its box says: zero times no number would be no number.
            let counts = weight > 0.0 || centre.iter().all(|at| at.is_finite());
            if counts && !self.is_near_any(at, claimed, MODE_RADIUS) {
                sums.add(weight, centre);
            }
        }
        if sums.weight <= 0.0 {
            sums.add(f64::MIN_POSITIVE, centre_cells(maps, cell[0], cell[1]));
        }
        sums.mode(cell, self.stride_px as f64)
    }

    fn is_near_any(&self, at: usize, modes: &[Mode], radius: usize) -> bool {
        let (column, row) = (at % self.width, at / self.width);
        modes.iter().any(|mode| column.abs_diff(mode.cell[0]) <= radius && row.abs_diff(mode.cell[1]) <= radius)
    }
}

// Where the box of a cell says its centre is, cells. If the object is at this cell, then it is there.
fn centre_cells(maps: &Maps, column: usize, row: usize) -> [f64; 2] {
    let at = 4 * (row * maps.width + column);
    let offset = |value: f32| f64::from(value).clamp(-OFFSET_CELLS_MAX, OFFSET_CELLS_MAX);
    [column as f64 + offset(maps.boxes[at]), row as f64 + offset(maps.boxes[at + 1])]
}

// Weighted sums of positions relative to the first one, which keeps the squares small.
#[derive(Default)]
struct Sums {
    origin: Option<[f64; 2]>,
    weight: f64,
    first: [f64; 2],
    second: [f64; 3],
}

impl Sums {
    fn add(&mut self, weight: f64, at: [f64; 2]) {
        let origin = *self.origin.get_or_insert(at);
        let (x, y) = (at[0] - origin[0], at[1] - origin[1]);
        self.weight += weight;
        self.first = [self.first[0] + weight * x, self.first[1] + weight * y];
        self.second =
            [self.second[0] + weight * x * x, self.second[1] + weight * x * y, self.second[2] + weight * y * y];
    }

    fn mode(&self, cell: [usize; 2], stride_px: f64) -> Mode {
        let origin = self.origin.unwrap_or_default();
        let mean = self.first.map(|sum| sum / self.weight);
        let mean_px = [(origin[0] + mean[0]) * stride_px, (origin[1] + mean[1]) * stride_px];
        let [xx, xy, yy] = self.second.map(|sum| sum / self.weight);
        let area = stride_px * stride_px;
        // A cell cannot say where inside of itself the object is: add the variance of a uniform position in it.
        let floor = area / 12.0;
        let variance = |square: f64, mean: f64| (square - mean * mean).max(0.0) * area + floor;
        let covariance = (xy - mean[0] * mean[1]) * area;
        let covariance_px2 = [[variance(xx, mean[0]), covariance], [covariance, variance(yy, mean[1])]];
        Mode { cell, mass: self.weight as f32, mean_px, covariance_px2 }
    }
}

/// Index of the largest value; of equal ones the lowest.
fn argmax<T: PartialOrd>(values: impl Iterator<Item = T>) -> Option<usize> {
    let mut best: Option<(usize, T)> = None;
    for (index, value) in values.enumerate() {
        if best.as_ref().is_none_or(|(_, highest)| value > *highest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}
