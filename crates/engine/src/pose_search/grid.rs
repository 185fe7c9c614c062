//! Which poses are tried.

use std::ops::RangeInclusive;
use std::slice;

use serde::Serialize;

use crate::error::EngineError;

/// Beyond this a picture shows the horizon rather than the ground.
pub const TILT_DEG_MAX: f64 = 80.0;

/// A picture that shows so many times more ground than 256 reference pixels, or less, has another scale than its reference.
const SCALE_MAX: f64 = 16.0;

/// The poses that are tried: all combinations.
#[derive(Clone, Debug, PartialEq)]
pub struct PoseGrid {
    /// Clockwise turns of the picture's top from north, degrees.
    pub headings_deg: Vec<f64>,
    /// Turns of the view from straight down towards the picture's top, degrees.
    pub tilts_deg: Vec<f64>,
    /// Sizes of a 256th of the picture's shorter side where it was clicked, across the line of sight, in reference pixels.
    pub scales: Vec<f64>,
    /// Horizontal field of view, degrees.
    pub field_of_view_deg: f64,
}

impl Default for PoseGrid {
    /// Any heading, tilts to 65 degrees, and pictures that show from half as much as 256 reference pixels to twice as much.
    fn default() -> PoseGrid {
        PoseGrid {
            headings_deg: (0..16).map(|step| f64::from(step) * 22.5).collect(),
            tilts_deg: vec![5.0, 27.0, 44.0, 58.0],
            scales: vec![0.65, 0.9, 1.25, 1.75],
            field_of_view_deg: 60.0,
        }
    }
}

/// One way a picture may have been taken; the numbers are those of [`PoseGrid`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pose {
    /// Clockwise turn of the picture's top from north, degrees.
    pub heading_deg: f64,
    /// Turn of the view from straight down, degrees.
    pub tilt_deg: f64,
    /// Reference pixels in a 256th of the picture's shorter side.
    pub scale: f64,
}

impl PoseGrid {
    /// All poses of the grid.
    pub(super) fn poses(&self) -> Vec<Pose> {
        let mut poses = Vec::with_capacity(self.headings_deg.len() * self.tilts_deg.len() * self.scales.len());
        for &heading_deg in &self.headings_deg {
            for &tilt_deg in &self.tilts_deg {
                poses.extend(self.scales.iter().map(|&scale| Pose { heading_deg, tilt_deg, scale }));
            }
        }
        poses
    }

    /// The poses a part of a step from one, along each axis that has more than one number.
    pub(super) fn around(&self, pose: &Pose, part: f64) -> Vec<Pose> {
        let mut poses = Vec::new();
        if let [first, second, ..] = self.headings_deg[..] {
            let turn = part * (second - first);
            poses.extend(
                [-turn, turn].map(|turn| Pose { heading_deg: (pose.heading_deg + turn).rem_euclid(360.0), ..*pose }),
            );
        }
        if let [first, second, ..] = self.tilts_deg[..] {
            let turn = part * (second - first);
            let tilts = [-turn, turn].map(|turn| (pose.tilt_deg + turn).clamp(0.0, TILT_DEG_MAX));
            poses.extend(tilts.map(|tilt_deg| Pose { tilt_deg, ..*pose }));
        }
        if let [first, second, ..] = self.scales[..] {
            let factor = (second / first).powf(part);
            poses.extend([pose.scale / factor, pose.scale * factor].map(|scale| Pose { scale, ..*pose }));
        }
        poses
    }

    /// Checks the numbers and says which is wrong.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let ranges: [(&str, &[f64], RangeInclusive<f64>); 4] = [
            ("a heading", &self.headings_deg, -360.0..=360.0),
            ("a tilt", &self.tilts_deg, 0.0..=TILT_DEG_MAX),
            ("a scale", &self.scales, 1.0 / SCALE_MAX..=SCALE_MAX),
            ("a field of view", slice::from_ref(&self.field_of_view_deg), 5.0..=150.0),
        ];
        for (name, numbers, range) in ranges {
            if let Some(wrong) = numbers.iter().find(|number| !range.contains(number)) {
                let (low, high) = range.into_inner();
                return Err(EngineError::Number(format!("{name} of {wrong} is none of {low:.3} to {high:.3}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_not_varied() {
        let known = PoseGrid { headings_deg: vec![70.0], ..PoseGrid::default() };
        let around = known.around(&Pose { heading_deg: 70.0, tilt_deg: 5.0, scale: 0.9 }, 0.5);
        assert_eq!(around.len(), 4);
        assert!(around.iter().all(|pose| pose.heading_deg == 70.0 && pose.tilt_deg >= 0.0));
    }
}
