//! The paper's losses and targets, on a heat map of one object a sample, and the released code's for comparison.
//!
//! Heat is CenterNet's focal loss with a Gaussian target whose peak is exactly 1 at the object's integer cell; the box is
//! an L1 at that cell; the gate's entropy is rewarded.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};

/// Deviation of the heat target, in cells.
const HEAT_SIGMA_CELLS: f64 = 2.0;
/// The heat target is zero beyond this many cells.
const HEAT_RADIUS_CELLS: usize = 4;
/// Probabilities are held away from 0 and 1 by this much.
const PROBABILITY_MIN: f64 = 1e-4;

/// Weights of the three terms (the paper's alpha, mu and lambda).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaperWeights {
    /// Of the heat loss.
    pub heat: f64,
    /// Of the box loss.
    pub bounds: f64,
    /// Of the negative entropy.
    pub entropy: f64,
}

impl Default for PaperWeights {
    fn default() -> Self {
        Self { heat: 0.9, bounds: 1.1, entropy: 0.015 }
    }
}

/// Extent of a heat map and of the image it covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// Height of the image, px.
    pub height_px: f64,
    /// Width of the image, px.
    pub width_px: f64,
}

/// Targets of B samples, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// `[B, rows, columns]`: a Gaussian around the object's cell.
    pub heat: Vec<f64>,
    /// `[B, rows, columns, 4]`: (dx, dy, w, h) in cells as seen from each cell of the window around the object's.
    pub bounds: Vec<f64>,
    /// `[B, rows, columns]`: 1 inside that window.
    pub mask: Vec<f64>,
}

/// Targets of boxes (left, top, right, bottom in px), one a sample.
pub fn targets(boxes: &[[f64; 4]], grid: Grid) -> Targets {
    let cells = grid.rows * grid.columns;
    let mut targets = Targets {
        heat: vec![0.0; boxes.len() * cells],
        bounds: vec![0.0; boxes.len() * cells * 4],
        mask: vec![0.0; boxes.len() * cells],
    };
    for (sample, &[x1, y1, x2, y2]) in boxes.iter().enumerate() {
        let (across, down) = (grid.columns as f64 / grid.width_px, grid.rows as f64 / grid.height_px);
        let (centre_x, centre_y) = ((x1 + x2) / 2.0 * across, (y1 + y2) / 2.0 * down);
        let (width, height) = ((x2 - x1) * across, (y2 - y1) * down);
        let peak_x = (centre_x.max(0.0) as usize).min(grid.columns - 1);
        let peak_y = (centre_y.max(0.0) as usize).min(grid.rows - 1);
        for y in window(peak_y, grid.rows) {
            for x in window(peak_x, grid.columns) {
                let at = sample * cells + y * grid.columns + x;
                let squared = (x as f64 - peak_x as f64).powi(2) + (y as f64 - peak_y as f64).powi(2);
                targets.heat[at] = (-squared / (2.0 * HEAT_SIGMA_CELLS * HEAT_SIGMA_CELLS)).exp();
                let bounds = [centre_x - x as f64, centre_y - y as f64, width, height];
                targets.bounds[4 * at..4 * at + 4].copy_from_slice(&bounds);
                targets.mask[at] = 1.0;
            }
        }
    }
    targets
}

fn window(peak: usize, cells: usize) -> std::ops::Range<usize> {
    peak.saturating_sub(HEAT_RADIUS_CELLS)..(peak + HEAT_RADIUS_CELLS + 1).min(cells)
}

impl Targets {
    /// Heat `[B, rows, columns]` and bounds `[B, rows, columns, 4]` as tensors.
    pub fn tensors(&self, grid: Grid, device: &Device) -> (Tensor<3>, Tensor<4>) {
        let samples = self.heat.len() / (grid.rows * grid.columns);
        let heat = TensorData::new(self.heat.iter().map(|&v| v as f32).collect(), [samples, grid.rows, grid.columns]);
        let bounds: Vec<f32> = self.bounds.iter().map(|&v| v as f32).collect();
        let bounds = TensorData::new(bounds, [samples, grid.rows, grid.columns, 4]);
        (Tensor::from_data(heat, device), Tensor::from_data(bounds, device))
    }
}

/// The loss and its parts; each `[1]`.
#[derive(Clone, Debug)]
pub struct PaperLoss {
    /// Focal loss of the heat (eq. 19 with CenterNet's exponents 2 and 4), over the number of objects.
    pub heat: Tensor<1>,
    /// L1 of the box at the object's cell, over the number of objects (eq. 20).
    pub bounds: Tensor<1>,
    /// Minus the mean entropy of the gates, nats.
    pub entropy: Tensor<1>,
    /// The weighted sum.
    pub total: Tensor<1>,
}

/// `heat` logits `[B, H, W]`, `bounds` `[B, H, W, 4]` and the gates' mean entropy against targets of the same shapes.
pub fn paper_loss(
    heat: Tensor<3>,
    bounds: Tensor<4>,
    entropy: Tensor<1>,
    targets: (Tensor<3>, Tensor<4>),
    weights: PaperWeights,
) -> PaperLoss {
    let boxed = Tensor::ones([1, 1, 1], &heat.device());
    paper_loss_where(heat, bounds, entropy, targets, boxed, weights)
}

/// The same where only samples that `boxed` marks with 1, `[B, 1, 1]`, have a box to learn.
pub fn paper_loss_where(
    heat: Tensor<3>,
    bounds: Tensor<4>,
    entropy: Tensor<1>,
    (heat_target, bounds_target): (Tensor<3>, Tensor<4>),
    boxed: Tensor<3>,
    weights: PaperWeights,
) -> PaperLoss {
    let p = sigmoid(heat).clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
    let object = heat_target.clone().equal_elem(1.0).float();
    let objects = object.clone().sum().clamp_min(1.0);
    let rest = object.clone().neg() + 1.0;
    let q = p.clone().neg() + 1.0;
    let hit = object.clone() * q.clone().square() * p.clone().log();
    let nearness = (heat_target.neg() + 1.0).square().square();
    let miss = rest * nearness * p.square() * q.log();
    let heat = (hit + miss).sum().neg() / objects;
    let object = object * boxed;
    let objects = object.clone().sum().clamp_min(1.0);
    let distance = (bounds - bounds_target).abs() * object.unsqueeze_dim::<4>(3);
    let bounds = distance.sum() / objects;
    let entropy = entropy.neg();
    let total = heat.clone() * weights.heat + bounds.clone() * weights.bounds + entropy.clone() * weights.entropy;
    PaperLoss { heat, bounds, entropy, total }
}

/// The released code's terms before its total.
#[derive(Clone, Debug)]
pub struct ReleasedLoss {
    /// `2 clamp(0.25 mean over objects + 0.75 mean over the rest, 0, 10)` of the focal terms without distance weights.
    pub heat: Tensor<1>,
    /// `3 (0.7 centre + 0.3 size)`, each an L1 over the whole window, clamped to 0..5.
    pub bounds: Tensor<1>,
}

impl ReleasedLoss {
    /// `0.7 heat + 0.3 box` as on one GPU, `0.8 heat + 0.2 box` as on several.
    pub fn total(&self, several_gpus: bool) -> Tensor<1> {
        let share = if several_gpus { 0.8 } else { 0.7 };
        self.heat.clone() * share + self.bounds.clone() * (1.0 - share)
    }
}

/// The loss of the released code, for comparison; `mask` `[B, H, W]` is 1 inside the window around the object's cell.
pub fn released_loss(
    heat: Tensor<3>,
    bounds: Tensor<4>,
    (heat_target, bounds_target): (Tensor<3>, Tensor<4>),
    mask: Tensor<3>,
) -> ReleasedLoss {
    let p = sigmoid(heat).clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
    let object = heat_target.equal_elem(1.0).float();
    let rest = object.clone().neg() + 1.0;
    let q = p.clone().neg() + 1.0;
    let mean = |values: Tensor<3>, of: Tensor<3>| (values * of.clone()).sum() / of.sum().clamp_min(1.0);
    let hit = mean((q.clone().square() * p.clone().log()).neg(), object);
    let miss = mean((p.square() * q.log()).neg(), rest);
    let heat = (hit * 0.25 + miss * 0.75).clamp(0.0, 10.0) * 2.0;
    let mask = mask.unsqueeze_dim::<4>(3);
    let elements = mask.clone().sum() * 2.0 + 1e-4;
    let distance = (bounds - bounds_target).abs() * mask;
    let part = |first: usize| (distance.clone().narrow(3, first, 2).sum() / elements.clone()).clamp(0.0, 5.0);
    let bounds = (part(0) * 0.7 + part(2) * 0.3) * 3.0;
    ReleasedLoss { heat, bounds }
}
