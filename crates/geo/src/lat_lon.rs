//! A place on the WGS84 ellipsoid. The range is checked once, here; after that a `LatLon` is proof.

use std::fmt;

use crate::EarthError;

/// Geodetic latitude and longitude on WGS84, in degrees: latitude -90 to 90, longitude -180 to 180, the latter
/// excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatLon {
    lat_deg: f64,
    lon_deg: f64,
}

impl LatLon {
    /// Checks the latitude and wraps the longitude.
    pub fn new(lat_deg: f64, lon_deg: f64) -> Result<LatLon, EarthError> {
        if !(-90.0..=90.0).contains(&lat_deg) {
            return Err(EarthError::Latitude(lat_deg));
        }
        if !lon_deg.is_finite() {
            return Err(EarthError::Longitude(lon_deg));
        }
        Ok(LatLon { lat_deg, lon_deg: wrapped_deg(lon_deg) })
    }

    /// Makes one of values that are in range but for rounding: clamps the latitude, wraps the longitude.
    pub(crate) fn clamped(lat_deg: f64, lon_deg: f64) -> LatLon {
        debug_assert!(lat_deg.is_finite() && lon_deg.is_finite());
        LatLon { lat_deg: lat_deg.clamp(-90.0, 90.0), lon_deg: wrapped_deg(lon_deg) }
    }

    /// Latitude in degrees, north positive.
    pub fn lat_deg(self) -> f64 {
        self.lat_deg
    }

    /// Longitude in degrees, east positive.
    pub fn lon_deg(self) -> f64 {
        self.lon_deg
    }

    /// Latitude in radians.
    pub fn lat_rad(self) -> f64 {
        self.lat_deg.to_radians()
    }

    /// Longitude in radians.
    pub fn lon_rad(self) -> f64 {
        self.lon_deg.to_radians()
    }
}

impl fmt::Display for LatLon {
    /// Latitude and longitude in degrees with seven decimals, which is a centimetre.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.7}, {:.7}", self.lat_deg, self.lon_deg)
    }
}

/// Wraps an angle to -180 (included) to 180 (excluded) degrees. What is in range passes unchanged to the last bit.
pub(crate) fn wrapped_deg(angle_deg: f64) -> f64 {
    if (-180.0..180.0).contains(&angle_deg) {
        return angle_deg;
    }
    let wrapped = (angle_deg + 180.0).rem_euclid(360.0) - 180.0;
    if wrapped >= 180.0 { -180.0 } else { wrapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longitude_is_wrapped_and_one_in_range_is_untouched() {
        for (given, kept) in [(180.0, -180.0), (-180.0, -180.0), (540.0, -180.0), (190.0, -170.0), (-190.0, 170.0)] {
            assert_eq!(LatLon::new(0.0, given).unwrap().lon_deg(), kept);
        }
        assert_eq!(LatLon::new(0.0, 0.1 + 0.2).unwrap().lon_deg(), 0.1 + 0.2);
        assert!(LatLon::new(0.0, -180.0 - 1e-14).unwrap().lon_deg() < 180.0);
    }

    #[test]
    fn a_place_off_the_earth_is_refused() {
        for (lat, lon) in [(90.1, 0.0), (-91.0, 0.0), (f64::NAN, 0.0), (0.0, f64::NAN), (0.0, f64::INFINITY)] {
            assert!(LatLon::new(lat, lon).is_err(), "{lat} {lon}");
        }
    }
}
