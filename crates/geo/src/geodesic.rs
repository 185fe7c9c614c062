//! The shortest line between two places on the ellipsoid (Karney 2013, through geographiclib).

use geographiclib_rs::{DirectGeodesic, Geodesic, InverseGeodesic};

use crate::{EarthError, LatLon};

/// A geodesic's length and its directions at both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Along the ellipsoid.
    pub distance_m: f64,
    /// Direction of travel at the start, clockwise from north, -180 to 180.
    pub azimuth_start_deg: f64,
    /// Direction of travel at the end.
    pub azimuth_end_deg: f64,
}

/// The geodesic from one place to another.
pub fn inverse(from: LatLon, to: LatLon) -> Line {
    let (distance_m, azimuth_start_deg, azimuth_end_deg, _arc) =
        Geodesic::wgs84().inverse(from.lat_deg(), from.lon_deg(), to.lat_deg(), to.lon_deg());
    Line { distance_m, azimuth_start_deg, azimuth_end_deg }
}

/// The distance along the ellipsoid in metres.
pub fn distance_m(from: LatLon, to: LatLon) -> f64 {
    inverse(from, to).distance_m
}

/// Where one arrives after so many metres in a direction (clockwise from north), and the direction of travel there in
/// degrees.
pub fn direct(from: LatLon, azimuth_deg: f64, distance_m: f64) -> Result<(LatLon, f64), EarthError> {
    if !(azimuth_deg.is_finite() && distance_m.is_finite()) {
        return Err(EarthError::NotFinite("azimuth or distance"));
    }
    let (lat_deg, lon_deg, azimuth_end_deg): (f64, f64, f64) =
        Geodesic::wgs84().direct(from.lat_deg(), from.lon_deg(), azimuth_deg, distance_m);
    Ok((LatLon::new(lat_deg, lon_deg)?, azimuth_end_deg))
}
