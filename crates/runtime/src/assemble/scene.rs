//! The camera over the ground at one frame, or what stands in the way.

use std::sync::Arc;

use smgeo_geo::{self as geo, Camera, LatLon, Pixel, RayGround, RaySpread, SightSigma};
use smgeo_messages::{Frame, PoseUsed, RayFix};

use crate::telemetry::{NoPose, PoseAt, Suspicion};
use crate::terrain::{Ground, TerrainError};
use crate::web::DroneView;

/// Is the camera over the ground at one frame.
pub(super) struct Scene {
    pub(super) camera: Camera,
    pub(super) at: PoseAt,
    pub(super) used: PoseUsed,
    pub(super) ground: Arc<Ground>,
    pub(super) object_height_m: f64,
}

/// Says why a pixel has no ray on the ground.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoScene {
    /// There is no pose.
    #[error(transparent)]
    Pose(#[from] NoPose),
    /// There is one that is not believed.
    #[error("{}", .0.phrase())]
    Doubted(Suspicion),
    /// The ground cannot be laid out.
    #[error("{0:#}")]
    Ground(anyhow::Error),
    /// The lens is not that of these pictures.
    #[error("{0}")]
    Lens(String),
}

impl NoScene {
    /// Says it in a short constant phrase, for the tracks; the sentence with numbers is for `/healthz`.
    pub(super) const fn phrase(&self) -> &'static str {
        match self {
            Self::Pose(why) => why.phrase(),
            Self::Doubted(suspicion) => suspicion.phrase(),
            Self::Ground(_) => "the ground there cannot be laid out",
            Self::Lens(_) => "the camera was calibrated with pictures of another shape",
        }
    }
}

impl From<Suspicion> for NoScene {
    fn from(suspicion: Suspicion) -> Self {
        Self::Doubted(suspicion)
    }
}

impl From<TerrainError> for NoScene {
    fn from(error: TerrainError) -> Self {
        Self::Ground(error.into())
    }
}

impl Scene {
    /// Returns the ray of a pixel that is known to `sigma_px`, and where it meets the ground.
    pub(super) fn cast(&self, pixel: Pixel<geo::Frame>, sigma_px: f64) -> Option<(RayGround, RayFix)> {
        let sight = geo::Sight { frame: &self.ground.frame, pose: &self.used.pose, camera: &self.camera, pixel };
        let sigma = SightSigma { pose: self.used.sigma, pixel_px: sigma_px, terrain_m: self.ground.sigma_m };
        let ground = RayGround::cast(&sight, &sigma, &*self.ground.terrain)?;
        let at = self.ground.frame.geodetic_from(ground.point_enu).ok()?.at;
        let spread = RaySpread {
            covariance: ground.covariance,
            overshoot_ne: ground.overshoot_ne,
            height_mean_m: self.object_height_m,
        };
        let fix = RayFix { at, spread, range_m: ground.range_m };
        Some((ground, fix))
    }

    /// Where the middle of the picture lies.
    pub(super) fn gaze(&self) -> Option<RayFix> {
        let middle = Pixel::new(f64::from(self.camera.width_px) / 2.0, f64::from(self.camera.height_px) / 2.0);
        Some(self.cast(middle, 0.0)?.1)
    }

    fn place(&self, pixel: Pixel<geo::Frame>) -> Option<LatLon> {
        let view = self.used.pose.view(&self.ground.frame);
        let point = geo::intersect(view.eye_enu_m, view.ray_enu(&self.camera, pixel), &*self.ground.terrain)?;
        Some(self.ground.frame.geodetic_from(point.enu_m).ok()?.at)
    }

    pub(super) fn footprint(&self) -> Vec<LatLon> {
        let (right, below) = (f64::from(self.camera.width_px), f64::from(self.camera.height_px));
        let corners = [(0.0, 0.0), (right, 0.0), (right, below), (0.0, below)];
        // A footprint that lacks a corner has no shape that could be drawn.
        corners.into_iter().map(|(x, y)| self.place(Pixel::new(x, y))).collect::<Option<_>>().unwrap_or_default()
    }

    /// Says where the drone is, for the map.
    pub(super) fn drone(&self, frame: &Frame) -> DroneView {
        let position = self.used.pose.position;
        let over = self.ground.frame.enu_from(position);
        let camera = self.used.pose.euler();
        DroneView {
            captured: frame.captured,
            at: position.at,
            altitude_msl_m: over.z,
            height_ground_m: self.ground.terrain.height_m(over.x, over.y).map(|ground_m| over.z - ground_m),
            heading_rad: self.at.heading_rad,
            camera_azimuth_rad: camera.yaw_rad,
            camera_depression_rad: -camera.pitch_rad,
            footprint: self.footprint(),
            telemetry_age: self.used.telemetry_age,
        }
    }
}
