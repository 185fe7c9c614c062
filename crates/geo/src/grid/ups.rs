//! Universal Polar Stereographic: the grid of both poles (Snyder 1987, chapter 21).

use super::Hemisphere;
use super::conformal::{conformal_from_geodetic, geodetic_from_conformal};
use crate::geodetic::{ECCENTRICITY_SQUARED, SEMI_MAJOR_M};
use crate::{EarthError, LatLon};

const SCALE: f64 = 0.994;
const FALSE_M: f64 = 2_000_000.0;
/// UPS overlaps UTM by half a degree.
const LAT_DEG_NORTH_MIN: f64 = 83.5;
const LAT_DEG_SOUTH_MAX: f64 = -79.5;

/// A position on a pole's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ups {
    /// Which pole.
    pub pole: Hemisphere,
    /// Metres, 2 000 000 at the pole; along the meridian 90 E.
    pub easting_m: f64,
    /// Metres, 2 000 000 at the pole; along the meridian 180 in the north, 0 in the south.
    pub northing_m: f64,
}

impl Ups {
    /// The position of a place north of 83.5 N or south of 79.5 S.
    pub fn of(at: LatLon) -> Result<Ups, EarthError> {
        if (LAT_DEG_SOUTH_MAX..LAT_DEG_NORTH_MIN).contains(&at.lat_deg()) {
            return Err(EarthError::OutsideGrid(at.to_string()));
        }
        let pole = Hemisphere::of_latitude(at.lat_deg());
        let conformal = conformal_from_geodetic(at.lat_rad().abs().tan());
        let radius_m = unit_radius_m() / (1.0_f64.hypot(conformal) + conformal);
        // The tangent of 90 degrees is large but not infinite.
        let radius_m = if at.lat_deg().abs() == 90.0 { 0.0 } else { radius_m };
        let (sin_lon, cos_lon) = at.lon_rad().sin_cos();
        let northwards = match pole {
            Hemisphere::North => -1.0,
            Hemisphere::South => 1.0,
        };
        Ok(Ups { pole, easting_m: FALSE_M + radius_m * sin_lon, northing_m: FALSE_M + northwards * radius_m * cos_lon })
    }

    /// The place. At the pole itself the longitude is zero.
    pub fn to_lat_lon(self) -> Result<LatLon, EarthError> {
        let (east_m, north_m) = (self.easting_m - FALSE_M, self.northing_m - FALSE_M);
        let radius_m = east_m.hypot(north_m);
        let lat_deg = if radius_m == 0.0 {
            90.0
        } else {
            let ratio = radius_m / unit_radius_m();
            geodetic_from_conformal(0.5 * (1.0 / ratio - ratio)).atan().to_degrees()
        };
        match self.pole {
            Hemisphere::North => LatLon::new(lat_deg, east_m.atan2(-north_m).to_degrees()),
            Hemisphere::South => LatLon::new(-lat_deg, east_m.atan2(north_m).to_degrees()),
        }
    }
}

/// The distance from the pole, on the grid, of conformal latitude zero.
fn unit_radius_m() -> f64 {
    let eccentricity = ECCENTRICITY_SQUARED.sqrt();
    let both = (1.0 + eccentricity).powf(1.0 + eccentricity) * (1.0 - eccentricity).powf(1.0 - eccentricity);
    2.0 * SCALE * SEMI_MAJOR_M / both.sqrt()
}
