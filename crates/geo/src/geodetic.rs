//! A point in space: a place and a height above the ellipsoid, and the same point in Earth-centred axes (ECEF).

use nalgebra::Vector3;

use crate::{Altitude, EarthError, Ellipsoid, LatLon, Msl};

/// Semi-major axis of WGS84 in metres.
pub const SEMI_MAJOR_M: f64 = 6_378_137.0;
/// Flattening of WGS84.
pub const FLATTENING: f64 = 1.0 / 298.257_223_563;
/// Semi-minor axis of WGS84 in metres.
pub const SEMI_MINOR_M: f64 = SEMI_MAJOR_M * (1.0 - FLATTENING);
/// First eccentricity squared.
pub const ECCENTRICITY_SQUARED: f64 = FLATTENING * (2.0 - FLATTENING);

/// Nearer to the centre than this a point may lie inside the evolute of the meridian, where latitude is not unique.
const CENTRE_M: f64 = 100_000.0;
/// Bowring's step gains six digits or more near the Earth; geostationary height needs three.
const STEPS_MAX: usize = 12;

/// A place and its height above the ellipsoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geodetic {
    /// Where on the ellipsoid.
    pub at: LatLon,
    /// How high above it.
    pub height: Altitude<Ellipsoid>,
}

impl Geodetic {
    /// Checks a position from outside: degrees, and metres above the WGS84 ellipsoid.
    pub fn new(lat_deg: f64, lon_deg: f64, height_m: f64) -> Result<Geodetic, EarthError> {
        Ok(Geodetic { at: LatLon::new(lat_deg, lon_deg)?, height: Altitude::new(height_m)? })
    }

    /// A place at a height above mean sea level.
    pub fn from_msl(at: LatLon, altitude: Altitude<Msl>) -> Geodetic {
        Geodetic { at, height: altitude.to_ellipsoid(at) }
    }

    /// Earth-centred axes in metres: x to latitude 0 longitude 0, z to the north pole.
    pub fn to_ecef(self) -> Vector3<f64> {
        let (sin_lat, cos_lat) = self.at.lat_rad().sin_cos();
        let (sin_lon, cos_lon) = self.at.lon_rad().sin_cos();
        let curvature_m = SEMI_MAJOR_M / (1.0 - ECCENTRICITY_SQUARED * sin_lat * sin_lat).sqrt();
        let height_m = self.height.m();
        let axis_m = (curvature_m + height_m) * cos_lat;
        Vector3::new(
            axis_m * cos_lon,
            axis_m * sin_lon,
            (curvature_m * (1.0 - ECCENTRICITY_SQUARED) + height_m) * sin_lat,
        )
    }

    /// The point of Earth-centred axes in metres (Bowring 1976, iterated until it stands still).
    pub fn from_ecef(ecef: Vector3<f64>) -> Result<Geodetic, EarthError> {
        if !ecef.iter().all(|part| part.is_finite()) {
            return Err(EarthError::NotFinite("ecef position"));
        }
        let centre_m = ecef.norm();
        if centre_m < CENTRE_M {
            return Err(EarthError::NearCentre(centre_m));
        }
        let axis_m = ecef.x.hypot(ecef.y);
        let (sin_lat, cos_lat) = latitude(axis_m, ecef.z);
        let height_m = axis_m * cos_lat + ecef.z * sin_lat
            - SEMI_MAJOR_M * (1.0 - ECCENTRICITY_SQUARED * sin_lat * sin_lat).sqrt();
        let at = LatLon::clamped(sin_lat.atan2(cos_lat).to_degrees(), ecef.y.atan2(ecef.x).to_degrees());
        Ok(Geodetic { at, height: Altitude::from_m(height_m) })
    }
}

/// Sine and cosine of the geodetic latitude of a point so far from the axis and so far north of the equator.
fn latitude(axis_m: f64, z_m: f64) -> (f64, f64) {
    let second_eccentricity_squared = ECCENTRICITY_SQUARED / (1.0 - ECCENTRICITY_SQUARED);
    // Reduced latitude, as its sine and cosine up to a common factor.
    let (mut sin_reduced, mut cos_reduced) = unit(SEMI_MAJOR_M * z_m, SEMI_MINOR_M * axis_m);
    let mut geodetic = (0.0, 1.0);
    for _ in 0..STEPS_MAX {
        let next = unit(
            z_m + second_eccentricity_squared * SEMI_MINOR_M * sin_reduced.powi(3),
            axis_m - ECCENTRICITY_SQUARED * SEMI_MAJOR_M * cos_reduced.powi(3),
        );
        let moved = (next.0 - geodetic.0).abs() + (next.1 - geodetic.1).abs();
        geodetic = next;
        if moved < 1e-17 {
            break;
        }
        (sin_reduced, cos_reduced) = unit((1.0 - FLATTENING) * geodetic.0, geodetic.1);
    }
    geodetic
}

/// Scales a pair to length one.
fn unit(sine: f64, cosine: f64) -> (f64, f64) {
    let length = sine.hypot(cosine);
    (sine / length, cosine / length)
}
