//! Reads continuous satellite scenes with building boxes: `scenes/NAME.jpg` and `boxes.json`.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;

use super::ground::{Ground, GroundBox, Source};
use super::{DataError, Raster};

/// Judged by eye: the scenes carry no georeference.
const GSD_M: f64 = 0.85;
/// Boxes with a shorter side are scraps cut off by the border of a label.
const SIDE_PX_MIN: f64 = 9.0;
/// Boxes with a longer side are merged blocks rather than objects.
const SIDE_PX_MAX: f64 = 220.0;

#[derive(Deserialize)]
struct Scene {
    building_boxes: Vec<[f64; 4]>,
}

/// Reads all scenes under `folder`; one `Ground` a scene.
pub fn read(folder: &Path) -> Result<Vec<Ground>, DataError> {
    let path = folder.join("boxes.json");
    let text = std::fs::read_to_string(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let scenes: BTreeMap<String, Scene> = serde_json::from_str(&text)
        .map_err(|error| DataError::Malformed { path: path.clone(), reason: error.to_string() })?;
    let read_scene = |(name, scene): (&String, &Scene)| {
        let picture = Raster::open(&folder.join("scenes").join(format!("{name}.jpg")))?;
        let whole = |xyxy: &&[f64; 4]| is_whole(xyxy, picture.width() as f64, picture.height() as f64);
        let boxes = scene.building_boxes.iter().filter(whole);
        let boxes = boxes.map(|&xyxy| GroundBox { xyxy, class: "building".into() }).collect();
        Ok(Ground {
            name: format!("dubai_{name}"),
            group: format!("dubai_{name}"),
            source: Source::Dubai,
            gsd_m: GSD_M,
            layers: vec![picture],
            boxes,
            frames: Vec::new(),
        })
    };
    scenes.par_iter().map(read_scene).collect()
}

/// Whether a box is an object that the border of the scene does not cut.
fn is_whole(xyxy: &[f64; 4], width: f64, height: f64) -> bool {
    let [x0, y0, x1, y1] = *xyxy;
    let (short, long) = ((x1 - x0).min(y1 - y0), (x1 - x0).max(y1 - y0));
    x0 > 0.0 && y0 > 0.0 && x1 < width - 1.0 && y1 < height - 1.0 && short >= SIDE_PX_MIN && long <= SIDE_PX_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scraps_blocks_and_cut_boxes_are_no_objects() {
        assert!(is_whole(&[10.0, 10.0, 40.0, 30.0], 1000.0, 1000.0));
        assert!(!is_whole(&[0.0, 10.0, 40.0, 30.0], 1000.0, 1000.0));
        assert!(!is_whole(&[10.0, 10.0, 15.0, 30.0], 1000.0, 1000.0));
        assert!(!is_whole(&[10.0, 10.0, 400.0, 30.0], 1000.0, 1000.0));
    }
}
