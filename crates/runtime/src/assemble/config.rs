//! How far to look, and how far ahead.

use serde::{Deserialize, Serialize};
use smgeo_geo::LatLon;

/// Larger windows than this, on an edge, are refused: 16 x 16 tiles at 0.5 m/px are four square kilometres.
const WINDOW_TILES_LIMIT: u32 = 16;

/// Sets the window and what is encoded ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fewest tiles on an edge of the search window.
    pub window_tiles_min: u32,
    /// Most tiles on an edge of the search window.
    pub window_tiles_max: u32,
    /// The window reaches this many standard deviations of the ray to each side.
    pub window_sigmas: f64,
    /// The mean height over the ground of what is clicked, metres; heights are taken as distributed exponentially. A ray meets the
    /// ground behind whatever is high, and this says how far before that point the object may be.
    pub object_height_m: f64,
    /// Where to look without telemetry: west, south, east, north, degrees.
    pub area_deg: Option<[f64; 4]>,
    /// Zoom of the map tiles; the one nearest to the package's ground resolution if not given.
    pub zoom: Option<u8>,
    /// Tiles are encoded this far ahead of the gaze, seconds.
    pub ahead_s: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_tiles_min: 3,
            window_tiles_max: 6,
            window_sigmas: 3.0,
            object_height_m: 8.0,
            area_deg: None,
            zoom: None,
            ahead_s: 10.0,
        }
    }
}

impl Config {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        let (min, max) = (self.window_tiles_min, self.window_tiles_max);
        if min == 0 || min > max || max > WINDOW_TILES_LIMIT {
            return Err(format!(
                "assemble.window_tiles_min is {min} and window_tiles_max is {max}; they must rise, from 1 to {WINDOW_TILES_LIMIT}"
            ));
        }
        if !(self.window_sigmas.is_finite() && self.window_sigmas >= 1.0) {
            return Err(format!("assemble.window_sigmas is {}; it must be 1 or more", self.window_sigmas));
        }
        if !(0.0..=100.0).contains(&self.object_height_m) {
            return Err(format!("assemble.object_height_m is {}; it must be from 0 to 100", self.object_height_m));
        }
        if !(0.0..=300.0).contains(&self.ahead_s) {
            return Err(format!("assemble.ahead_s is {}; it must be from 0 to 300", self.ahead_s));
        }
        if let Some([west, south, east, north]) = self.area_deg {
            let sound = LatLon::new(south, west).is_ok() && LatLon::new(north, east).is_ok();
            if !(sound && west < east && south < north) {
                return Err("assemble.area_deg must be west, south, east, north in degrees, in this order".to_owned());
            }
        }
        Ok(())
    }
}
