//! Reads the locator's maps: heat becomes a posterior, its peak becomes a box, and the posterior around the peak becomes a
//! position with a covariance. Whatever the network says, what is given here is finite and its covariance positive.

use crate::backend::Maps;
use crate::error::EngineError;
use crate::posterior::{Mode, Posterior};

/// Where the object is in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// Column and row of the most probable cell; of equally probable ones the first in reading order.
    pub cell: [usize; 2],
    /// The box at that cell, reference px: left, top, right, bottom. It may reach beyond the window.
    pub box_xyxy_px: [f32; 4],
    /// Centre of the box, reference px (x, y): the paper's answer.
    pub centre_px: [f64; 2],
    /// Sigmoid of the heat at that cell, 0 to 1: that cell against absence. For `fusion = "paper"` the paper's score.
    pub score: f32,
    /// Probability that the object is at that cell or next to it; calibrated when the package's temperature is.
    pub mass: f32,
    /// Mean position under the posterior around the peak, reference px (x, y): finer than a cell.
    pub mean_px: [f64; 2],
    /// Covariance of that position, reference px^2, `[[xx, xy], [xy, yy]]`; positive definite.
    pub covariance_px2: [[f64; 2]; 2],
    /// All places where the object may be; the first is the one above.
    pub modes: Vec<Mode>,
    /// The posterior itself.
    pub posterior: Posterior,
}

/// Decodes `maps` whose cells are `stride_px` reference pixels wide, with the package's `temperature`.
pub fn decode(maps: &Maps, stride_px: usize, temperature: f32) -> Result<Located, EngineError> {
    decode_posterior(Posterior::new(maps, stride_px, temperature)?, maps)
}

/// Decodes a posterior made from `maps`, usually after [`Posterior::with_prior`].
pub fn decode_posterior(posterior: Posterior, maps: &Maps) -> Result<Located, EngineError> {
    let at = posterior.peak();
    let cell = [at % posterior.width(), at / posterior.width()];
    let box_xyxy_px = box_at(maps, at, posterior.stride_px())?;
    let [left, top, right, bottom] = box_xyxy_px.map(f64::from);
    let modes = posterior.modes(maps);
    if let Some(odd) = modes.iter().find(|mode| mode.mean_px.iter().any(|at| !at.is_finite())) {
        let problem = format!("a box that is no number near cell {:?}", odd.cell);
        return Err(EngineError::Output { network: "locator", problem });
    }
    let best = modes[0];
    Ok(Located {
        cell,
        box_xyxy_px,
        centre_px: [(left + right) / 2.0, (top + bottom) / 2.0],
        score: 1.0 / (1.0 + (-maps.heat[at]).exp()),
        mass: best.mass,
        mean_px: best.mean_px,
        covariance_px2: best.covariance_px2,
        modes,
        posterior,
    })
}

/// The box that the cell with row-major index `at` predicts, reference px: left, top, right, bottom. The centre is
/// (cell index + offset) x stride, without half a cell: the targets are centre minus index.
pub fn box_at(maps: &Maps, at: usize, stride_px: usize) -> Result<[f32; 4], EngineError> {
    let numbers = &maps.boxes[4 * at..4 * at + 4];
    if let Some(odd) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(EngineError::Output { network: "locator", problem: format!("a box of {odd} at cell {at}") });
    }
    let stride = stride_px as f32;
    let (column, row) = ((at % maps.width) as f32, (at / maps.width) as f32);
    let limit = |cells: f32, extent: usize| cells.clamp(0.0, extent as f32);
    let shift = |cells: f32, extent: usize| cells.clamp(-(extent as f32), extent as f32);
    let (x, y) = (column + shift(numbers[0], maps.width), row + shift(numbers[1], maps.height));
    let (half_width, half_height) = (limit(numbers[2], maps.width) / 2.0, limit(numbers[3], maps.height) / 2.0);
    Ok([x - half_width, y - half_height, x + half_width, y + half_height].map(|cells| cells * stride))
}
