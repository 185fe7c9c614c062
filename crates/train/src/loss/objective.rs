//! What a run minimises: the loss that goes with its locator.

use burn::tensor::{Tensor, TensorData};

use super::paper::{Grid, PaperWeights, paper_loss_where, targets};
use super::template::{Loss, LossWeights, template_loss};
use crate::data::batch::Click;
use crate::model::{Config, Fusion, LocatorMaps};

/// The loss of a locator, with its weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// Of `fusion = "template"`.
    Template(LossWeights),
    /// Of the paper's head, whatever gates it.
    Paper(PaperWeights),
}

impl Objective {
    /// The loss of a network.
    pub fn new(config: &Config, template: &LossWeights, paper: &PaperWeights) -> Self {
        match config.fusion {
            Fusion::Template => Self::Template(template.clone()),
            Fusion::Paper | Fusion::Softmax | Fusion::None => Self::Paper(*paper),
        }
    }

    /// Whether the maps know "not in this window": only there is the logit 0 a threshold.
    pub fn knows_absence(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// The loss of maps for `clicks`, in the same order, in a window of `stride_px` px a cell. `entropy` is the gates'.
    pub fn of(&self, maps: &LocatorMaps, clicks: &[Click], stride_px: usize, entropy: Option<Tensor<1>>) -> Loss {
        match self {
            Self::Template(weights) => template_loss(maps, clicks, stride_px, entropy, weights),
            Self::Paper(weights) => of_paper(maps, clicks, stride_px, entropy, weights),
        }
    }
}

/// The paper's loss. It knows one boxed object a sample; here a click without a box trains the heat alone, and one whose
/// object is elsewhere has no peak.
fn of_paper(
    maps: &LocatorMaps,
    clicks: &[Click],
    stride_px: usize,
    entropy: Option<Tensor<1>>,
    weights: &PaperWeights,
) -> Loss {
    let [count, rows, columns] = maps.heat.dims();
    let device = maps.heat.device();
    let [height_px, width_px] = [rows, columns].map(|cells| (cells * stride_px) as f64);
    let grid = Grid { rows, columns, height_px, width_px };
    let boxes: Vec<[f64; 4]> = clicks.iter().map(bounds_of).collect();
    let mut wanted = targets(&boxes, grid);
    for (heat, click) in wanted.heat.chunks_exact_mut(rows * columns).zip(clicks) {
        if click.target.is_none() {
            heat.fill(0.0);
        }
    }
    let boxed = clicks.iter().map(|click| f32::from(u8::from(click.box_xyxy.is_some()))).collect();
    let boxed = Tensor::<3>::from_data(TensorData::new(boxed, [count, 1, 1]), &device);
    let entropy = entropy.unwrap_or_else(|| Tensor::zeros([1], &device));
    let tensors = wanted.tensors(grid, &device);
    let loss = paper_loss_where(maps.heat.clone(), maps.bounds.clone(), entropy, tensors, boxed, *weights);
    Loss { total: loss.total, place: loss.heat, bounds: loss.bounds }
}

/// A click's box, or a box without extent at its target.
fn bounds_of(click: &Click) -> [f64; 4] {
    let point = |[x, y]: [f32; 2]| [x, y, x, y];
    click.box_xyxy.or(click.target.map(point)).unwrap_or_default().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn click(target: Option<[f32; 2]>, box_xyxy: Option<[f32; 4]>) -> Click {
        Click { query: 0, at: [128.0; 2], target, shown: target, box_xyxy, object: None }
    }

    /// Maps of 4 x 4 cells whose peak is cell (1, 1), with a box of one cell around (1.5, 1.5) everywhere.
    fn maps() -> LocatorMaps {
        let device = Device::default();
        let heat = (0..16).map(|cell| if cell == 5 { 8.0 } else { -8.0 }).collect();
        let bounds = (0..16).flat_map(|cell| [1.5 - (cell % 4) as f32, 1.5 - (cell / 4) as f32, 1.0, 1.0]).collect();
        LocatorMaps {
            heat: Tensor::from_data(TensorData::new(heat, [1, 4, 4]), &device),
            bounds: Tensor::from_data(TensorData::new(bounds, [1, 4, 4, 4]), &device),
            attention: Tensor::zeros([1, 4, 4], &device),
            fine: None,
        }
    }

    #[test]
    fn the_papers_loss_asks_for_a_peak_only_where_the_object_is_and_for_a_box_only_where_one_is_known() {
        let objective = Objective::Paper(PaperWeights::default());
        let parts = |click| {
            let loss = objective.of(&maps(), &[click], 32, None);
            (loss.place.into_scalar::<f32>(), loss.bounds.into_scalar::<f32>())
        };
        let (place, bounds) = parts(click(Some([48.0, 48.0]), Some([32.0, 32.0, 64.0, 64.0])));
        assert!(place < 0.1 && bounds < 1e-5, "{place} {bounds}");
        let (_, bounds) = parts(click(Some([48.0, 48.0]), Some([32.0, 32.0, 96.0, 64.0])));
        assert!((bounds - 1.5).abs() < 1e-5, "{bounds}");
        let (place, bounds) = parts(click(Some([48.0, 48.0]), None));
        assert!(place < 0.1 && bounds == 0.0, "{place} {bounds}");
        let (place, bounds) = parts(click(None, None));
        assert!(place > 5.0 && bounds == 0.0, "{place} {bounds}");
    }
}
