//! What the network is asked: is the object under this click in that part of the map, and where?

use std::time::Duration;

use nalgebra::Vector2;
use smgeo_engine::EncoderImage;
use smgeo_flow::Stamp;
use smgeo_geo::{
    self as geo, Altitude, Covariance2, Geodetic, LatLon, LocalFrame, Pixel, Pose, PoseSigma, RaySpread, TileWindow,
};

use crate::frame::FrameId;
use crate::prompt::TargetId;

/// Is where the ray through the click meets the ground, before the network has said anything.
#[derive(Clone, Copy, Debug)]
pub struct RayFix {
    /// The point on the terrain.
    pub at: LatLon,
    /// How uncertain that is, and how much further off the object can be, whose height nobody knows.
    pub spread: RaySpread,
    /// The slant range, metres.
    pub range_m: f64,
}

/// Squared Mahalanobis distance, two degrees of freedom, that one pair in a hundred exceeds by chance.
const DISAGREEMENT_MAX: f64 = 9.21;

impl RayFix {
    /// Says whether a place, known to `covariance`, lies further from the ray than both can explain, whatever height the
    /// object has, the ray's standard deviation taken `widening` times as large as it says. One of the two is wrong then,
    /// and nobody can say which.
    pub fn disagrees(&self, at: LatLon, covariance: Covariance2, widening: f64) -> bool {
        let squared = self.spread.missed_squared(self.offset_ne_m(at), covariance, widening);
        squared.is_none_or(|squared| squared > DISAGREEMENT_MAX)
    }

    /// Says how high over the ground the clicked point of an object at `at`, known to `covariance`, is, and the standard
    /// deviation of that, metres.
    pub fn height_m(&self, at: LatLon, covariance: Covariance2) -> (f64, f64) {
        self.spread.height(self.offset_ne_m(at), covariance)
    }

    fn offset_ne_m(&self, at: LatLon) -> Vector2<f64> {
        let level = |at: LatLon| Geodetic { at, height: Altitude::from_m(0.0) };
        let apart = LocalFrame::new(level(self.at)).enu_from(level(at));
        Vector2::new(apart.y, apart.x)
    }
}

/// Is the camera's pose at the capture time, and how old the telemetry behind it is.
#[derive(Clone, Debug)]
pub struct PoseUsed {
    /// The pose.
    pub pose: Pose,
    /// Its accuracy.
    pub sigma: PoseSigma,
    /// The age, at capture time, of the newest telemetry it stands on.
    pub telemetry_age: Duration,
}

/// Is one question to the network.
#[derive(Clone, Debug)]
pub struct Query {
    /// The target.
    pub target: TargetId,
    /// The revision of the prompt it belongs to.
    pub revision: u32,
    /// The frame it was cut from.
    pub frame: FrameId,
    /// When that frame was captured.
    pub captured: Stamp,
    /// The target's pixel in that frame.
    pub pixel: Pixel<geo::Frame>,
    /// The crop with its click map, as the encoder takes it.
    pub image: EncoderImage,
    /// The click in the crop.
    pub click: Pixel<geo::Query>,
    /// Whether the crop was laid north up at map scale by a pose, or is raw.
    pub rectified: bool,
    /// One standard deviation of where the click lies on the ground because its pixel is uncertain, metres.
    pub pixel_sigma_m: f64,
    /// Where to look.
    pub window: TileWindow,
    /// The pose, where telemetry allowed one.
    pub pose: Option<PoseUsed>,
    /// The ray's own answer, where there is a pose and the ray meets the ground.
    pub ray: Option<RayFix>,
    /// The ray of the click itself, in the frame the operator saw, where there was a pose at that moment.
    pub clicked: Option<RayFix>,
}

/// Is all questions about one frame; they are answered in one batch.
#[derive(Clone, Debug)]
pub struct QueryBatch {
    /// The frame.
    pub frame: FrameId,
    /// When it was captured.
    pub captured: Stamp,
    /// One query for each target in sight.
    pub queries: Vec<Query>,
    /// Targets that are wanted but not in sight, with the reason.
    pub unseen: Vec<(TargetId, &'static str)>,
    /// The age, at capture time, of the telemetry behind the pose, where there is one.
    pub telemetry_age: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_what_ray_and_answer_explain_disagrees() {
        let at = LatLon::new(47.0, 8.0).unwrap();
        let east_m = |metres: f64| LatLon::new(47.0, 8.0 + metres / 75_900.0).unwrap();
        let covariance = Covariance2::new(25.0, 0.0, 100.0).unwrap();
        let spread = RaySpread { covariance, overshoot_ne: Vector2::new(0.0, 1.0), height_mean_m: 0.0 };
        let ray = RayFix { at, spread, range_m: 200.0 };
        let sharp = Covariance2::isotropic(2.0).unwrap();
        // Twice 10 m east and 2 m of the answer, times the square root of 9.21: 61 m.
        for (place, disagrees) in [(east_m(5.0), false), (east_m(55.0), false), (east_m(67.0), true)] {
            assert_eq!(ray.disagrees(place, sharp, 2.0), disagrees, "{place:?}");
        }
        assert!(ray.disagrees(east_m(55.0), sharp, 1.0), "taken at its word it is narrower");
    }
}
