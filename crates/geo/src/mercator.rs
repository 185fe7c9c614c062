//! Web Mercator: WGS84 angles on a sphere of the ellipsoid's radius. World pixels run right and down from 180 W, 85.05
//! N.
//!
//! The projection is spherical but the Earth is not: a pixel's true size differs from the usual `cos(lat)` figure, and
//! differently north and east, by up to 0.7 %. [`metres_per_px`] gives the true sizes.

use std::f64::consts::PI;

use crate::geodetic::{ECCENTRICITY_SQUARED, SEMI_MAJOR_M};
use crate::{Covariance2, EarthError, LatLon, TILE_PX};

/// Where the square world ends: atan(sinh(pi)), in degrees.
pub const LAT_MAX_DEG: f64 = 85.051_128_779_806_6;
/// Half the width of the world in Mercator metres.
pub const HALF_WORLD_M: f64 = PI * SEMI_MAJOR_M;

/// The true size on the ground of a step of one world pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetresPerPx {
    /// Of a step to the right.
    pub east: f64,
    /// Of a step up.
    pub north: f64,
}

impl MetresPerPx {
    /// The covariance on the ground of one in pixels (x right, y down): variance of x, covariance, variance of y.
    pub fn covariance(self, xx_px2: f64, xy_px2: f64, yy_px2: f64) -> Result<Covariance2, EarthError> {
        Covariance2::new(
            yy_px2 * self.north * self.north,
            -xy_px2 * self.north * self.east,
            xx_px2 * self.east * self.east,
        )
    }
}

/// The side of the world in pixels at a zoom.
pub fn world_side_px(z: u8) -> f64 {
    f64::from(TILE_PX) * f64::from(z).exp2()
}

/// World pixel of a place. Latitudes beyond the square world are held to its edge.
pub fn world_px(at: LatLon, z: u8) -> (f64, f64) {
    world_px_unwrapped(at.lat_deg(), at.lon_deg(), z)
}

/// World pixel of a latitude and a longitude that is not wrapped: 180 is the right edge, and beyond lies the next turn.
pub fn world_px_unwrapped(lat_deg: f64, lon_deg: f64, z: u8) -> (f64, f64) {
    let side_px = world_side_px(z);
    let tangent = lat_deg.clamp(-LAT_MAX_DEG, LAT_MAX_DEG).to_radians().tan();
    let down = 0.5 - tangent.asinh() / (2.0 * PI);
    ((lon_deg + 180.0) / 360.0 * side_px, down.clamp(0.0, 1.0) * side_px)
}

/// The place of a world pixel; x beyond the edges continues around the Earth, y is held to the world.
///
/// None of a pixel that is not a number: such a pixel is no place.
pub fn lat_lon(x_px: f64, y_px: f64, z: u8) -> Option<LatLon> {
    (x_px.is_finite() && y_px.is_finite()).then(|| place(x_px, y_px, z))
}

/// [`lat_lon`] of a pixel that is known to be a number.
pub(crate) fn place(x_px: f64, y_px: f64, z: u8) -> LatLon {
    let side_px = world_side_px(z);
    let lat_deg = latitude_deg((y_px / side_px).clamp(0.0, 1.0));
    LatLon::clamped(lat_deg, x_px / side_px * 360.0 - 180.0)
}

/// The latitude of a fraction of the world's height, counted from the top.
pub(crate) fn latitude_deg(down: f64) -> f64 {
    (PI * (1.0 - 2.0 * down)).sinh().atan().to_degrees()
}

/// The place's Mercator coordinates (EPSG:3857) in metres, east and north of (0, 0).
pub fn metres(at: LatLon) -> (f64, f64) {
    let (x, y) = world_px(at, 0);
    let metres_per_px = 2.0 * HALF_WORLD_M / f64::from(TILE_PX);
    (x * metres_per_px - HALF_WORLD_M, HALF_WORLD_M - y * metres_per_px)
}

/// The usual, spherical ground resolution in metres per pixel: `cos(lat)` times the equator's.
pub fn ground_resolution_m_px(at: LatLon, z: u8) -> f64 {
    let lat_rad = at.lat_deg().clamp(-LAT_MAX_DEG, LAT_MAX_DEG).to_radians();
    lat_rad.cos() * 2.0 * HALF_WORLD_M / world_side_px(z)
}

/// The true size of a world pixel at a place, on the ellipsoid (Snyder 1987, p. 43: radii of curvature against the
/// map's scale).
pub fn metres_per_px(at: LatLon, z: u8) -> MetresPerPx {
    let resolution = ground_resolution_m_px(at, z);
    let sine = at.lat_deg().clamp(-LAT_MAX_DEG, LAT_MAX_DEG).to_radians().sin();
    let flat = 1.0 - ECCENTRICITY_SQUARED * sine * sine;
    MetresPerPx {
        east: resolution / flat.sqrt(),
        north: resolution * (1.0 - ECCENTRICITY_SQUARED) / (flat * flat.sqrt()),
    }
}
