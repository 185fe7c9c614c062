//! Upright boxes in window pixels: overlap, and how maps say them.

use crate::model::LocatorMaps;

/// Intersection over union of two boxes [x0, y0, x1, y1]; 0 for boxes without area.
pub fn iou(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |edges: &[f64; 4]| (edges[2] - edges[0]).max(0.0) * (edges[3] - edges[1]).max(0.0);
    let shared = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let shared = area(&shared);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// The box at the best cell of each map, in window pixels. Ties go to the lowest cell; there is no half cell: offsets are
/// centre minus cell index.
pub fn decode_boxes(maps: &LocatorMaps, stride_px: usize) -> Vec<[f64; 4]> {
    let [count, height, width] = maps.heat.dims();
    let heat: Vec<f32> = maps.heat.clone().into_data().iter::<f32>().collect();
    let bounds: Vec<f32> = maps.bounds.clone().into_data().iter::<f32>().collect();
    let cells = height * width;
    let decode = |k: usize| {
        let logits = &heat[k * cells..(k + 1) * cells];
        let best = (1..cells).fold(0, |best, cell| if logits[cell] > logits[best] { cell } else { best });
        let at = (k * cells + best) * 4;
        let [dx, dy, w, h] = [0, 1, 2, 3].map(|axis| f64::from(bounds[at + axis]));
        box_of((best % width) as f64 + dx, (best / width) as f64 + dy, w, h, stride_px as f64)
    };
    (0..count).map(decode).collect()
}

/// A box from its centre and size in cells.
fn box_of(x: f64, y: f64, w: f64, h: f64, stride_px: f64) -> [f64; 4] {
    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0].map(|edge| edge * stride_px)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor, TensorData};

    #[test]
    fn overlap_is_absolute_so_equal_boxes_far_apart_share_nothing() {
        assert_eq!(iou(&[0.0, 0.0, 2.0, 2.0], &[1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(iou(&[0.0, 0.0, 2.0, 2.0], &[90.0, 0.0, 92.0, 2.0]), 0.0);
        assert_eq!(iou(&[1.0; 4], &[1.0; 4]), 0.0);
    }

    #[test]
    fn a_box_is_read_at_the_best_cell_without_half_a_cell() {
        let device = Device::default();
        let mut heat = vec![0.0f32; 6];
        heat[4] = 3.0;
        let mut bounds = vec![0.0f32; 24];
        bounds[16..20].copy_from_slice(&[0.25, 0.5, 2.0, 1.0]);
        let maps = LocatorMaps {
            heat: Tensor::from_data(TensorData::new(heat, [1, 2, 3]), &device),
            bounds: Tensor::from_data(TensorData::new(bounds, [1, 2, 3, 4]), &device),
            attention: Tensor::zeros([1, 2, 3], &device),
            fine: None,
        };
        // Cell (1, 1): centre (1.25, 1.5) cells of 16 px, 32 x 16 px.
        assert_eq!(decode_boxes(&maps, 16), vec![[4.0, 16.0, 36.0, 32.0]]);
    }
}
