//! Ground of constant height above the ellipsoid, curved as the Earth is: what to assume where there is no elevation
//! model.

use nalgebra::Vector3;

use crate::geodetic::{ECCENTRICITY_SQUARED, SEMI_MAJOR_M};
use crate::{Altitude, Ellipsoid, LocalFrame, Terrain};

/// How far out the parabola stands for the ellipsoid: a centimetre of height at this range.
const REACH_M: f64 = 40_000.0;

/// A surface of constant ellipsoidal height in a local frame, as the paraboloid that osculates it.
///
/// A plane would be 8 cm too high at 1 km and 2 m at 5 km, and a ray five degrees below the horizon eleven times that
/// too short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelGround {
    height_m: f64,
    /// Radii of curvature east and north.
    east_radius_m: f64,
    north_radius_m: f64,
}

impl LevelGround {
    /// The ground at a height above the ellipsoid, around the frame's origin.
    pub fn new(frame: &LocalFrame, height: Altitude<Ellipsoid>) -> LevelGround {
        let sine = frame.origin().at.lat_rad().sin();
        let flat = 1.0 - ECCENTRICITY_SQUARED * sine * sine;
        LevelGround {
            height_m: height.above_m(frame.origin().height),
            east_radius_m: SEMI_MAJOR_M / flat.sqrt() + height.m(),
            north_radius_m: SEMI_MAJOR_M * (1.0 - ECCENTRICITY_SQUARED) / (flat * flat.sqrt()) + height.m(),
        }
    }
}

impl Terrain for LevelGround {
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        let drop_m = 0.5 * (east_m * east_m / self.east_radius_m + north_m * north_m / self.north_radius_m);
        let height_m = self.height_m - drop_m;
        (height_m.is_finite() && east_m.hypot(north_m) <= REACH_M).then_some(height_m)
    }

    fn slope_max(&self) -> f64 {
        REACH_M / self.north_radius_m.min(self.east_radius_m)
    }

    fn slope(&self, east_m: f64, north_m: f64) -> Option<(f64, f64)> {
        Some((-east_m / self.east_radius_m, -north_m / self.north_radius_m))
    }

    fn first_hit(&self, origin_m: Vector3<f64>, direction: Vector3<f64>) -> Option<f64> {
        let clearance_m = origin_m.z - self.height_m(origin_m.x, origin_m.y)?;
        let over = |a: Vector3<f64>, b: Vector3<f64>| a.x * b.x / self.east_radius_m + a.y * b.y / self.north_radius_m;
        // clearance - closing s + bend s2 / 2, both meetings ahead or none.
        let closing = -direction.z - over(origin_m, direction);
        let bend = over(direction, direction);
        let inside = closing * closing - 2.0 * bend * clearance_m;
        let range_m = 2.0 * clearance_m / (closing + inside.sqrt());
        if !(clearance_m > 0.0 && closing > 0.0 && inside >= 0.0 && range_m.is_finite()) {
            return None;
        }
        let point = origin_m + direction * range_m;
        self.height_m(point.x, point.y).map(|_| range_m)
    }
}
