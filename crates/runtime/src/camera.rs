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

impl Lens {
    /// Returns the camera for frames of this size, with the field of view that telemetry told, if that is to count.
    pub fn camera(&self, width_px: u32, height_px: u32, told_hfov_rad: Option<f64>) -> Camera {
        match told_hfov_rad.filter(|_| self.by_telemetry) {
            Some(hfov_rad) => Camera::from_hfov(width_px, height_px, hfov_rad),
            None => match self.kind {
                // The field of view is of the width: another aspect keeps square pixels.
                Kind::Ideal { hfov_rad } => Camera::from_hfov(width_px, height_px, hfov_rad),
                Kind::Calibrated(camera) => camera.rescaled(width_px, height_px),
            },
        }
    }
}
