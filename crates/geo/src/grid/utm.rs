//! Universal Transverse Mercator: sixty zones of six degrees, with Norway's and Svalbard's exceptions.

use super::Hemisphere;
use super::transverse_mercator::{project, unproject};
use crate::lat_lon::wrapped_deg;
use crate::{EarthError, LatLon};

const SCALE: f64 = 0.9996;
const FALSE_EASTING_M: f64 = 500_000.0;
const FALSE_NORTHING_SOUTH_M: f64 = 10_000_000.0;
/// Zones are defined between these latitudes.
const LAT_DEG_MIN: f64 = -80.0;
const LAT_DEG_MAX: f64 = 84.0;
/// The series holds this far from the central meridian.
const LON_DEG_FROM_CENTRE_MAX: f64 = 35.0;

/// A position in a UTM zone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Utm {
    /// 1 to 60.
    pub zone: u8,
    /// From which side the northing counts.
    pub hemisphere: Hemisphere,
    /// Metres, 500 000 on the central meridian.
    pub easting_m: f64,
    /// Metres from the equator; from 10 000 000 down in the south.
    pub northing_m: f64,
}

/// How a grid lies at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridNorth {
    /// Grid north, clockwise from true north.
    pub convergence_rad: f64,
    /// Grid length over true length.
    pub scale: f64,
}

impl Utm {
    /// The position in the zone that is the place's own: 80 S to 84 N.
    pub fn of(at: LatLon) -> Result<Utm, EarthError> {
        if !(LAT_DEG_MIN..=LAT_DEG_MAX).contains(&at.lat_deg()) {
            return Err(EarthError::OutsideGrid(at.to_string()));
        }
        Utm::in_zone(at, zone_of(at))
    }

    /// The position in a zone of choice, up to 35 degrees from its central meridian: neighbours share one grid.
    pub fn in_zone(at: LatLon, zone: u8) -> Result<Utm, EarthError> {
        let east_deg = from_centre_deg(at, zone)?;
        let plane = project(at.lat_rad(), east_deg.to_radians());
        let hemisphere = Hemisphere::of_latitude(at.lat_deg());
        Ok(Utm {
            zone,
            hemisphere,
            easting_m: SCALE * plane.easting_m + FALSE_EASTING_M,
            northing_m: SCALE * plane.northing_m + false_northing_m(hemisphere),
        })
    }

    /// The direction and scale of a zone's grid at a place.
    pub fn grid_north(at: LatLon, zone: u8) -> Result<GridNorth, EarthError> {
        let plane = project(at.lat_rad(), from_centre_deg(at, zone)?.to_radians());
        Ok(GridNorth { convergence_rad: plane.convergence_rad, scale: SCALE * plane.scale })
    }

    /// The place.
    pub fn to_lat_lon(self) -> Result<LatLon, EarthError> {
        let centre_deg = centre_deg(self.zone)?;
        let (lat_rad, east_rad) = unproject(
            (self.easting_m - FALSE_EASTING_M) / SCALE,
            (self.northing_m - false_northing_m(self.hemisphere)) / SCALE,
        );
        LatLon::new(lat_rad.to_degrees(), centre_deg + east_rad.to_degrees())
    }
}

/// The zone a place belongs to. An edge belongs to the zone east of it.
pub(super) fn zone_of(at: LatLon) -> u8 {
    let (lat, lon) = (at.lat_deg(), at.lon_deg());
    if (56.0..64.0).contains(&lat) && (3.0..12.0).contains(&lon) {
        return 32;
    }
    if (72.0..=84.0).contains(&lat) && (0.0..42.0).contains(&lon) {
        return match lon {
            ..9.0 => 31,
            ..21.0 => 33,
            ..33.0 => 35,
            _ => 37,
        };
    }
    ((lon + 180.0) / 6.0) as u8 + 1
}

fn centre_deg(zone: u8) -> Result<f64, EarthError> {
    if (1..=60).contains(&zone) { Ok(f64::from(zone) * 6.0 - 183.0) } else { Err(EarthError::Zone(zone)) }
}

fn from_centre_deg(at: LatLon, zone: u8) -> Result<f64, EarthError> {
    let east_deg = wrapped_deg(at.lon_deg() - centre_deg(zone)?);
    if east_deg.abs() > LON_DEG_FROM_CENTRE_MAX {
        return Err(EarthError::OutsideGrid(at.to_string()));
    }
    Ok(east_deg)
}

fn false_northing_m(hemisphere: Hemisphere) -> f64 {
    match hemisphere {
        Hemisphere::North => 0.0,
        Hemisphere::South => FALSE_NORTHING_SOUTH_M,
    }
}
