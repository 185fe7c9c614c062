//! The camera as it is configured: by its field of view, or calibrated.

use serde::{Deserialize, Serialize};
use smgeo_geo::Camera;

/// Describes the camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Config {
    /// An ideal lens, known by its field of view.
    FieldOfView {
        /// Horizontal, degrees.
        hfov_deg: f64,
        /// Whether a field of view told by telemetry (CAMERA_FOV_STATUS) replaces it.
        #[serde(default = "yes")]
        by_telemetry: bool,
    },
    /// A calibrated lens: OpenCV's Brown-Conrady model, principal point from the outer corner of the first pixel.
    Calibrated {
        /// Columns of the pictures it was calibrated with.
        width_px: u32,
        /// Rows of the pictures it was calibrated with.
        height_px: u32,
        /// Focal length, horizontal.
        fx_px: f64,
        /// Focal length, vertical.
        fy_px: f64,
        /// Principal point, from the left.
        cx_px: f64,
        /// Principal point, from above.
        cy_px: f64,
        /// k1, k2, p1, p2, k3.
        #[serde(default)]
        distortion: [f64; 5],
    },
}

fn yes() -> bool {
    true
}

impl Default for Config {
    fn default() -> Self {
        Self::FieldOfView { hfov_deg: 70.0, by_telemetry: true }
    }
}

/// Gives the camera for a frame's size.
#[derive(Clone, Debug)]
pub struct Lens {
    kind: Kind,
    by_telemetry: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ideal { hfov_rad: f64 },
    Calibrated(Camera),
}

impl Config {
    /// Checks the numbers; the sentence says which to change.
    pub fn build(&self) -> Result<Lens, String> {
        match *self {
            Self::FieldOfView { hfov_deg, by_telemetry } => {
                if !(hfov_deg.is_finite() && (1.0..=170.0).contains(&hfov_deg)) {
                    return Err(format!("camera.hfov_deg is {hfov_deg}; it must be from 1 to 170"));
                }
                Ok(Lens { kind: Kind::Ideal { hfov_rad: hfov_deg.to_radians() }, by_telemetry })
            }
            Self::Calibrated { width_px, height_px, fx_px, fy_px, cx_px, cy_px, distortion } => {
                let camera = Camera { width_px, height_px, fx_px, fy_px, cx_px, cy_px, distortion };
                let camera = camera.checked().map_err(|error| format!("camera: {error}; check its numbers"))?;
                Ok(Lens { kind: Kind::Calibrated(camera), by_telemetry: false })
            }
        }
    }
}

/// Pictures of another shape than the calibration's, by more than this factor, are cut or stretched in a way that is not known.
const SHAPE_FACTOR_MAX: f64 = 1.01;

impl Lens {
    /// Says whether a field of view that telemetry tells counts.
    pub fn is_told(&self) -> bool {
        self.by_telemetry
    }

    /// Returns the camera for frames of this size, with the field of view that telemetry told, if that is to count.
    pub fn camera(&self, (width_px, height_px): (u32, u32), told_hfov_rad: Option<f64>) -> Result<Camera, String> {
        match (told_hfov_rad.filter(|_| self.by_telemetry), self.kind) {
            // The field of view is of the width: another aspect keeps square pixels.
            (Some(hfov_rad), _) | (None, Kind::Ideal { hfov_rad }) => {
                Ok(Camera::from_hfov(width_px, height_px, hfov_rad))
            }
            (None, Kind::Calibrated(camera)) => {
                let shape = |width_px: u32, height_px: u32| f64::from(width_px) / f64::from(height_px);
                let factor = shape(width_px, height_px) / shape(camera.width_px, camera.height_px);
                if factor.max(1.0 / factor) > SHAPE_FACTOR_MAX {
                    let (width, height) = (camera.width_px, camera.height_px);
                    return Err(format!(
                        "the video is {width_px} x {height_px}, but the camera was calibrated at {width} x {height}: \
                         calibrate it with pictures of the video's shape"
                    ));
                }
                Ok(camera.rescaled(width_px, height_px))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_serves_pictures_of_its_own_shape_only() {
        let calibrated = Config::Calibrated {
            width_px: 1440,
            height_px: 1080,
            fx_px: 1000.0,
            fy_px: 1000.0,
            cx_px: 720.0,
            cy_px: 540.0,
            distortion: [0.0; 5],
        };
        let lens = calibrated.build().unwrap();
        for (size, serves) in [((1440, 1080), true), ((720, 540), true), ((719, 540), true), ((1280, 720), false)] {
            assert_eq!(lens.camera(size, None).is_ok(), serves, "{size:?}");
        }
        let half = lens.camera((720, 540), None).unwrap();
        assert_eq!((half.fx_px, half.fy_px), (500.0, 500.0));
    }
}
