//! The ground in a local frame, and where a ray first meets it.
//!
//! Heights are the frame's up coordinate, in metres: near the origin the height above it, further out less the drop of
//! the Earth's curvature. Where there is no data there is no ground, and a ray passes.

use nalgebra::Vector3;

use crate::march;

/// A surface over a local frame.
pub trait Terrain: Send + Sync {
    /// The up coordinate of the ground at a point, in metres; none where it is not known.
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64>;

    /// The steepest the ground gets, as rise over run. [`Terrain::first_hit`] relies on it to jump over nothing.
    fn slope_max(&self) -> f64 {
        2.0
    }

    /// How the ground rises at a point, per metre east and per metre north.
    fn slope(&self, east_m: f64, north_m: f64) -> Option<(f64, f64)> {
        // Half a metre: below the cell of any elevation model, far above rounding.
        const STEP_M: f64 = 0.5;
        let rise = |east: f64, north: f64| -> Option<f64> {
            let ahead = self.height_m(east_m + east, north_m + north)?;
            let behind = self.height_m(east_m - east, north_m - north)?;
            Some((ahead - behind) / (2.0 * STEP_M))
        };
        Some((rise(STEP_M, 0.0)?, rise(0.0, STEP_M)?))
    }

    /// The distance along a unit ray at which it first meets the ground from above; none if it starts at or below it.
    ///
    /// The default walks along the ray, never further than the ground could rise to meet it.
    fn first_hit(&self, origin_m: Vector3<f64>, direction: Vector3<f64>) -> Option<f64> {
        march::first_hit(self, origin_m, direction)
    }
}

/// A horizontal plane of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatGround {
    /// Its up coordinate.
    pub height_m: f64,
}

impl Terrain for FlatGround {
    fn height_m(&self, _east_m: f64, _north_m: f64) -> Option<f64> {
        self.height_m.is_finite().then_some(self.height_m)
    }

    fn slope_max(&self) -> f64 {
        0.0
    }

    fn slope(&self, _east_m: f64, _north_m: f64) -> Option<(f64, f64)> {
        Some((0.0, 0.0))
    }

    fn first_hit(&self, origin_m: Vector3<f64>, direction: Vector3<f64>) -> Option<f64> {
        PlaneGround { height_m: self.height_m, slope_east: 0.0, slope_north: 0.0 }.first_hit(origin_m, direction)
    }
}

/// A tilted plane of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneGround {
    /// Up coordinate at the origin.
    pub height_m: f64,
    /// Rise per metre east.
    pub slope_east: f64,
    /// Rise per metre north.
    pub slope_north: f64,
}

impl Terrain for PlaneGround {
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        let height_m = self.height_m + self.slope_east * east_m + self.slope_north * north_m;
        height_m.is_finite().then_some(height_m)
    }

    fn slope_max(&self) -> f64 {
        self.slope_east.hypot(self.slope_north)
    }

    fn slope(&self, _east_m: f64, _north_m: f64) -> Option<(f64, f64)> {
        Some((self.slope_east, self.slope_north))
    }

    fn first_hit(&self, origin_m: Vector3<f64>, direction: Vector3<f64>) -> Option<f64> {
        let clearance_m = origin_m.z - self.height_m(origin_m.x, origin_m.y)?;
        let closing = self.slope_east * direction.x + self.slope_north * direction.y - direction.z;
        let range_m = clearance_m / closing;
        (clearance_m > 0.0 && closing > 0.0 && range_m.is_finite()).then_some(range_m)
    }
}
