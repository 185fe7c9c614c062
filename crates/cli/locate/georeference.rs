//! Where the pixels of a still reference are on the Earth: unknown, at a known scale, or between known edges.

use std::fmt;

use anyhow::{Context, ensure};
use serde::Serialize;
use smgeo_engine::Located;
use smgeo_geo::{Covariance2, LatLon, geodesic};

/// What is known about the ground under a reference picture.
pub enum Georeference {
    /// Nothing.
    Unknown,
    /// Its scale alone; `size_px` is its width and height.
    Scale { gsd_m: f64, size_px: [f64; 2] },
    /// Its edges.
    Bounds(Bounds),
}

/// A north-up picture between four edges. Latitude is taken as linear in the rows; on a web-Mercator picture 1 km high that
/// moves a point in its middle by some centimetres.
pub struct Bounds {
    west_deg: f64,
    south_deg: f64,
    east_deg: f64,
    north_deg: f64,
    size_px: [f64; 2],
    /// Metres a pixel, to the east and to the south, in the middle.
    metres_per_px: [f64; 2],
}

/// A position on the ground.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Place {
    /// Latitude and longitude in WGS84 degrees, and the radius of the circle that holds the object with 90 %.
    Earth { lat_deg: f64, lon_deg: f64, ce90_m: f64 },
    /// Metres east and north of the middle of the picture, if north is up.
    Offset { east_m: f64, north_m: f64, ce90_m: f64 },
}

impl Bounds {
    /// Bounds from west, south, east and north edges in degrees and the picture's width and height.
    pub fn new([west, south, east, north]: [f64; 4], size_px: [f64; 2]) -> anyhow::Result<Bounds> {
        ensure!(west < east, "west {west} must be less than east {east}; a picture across the date line must be split");
        ensure!(south < north, "south {south} must be less than north {north}; the order is west, south, east, north");
        ensure!(
            (-180.0..=180.0).contains(&west) && east <= 180.0,
            "longitudes {west} and {east} must be within 180 degrees"
        );
        ensure!(
            (-90.0..=90.0).contains(&south) && north <= 90.0,
            "latitudes {south} and {north} must be within 90 degrees"
        );
        let (lat, lon) = ((south + north) / 2.0, (west + east) / 2.0);
        let length_m = |from: (f64, f64), to: (f64, f64)| -> anyhow::Result<f64> {
            Ok(geodesic::distance_m(LatLon::new(from.0, from.1)?, LatLon::new(to.0, to.1)?))
        };
        let metres_per_px =
            [2.0 * length_m((lat, lon), (lat, east))? / size_px[0], length_m((south, lon), (north, lon))? / size_px[1]];
        Ok(Bounds { west_deg: west, south_deg: south, east_deg: east, north_deg: north, size_px, metres_per_px })
    }

    fn at(&self, [x, y]: [f64; 2]) -> anyhow::Result<LatLon> {
        let lon_deg = self.west_deg + (self.east_deg - self.west_deg) * x / self.size_px[0];
        let lat_deg = self.north_deg - (self.north_deg - self.south_deg) * y / self.size_px[1];
        LatLon::new(lat_deg, lon_deg).context("the object lies beyond a pole")
    }
}

impl Georeference {
    /// Ground resolution, m/px; the geometric mean of both directions.
    pub fn gsd_m(&self) -> Option<f64> {
        match self {
            Georeference::Unknown => None,
            Georeference::Scale { gsd_m, .. } => Some(*gsd_m),
            Georeference::Bounds(bounds) => Some((bounds.metres_per_px[0] * bounds.metres_per_px[1]).sqrt()),
        }
    }

    /// Where on the ground the object is.
    pub fn place(&self, located: &Located) -> anyhow::Result<Option<Place>> {
        let [x, y] = located.mean_px;
        let [[xx, xy], [_, yy]] = located.covariance_px2;
        let ce90_m = |[across, down]: [f64; 2]| -> anyhow::Result<f64> {
            // Rows run south, so the covariance of north and east changes its sign.
            let covariance = Covariance2::new(yy * down * down, -xy * across * down, xx * across * across)?;
            Ok(covariance.circular_error_m(0.9))
        };
        Ok(match self {
            Georeference::Unknown => None,
            Georeference::Scale { gsd_m, size_px } => Some(Place::Offset {
                east_m: (x - size_px[0] / 2.0) * gsd_m,
                north_m: (size_px[1] / 2.0 - y) * gsd_m,
                ce90_m: ce90_m([*gsd_m, *gsd_m])?,
            }),
            Georeference::Bounds(bounds) => {
                let at = bounds.at([x, y])?;
                let ce90_m = ce90_m(bounds.metres_per_px)?;
                Some(Place::Earth { lat_deg: at.lat_deg(), lon_deg: at.lon_deg(), ce90_m })
            }
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Earth { lat_deg, lon_deg, ce90_m } => {
                write!(f, "ground    {lat_deg:.7}, {lon_deg:.7}   CE90 {ce90_m:.1} m")
            }
            Place::Offset { east_m, north_m, ce90_m } => {
                write!(f, "ground    {east_m:+.1} m east, {north_m:+.1} m north of the middle   CE90 {ce90_m:.1} m")
            }
        }
    }
}
