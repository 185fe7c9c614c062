//! Losses of the template locator: where in the window, if at all, and how large.
//!
//! *Place*: softmax cross-entropy over all cells of the window and the "not in this window" cell. The truth is a point, not a
//! cell, so it is shared bilinearly among the four cells whose centres surround it: the posterior then interpolates. *Box*: at
//! these cells, the distance of centres and of logarithms of sizes, and the generalised intersection over union (Rezatofighi
//! et al. 2019). *Fine*: at the cells around the clicked point, softmax cross-entropy of the fine correlation over the places in
//! reach, and the distance of its peak. *Entropy*: the gates' mean entropy is rewarded, with gradient, so that experts stay in use.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::data::batch::Click;
use crate::model::{FINE_REACH as REACH, LocatorMaps};

/// Weights of the parts of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Of the cross-entropy over cells.
    pub place: f64,
    /// Of the distance of box centres (cells) and logarithmic sizes.
    pub edges: f64,
    /// Of 1 - GIoU.
    pub overlap: f64,
    /// Of the distance of the fine correlation's peak from the clicked point (cells), where there is such a correlation.
    pub peak: f64,
    /// Of the fine correlation's cross-entropy (docs/training.md says what it brought).
    pub fine: f64,
    /// Of the gates' entropy, which is rewarded.
    pub entropy: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { place: 1.0, edges: 0.5, overlap: 0.5, peak: 0.5, fine: 0.0, entropy: 0.015 }
    }
}

/// The loss and its parts.
pub struct Loss {
    /// What is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// Mean cross-entropy, nats, `[1]`.
    pub place: Tensor<1>,
    /// Mean box loss before weighting, `[1]`; zero without boxes.
    pub bounds: Tensor<1>,
}

/// Added to the logit of a place beyond the window.
const BEYOND: f32 = -1e4;

/// Computes the loss of maps for `clicks` (in the same order) in a window of `stride_px` px a cell. `entropy` is the gates'.
pub fn template_loss(
    maps: &LocatorMaps,
    clicks: &[Click],
    stride_px: usize,
    entropy: Option<Tensor<1>>,
    weights: &LossWeights,
) -> Loss {
    let [count, height, width] = maps.heat.dims();
    let device = maps.heat.device();
    let cells: Vec<CellShares> =
        clicks.iter().map(|click| CellShares::of(click.target, stride_px, height, width)).collect();
    let place = place_loss(maps.heat.clone().reshape([count, height * width]), &cells, &device);
    let bounds = box_loss(maps, clicks, &cells, stride_px, weights, &device);
    let mut total = place.clone() * weights.place + bounds.clone();
    if let Some(fine) = &maps.fine {
        let near = near(clicks, stride_px, [height, width]);
        total = total + peak_loss(&fine.peak, &near) * weights.peak;
        if weights.fine > 0.0 {
            total = total + fine_loss(&fine.correlation, &near) * weights.fine;
        }
    }
    if let Some(entropy) = entropy {
        total = total - entropy * weights.entropy;
    }
    Loss { total, place, bounds }
}

/// The four cells around a point with their bilinear weights; the last cell number stands for "not in this window".
#[derive(Clone, Debug, PartialEq)]
struct CellShares {
    cell: [usize; 4],
    share: [f32; 4],
}

impl CellShares {
    fn of(target: Option<[f32; 2]>, stride_px: usize, height: usize, width: usize) -> Self {
        let absent = height * width;
        let Some([x, y]) = target else {
            return Self { cell: [absent; 4], share: [1.0, 0.0, 0.0, 0.0] };
        };
        let axis = |place: f32, length: usize| {
            let centred = (place / stride_px as f32 - 0.5).clamp(0.0, (length - 1) as f32);
            let first = (centred as usize).min(length.saturating_sub(2));
            (first, (first + 1).min(length - 1), centred - first as f32)
        };
        let (left, right, along) = axis(x, width);
        let (top, bottom, down) = axis(y, height);
        Self {
            cell: [top * width + left, top * width + right, bottom * width + left, bottom * width + right],
            share: [(1.0 - along) * (1.0 - down), along * (1.0 - down), (1.0 - along) * down, along * down],
        }
    }
}

fn place_loss(heat: Tensor<2>, cells: &[CellShares], device: &Device) -> Tensor<1> {
    let [count, _] = heat.dims();
    let logits = Tensor::cat(vec![heat, Tensor::zeros([count, 1], device)], 1);
    let places: Vec<i64> = cells.iter().flat_map(|shares| shares.cell.map(|cell| cell as i64)).collect();
    let shares: Vec<f32> = cells.iter().flat_map(|shares| shares.share).collect();
    let places = Tensor::<2, Int>::from_data(TensorData::new(places, [count, 4]), device);
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [count, 4]), device);
    (log_softmax(logits, 1).gather(1, places) * shares).sum() * (-1.0 / count as f64)
}

/// A cell about a clicked point, as the fine correlation sees it.
struct Near {
    /// Which click, and the cell's column and row.
    click: usize,
    cell: [usize; 2],
    share: f32,
    /// From the cell's middle to the clicked point, cells.
    away: [f32; 2],
}

/// The four cells around each clicked point that the window shows, with or without a box.
fn near(clicks: &[Click], stride_px: usize, [height, width]: [usize; 2]) -> Vec<Near> {
    let shown = clicks.iter().enumerate().filter_map(|(click, said)| Some((click, said.shown?)));
    let around = |(click, [x, y]): (usize, [f32; 2])| {
        let cells = CellShares::of(Some([x, y]), stride_px, height, width);
        let each = move |(cell, share): (usize, f32)| {
            let cell = [cell % width, cell / width];
            let away = |place: f32, cell: usize| place / stride_px as f32 - cell as f32 - 0.5;
            Near { click, cell, share, away: [away(x, cell[0]), away(y, cell[1])] }
        };
        cells.cell.into_iter().zip(cells.share).map(each)
    };
    shown.flat_map(around).collect()
}

/// Mean distance of the peak at the cells around each clicked point from it.
fn peak_loss(peak: &Tensor<4>, near: &[Near]) -> Tensor<1> {
    let [count, height, width, _] = peak.dims();
    let (device, length) = (peak.device(), near.len());
    if length == 0 {
        return Tensor::zeros([1], &device);
    }
    let rows = near.iter().map(|Near { click, cell, .. }| ((click * height + cell[1]) * width + cell[0]) as i64);
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows.collect(), [length]), &device);
    let shares = near.iter().map(|near| near.share).collect();
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [length, 1]), &device);
    let truths = near.iter().flat_map(|near| near.away).collect();
    let truths = Tensor::<2>::from_data(TensorData::new(truths, [length, 2]), &device);
    let found = peak.clone().reshape([count * height * width, 2]).select(0, rows);
    ((found - truths).abs() * shares).sum() * (4.0 / length as f64)
}

/// Mean cross-entropy of the fine correlation, nats: for each cell around a clicked point, over the places in reach of the
/// cell, where the point is shared bilinearly among the places around it.
fn fine_loss(correlation: &Tensor<3>, near: &[Near]) -> Tensor<1> {
    let [count, height, width] = correlation.dims();
    let (device, length) = (correlation.device(), near.len());
    if length == 0 {
        return Tensor::zeros([1], &device);
    }
    let (mut places, mut beyond, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for Near { click, cell, share, away } in near {
        for (row, column) in (0..REACH).flat_map(|row| (0..REACH).map(move |column| (row, column))) {
            let [x, y] = [(cell[0], column), (cell[1], row)]
                .map(|(cell, place)| (2 * cell + place) as i64 + 1 - REACH as i64 / 2);
            let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
            let place = (*click as i64 * height as i64 + y) * width as i64 + x;
            places.push(if inside { place } else { 0 });
            beyond.push(if inside { 0.0 } else { BEYOND });
            let weight = |away: f32, place: usize| {
                (1.0 - (2.0 * away - (place as f32 + 0.5 - REACH as f32 / 2.0)).abs()).max(0.0)
            };
            shares.push(if inside { share * weight(away[0], column) * weight(away[1], row) } else { 0.0 });
        }
    }
    let shape = [length, REACH * REACH];
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [length * REACH * REACH]), &device);
    let beyond = Tensor::<2>::from_data(TensorData::new(beyond, shape), &device);
    let shares = Tensor::<2>::from_data(TensorData::new(shares, shape), &device);
    let logits = correlation.clone().reshape([count * height * width]).select(0, places).reshape(shape) + beyond;
    (log_softmax(logits, 1) * shares).sum() * (-4.0 / length as f64)
}

fn box_loss(
    maps: &LocatorMaps,
    clicks: &[Click],
    cells: &[CellShares],
    stride_px: usize,
    weights: &LossWeights,
    device: &Device,
) -> Tensor<1> {
    let [count, height, width] = maps.heat.dims();
    let mut rows = Vec::new();
    let mut shares = Vec::new();
    let mut truths = Vec::new();
    let mut boxed = 0;
    for (index, (click, around)) in clicks.iter().zip(cells).enumerate() {
        let (Some(bounds), Some(_)) = (click.box_xyxy, click.target) else { continue };
        boxed += 1;
        let [x0, y0, x1, y1] = bounds.map(|edge| edge / stride_px as f32);
        for (&cell, &share) in around.cell.iter().zip(&around.share).filter(|(_, share)| **share > 1e-3) {
            let (column, row) = ((cell % width) as f32, (cell / width) as f32);
            rows.push((index * height * width + cell) as i64);
            shares.push(share);
            truths.extend([(x0 + x1) / 2.0 - column, (y0 + y1) / 2.0 - row, x1 - x0, y1 - y0]);
        }
    }
    if boxed == 0 {
        return Tensor::zeros([1], device);
    }
    let length = rows.len();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [length]), device);
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [length, 1]), device);
    let truth = Tensor::<2>::from_data(TensorData::new(truths, [length, 4]), device);
    let guess = maps.bounds.clone().reshape([count * height * width, 4]).select(0, rows);
    let edges = edge_distance(guess.clone(), truth.clone()) * weights.edges;
    let overlap = (generalised_iou(guess, truth).neg() + 1.0) * weights.overlap;
    ((edges + overlap) * shares).sum() * (1.0 / boxed as f64)
}

/// Sum of the distances of the centres (cells) and of the logarithms of the sizes, `[N, 4]` to `[N, 1]`.
fn edge_distance(guess: Tensor<2>, truth: Tensor<2>) -> Tensor<2> {
    let centres = (guess.clone().narrow(1, 0, 2) - truth.clone().narrow(1, 0, 2)).abs();
    let sizes = guess.narrow(1, 2, 2).clamp_min(1e-3).log() - truth.narrow(1, 2, 2).clamp_min(1e-3).log();
    centres.sum_dim(1) + sizes.abs().sum_dim(1)
}

/// Generalised intersection over union of boxes given as centre and size, `[N, 4]` to `[N, 1]`.
fn generalised_iou(guess: Tensor<2>, truth: Tensor<2>) -> Tensor<2> {
    let corners = |bounds: &Tensor<2>| {
        let (centre, half) = (bounds.clone().narrow(1, 0, 2), bounds.clone().narrow(1, 2, 2) * 0.5);
        (centre.clone() - half.clone(), centre + half)
    };
    let area = |low: Tensor<2>, high: Tensor<2>| {
        let edges = (high - low).clamp_min(0.0);
        edges.clone().narrow(1, 0, 1) * edges.narrow(1, 1, 1)
    };
    let (guess_low, guess_high) = corners(&guess);
    let (truth_low, truth_high) = corners(&truth);
    let shared = area(guess_low.clone().max_pair(truth_low.clone()), guess_high.clone().min_pair(truth_high.clone()));
    let both =
        area(guess_low.clone(), guess_high.clone()) + area(truth_low.clone(), truth_high.clone()) - shared.clone();
    let hull = area(guess_low.min_pair(truth_low), guess_high.max_pair(truth_high)) + 1e-6;
    shared / (both.clone() + 1e-6) - (hull.clone() - both) / hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: [f32; 4]) -> Tensor<2> {
        Tensor::from_data([values], &Device::default())
    }

    #[test]
    fn giou_is_one_for_equal_boxes_and_negative_for_distant_ones() {
        let unit = || tensor([0.5, 0.5, 1.0, 1.0]);
        let same: f32 = generalised_iou(unit(), unit()).into_scalar();
        let apart: f32 = generalised_iou(unit(), tensor([3.5, 0.5, 1.0, 1.0])).into_scalar();
        assert!((same - 1.0).abs() < 1e-4);
        // Two unit squares in a hull of 4 x 1: -(4 - 2) / 4.
        assert!((apart + 0.5).abs() < 1e-4);
    }

    /// A click on what the window shows there.
    fn shown(at: Option<[f32; 2]>) -> Click {
        Click { query: 0, at: [128.0; 2], target: at, shown: at, box_xyxy: None, object: None }
    }

    #[test]
    fn the_fine_correlation_is_right_where_it_is_high_about_the_clicked_point_alone() {
        let device = Device::default();
        let loss = |column: usize, row: usize, at: Option<[f32; 2]>| -> f32 {
            let mut values = vec![0.0f32; 64];
            values[row * 8 + column] = 12.0;
            let correlation = Tensor::from_data(TensorData::new(values, [1, 8, 8]), &device);
            fine_loss(&correlation, &near(&[shown(at)], 16, [4, 4])).into_scalar()
        };
        // Place (3, 2) of 8 px has its middle at (28, 20).
        assert!(loss(3, 2, Some([28.0, 20.0])) < 1e-3);
        assert!(loss(4, 2, Some([28.0, 20.0])) > 10.0);
        // Half way between two places half of the truth is lost, 12 nats below.
        assert!((loss(3, 2, Some([32.0, 20.0])) - 6.0).abs() < 0.01);
        // In the corner of the window, where places beyond it are no answers.
        assert!(loss(0, 0, Some([4.0, 4.0])) < 1e-3);
        assert_eq!(loss(3, 2, None), 0.0);
    }

    #[test]
    fn a_peak_is_as_far_off_as_it_points_beside_the_clicked_point() {
        let device = Device::default();
        let target = [28.0, 24.0];
        let loss = |beside: f32, target: Option<[f32; 2]>| -> f32 {
            let place = |cell: usize| [cell % 4, cell / 4].map(|at| at as f32 + 0.5);
            // Every cell points at the target, but for so many cells to the right.
            let points = |cell: usize| [28.0 / 16.0 - place(cell)[0] + beside, 24.0 / 16.0 - place(cell)[1]];
            let peak: Vec<f32> = (0..16).flat_map(points).collect();
            let peak = Tensor::<4>::from_data(TensorData::new(peak, [1, 4, 4, 2]), &device);
            peak_loss(&peak, &near(&[shown(target)], 16, [4, 4])).into_scalar()
        };
        assert!(loss(0.0, Some(target)).abs() < 1e-6);
        assert!((loss(0.1, Some(target)) - 0.1).abs() < 1e-6);
        assert_eq!(loss(0.1, None), 0.0);
    }

    #[test]
    fn a_point_in_the_middle_of_a_cell_belongs_to_that_cell_alone() {
        let shares = CellShares::of(Some([24.0, 8.0]), 16, 4, 4);
        assert_eq!((shares.cell[0], shares.share[0]), (1, 1.0));
        let corner = CellShares::of(Some([32.0, 16.0]), 16, 4, 4);
        assert_eq!(corner.cell, [1, 2, 5, 6]);
        assert_eq!(corner.share, [0.25; 4]);
    }

    #[test]
    fn points_beyond_the_last_centre_stay_in_the_window() {
        let shares = CellShares::of(Some([63.9, 63.9]), 16, 4, 4);
        assert!(shares.cell.iter().all(|&cell| cell < 16));
        assert!((shares.share.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!((shares.cell[3], shares.share[3]), (15, 1.0));
    }

    #[test]
    fn the_loss_is_small_where_the_maps_say_the_truth_and_large_elsewhere() {
        let device = Device::default();
        let mut heat = vec![-10.0f32; 16];
        heat[5] = 10.0;
        let mut bounds = vec![0.5f32; 64];
        bounds[5 * 4..6 * 4].copy_from_slice(&[0.5, 0.5, 2.0, 1.0]);
        let maps = LocatorMaps {
            heat: Tensor::from_data(TensorData::new(heat, [1, 4, 4]), &device),
            bounds: Tensor::from_data(TensorData::new(bounds, [1, 4, 4, 4]), &device),
            attention: Tensor::zeros([1, 4, 4], &device),
            fine: None,
        };
        let click = |target| Click {
            query: 0,
            at: [128.0; 2],
            target,
            shown: target,
            box_xyxy: Some([8.0, 16.0, 40.0, 32.0]),
            object: None,
        };
        let loss = |target| {
            let loss = template_loss(&maps, &[click(target)], 16, None, &LossWeights::default());
            (loss.place.into_scalar::<f32>(), loss.bounds.into_scalar::<f32>())
        };
        let (place, bounds) = loss(Some([24.0, 24.0]));
        assert!(place < 1e-3 && bounds < 1e-3, "{place} {bounds}");
        assert!(loss(Some([56.0, 56.0])).0 > 15.0);
        assert!(loss(None).0 > 9.0);
    }
}
