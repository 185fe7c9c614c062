//! A tangent frame: metres east, north and up of an origin. The drone's surroundings are computed in one.
//!
//! Up is the normal of the ellipsoid *at the origin*; a surface of equal height falls away below the tangent plane, by
//! 8 cm at 1 km and 2 m at 5 km.

use nalgebra::{Matrix3, Vector3};

use crate::{EarthError, Geodetic, LatLon};

/// A right-handed east-north-up frame, tangent to WGS84 at its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalFrame {
    origin: Geodetic,
    origin_ecef: Vector3<f64>,
    ned_from_ecef: Matrix3<f64>,
}

impl LocalFrame {
    /// The frame at a point.
    pub fn new(origin: Geodetic) -> LocalFrame {
        LocalFrame { origin, origin_ecef: origin.to_ecef(), ned_from_ecef: ned_from_ecef(origin.at) }
    }

    /// The point at east, north, up zero.
    pub fn origin(&self) -> Geodetic {
        self.origin
    }

    /// Rotates Earth-centred vectors into north, east, down: the rows are those directions.
    pub fn ned_from_ecef(&self) -> Matrix3<f64> {
        self.ned_from_ecef
    }

    /// Rotates north, east, down into Earth-centred axes.
    pub fn ecef_from_ned(&self) -> Matrix3<f64> {
        self.ned_from_ecef.transpose()
    }

    /// Metres east, north and up of the origin.
    pub fn enu_from(&self, point: Geodetic) -> Vector3<f64> {
        swap_ned_enu(self.ned_from_ecef * (point.to_ecef() - self.origin_ecef))
    }

    /// The point so many metres east, north and up of the origin. Refuses what is not finite.
    pub fn geodetic_from(&self, enu_m: Vector3<f64>) -> Result<Geodetic, EarthError> {
        Geodetic::from_ecef(self.origin_ecef + self.ecef_from_ned() * swap_ned_enu(enu_m))
    }

    /// Azimuth, elevation and range of a point as seen from the origin.
    pub fn look_at(&self, point: Geodetic) -> Look {
        let enu = self.enu_from(point);
        Look {
            azimuth_rad: enu.x.atan2(enu.y).rem_euclid(std::f64::consts::TAU),
            elevation_rad: enu.z.atan2(enu.x.hypot(enu.y)),
            range_m: enu.norm(),
        }
    }

    /// Turns vectors of another frame's axes (its east, north, up) into this frame's.
    pub fn enu_from_enu_of(&self, other: &LocalFrame) -> Matrix3<f64> {
        let swap = Matrix3::new(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0);
        swap * self.ned_from_ecef * other.ecef_from_ned() * swap
    }
}

/// A direction and a distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Clockwise from north, 0 to 2 pi.
    pub azimuth_rad: f64,
    /// Above the tangent plane.
    pub elevation_rad: f64,
    /// Straight distance.
    pub range_m: f64,
}

/// Exchanges the two orders of axes: (north, east, down) and (east, north, up). It is its own inverse.
pub fn swap_ned_enu(vector: Vector3<f64>) -> Vector3<f64> {
    Vector3::new(vector.y, vector.x, -vector.z)
}

/// The rotation from Earth-centred axes to north, east, down at a place. At a pole the longitude given counts.
pub fn ned_from_ecef(at: LatLon) -> Matrix3<f64> {
    let (sin_lat, cos_lat) = at.lat_rad().sin_cos();
    let (sin_lon, cos_lon) = at.lon_rad().sin_cos();
    Matrix3::new(
        -sin_lat * cos_lon,
        -sin_lat * sin_lon,
        cos_lat,
        -sin_lon,
        cos_lon,
        0.0,
        -cos_lat * cos_lon,
        -cos_lat * sin_lon,
        -sin_lat,
    )
}
