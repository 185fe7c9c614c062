//! Which tiles to search, and which will be needed next.

use std::collections::HashSet;
use std::sync::Arc;

use nalgebra::Vector3;
use smgeo_engine::TILE_PX;
use smgeo_geo::{Altitude, Geodetic, LatLon, LocalFrame, TileId, TileWindow, mercator};
use smgeo_messages::RayFix;

use super::Config;

/// The object itself, and as much around it as the network looks at, metres to each side.
const SURROUNDINGS_M: f64 = 40.0;

/// Tiles asked for ahead at one time at most: a picture of 1 km square at 0.6 m a pixel with its windows. More could not be
/// encoded before the flight has changed.
const AHEAD_TILES_MAX: usize = 192;

/// A picture whose windows are more tiles wide shows no ground that could be encoded ahead.
const AHEAD_SIDE_TILES_MAX: u32 = 64;

/// Chooses windows at one zoom.
pub struct Windows {
    zoom: u8,
    tiles_min: u32,
    tiles_max: u32,
    sigmas: f64,
    area: Option<TileWindow>,
}

impl Windows {
    /// Takes what it needs of the settings; an area larger than the largest window is cut to its middle.
    pub fn new(config: &Config, zoom: u8) -> Self {
        let area = config.area_deg.and_then(|[west, south, east, north]| {
            let corners = [LatLon::new(south, west).ok()?, LatLon::new(north, east).ok()?];
            let whole = TileWindow::holding(&corners, zoom)?;
            let (columns, rows) =
                (whole.columns().min(config.window_tiles_max), whole.rows().min(config.window_tiles_max));
            TileWindow::around(whole.centre(), zoom, columns, rows).ok()
        });
        Self {
            zoom,
            tiles_min: config.window_tiles_min,
            tiles_max: config.window_tiles_max,
            sigmas: config.window_sigmas,
            area,
        }
    }

    /// The zoom of the tiles.
    pub fn zoom(&self) -> u8 {
        self.zoom
    }

    /// The window for a target without a ray.
    pub fn area(&self) -> Option<TileWindow> {
        self.area
    }

    /// The window around a ray's answer; refuses where the ray says less than the largest window holds.
    pub fn around(&self, ray: &RayFix) -> Result<TileWindow, &'static str> {
        let scale = mercator::metres_per_px(ray.at, self.zoom);
        let covariance = ray.spread.of_object().map_err(|_| "its ray is no number")?;
        let reach_m = self.sigmas * covariance.ellipse().semi_major_m + SURROUNDINGS_M;
        let reach_px = reach_m / scale.east.min(scale.north);
        // The ray may fall anywhere in its tile, so one tile more than the reach covers it to both sides.
        let tiles = (2.0 * reach_px / TILE_PX as f64).ceil() + 1.0;
        if !tiles.is_finite() || tiles > f64::from(self.tiles_max) + 1.0 {
            return Err("its ray is too uncertain for the largest search window");
        }
        let tiles = (tiles as u32).clamp(self.tiles_min, self.tiles_max);
        TileWindow::around(ray.at, self.zoom, tiles, tiles).map_err(|_| "its search window leaves the map")
    }

    /// The tiles that prompts will need: those of windows around any place in the picture, and around the gaze, now and where the
    /// flight takes them; nearest in time first, then nearest to the gaze.
    pub fn ahead(
        &self,
        gaze: &RayFix,
        footprint: &[LatLon],
        velocity_ned_mps: [f64; 3],
        ahead_s: f64,
    ) -> Arc<[TileId]> {
        let frame = LocalFrame::new(Geodetic { at: gaze.at, height: Altitude::from_m(0.0) });
        let [north_mps, east_mps, _] = velocity_ned_mps;
        let edge = self.around(gaze).map_or(self.tiles_max, |window| window.columns());
        let mut seen = HashSet::new();
        let mut tiles = Vec::new();
        for step in 0..=2 {
            let after_s = ahead_s * f64::from(step) / 2.0;
            let shift = Vector3::new(east_mps * after_s, north_mps * after_s, 0.0);
            let moved = |place: LatLon| {
                let here = frame.enu_from(Geodetic { at: place, height: Altitude::from_m(0.0) });
                Some(frame.geodetic_from(here + shift).ok()?.at)
            };
            let Some(centre) = moved(gaze.at) else { continue };
            let places: Vec<LatLon> = footprint.iter().filter_map(|place| moved(*place)).collect();
            let around = TileWindow::around(centre, self.zoom, self.tiles_max, self.tiles_max).ok();
            let reached = TileWindow::holding(&places, self.zoom).and_then(|window| widened(window, edge / 2 + 1));
            // At 180 degrees the window that holds all corners is the way around the Earth.
            let reached = reached.filter(|window| window.columns().max(window.rows()) <= AHEAD_SIDE_TILES_MAX);
            let windows = around.iter().chain(&reached);
            let mut fresh: Vec<TileId> =
                windows.flat_map(TileWindow::tiles).filter(|tile| seen.insert(*tile)).collect();
            let (x, y) = mercator::world_px(centre, self.zoom);
            let half = TILE_PX as f64 / 2.0;
            let distance = |tile: &TileId| {
                let (left, top) = tile.origin_px();
                (left + half - x).hypot(top + half - y)
            };
            fresh.sort_by(|one, other| distance(one).total_cmp(&distance(other)));
            tiles.extend(fresh);
        }
        tiles.truncate(AHEAD_TILES_MAX);
        tiles.into()
    }
}

/// Returns the window with so many tiles more on each side.
fn widened(window: TileWindow, by: u32) -> Option<TileWindow> {
    let by_tiles = i64::from(by);
    let corner = window.north_west().neighbour(-by_tiles, -by_tiles)?;
    TileWindow::new(corner, window.columns() + 2 * by, window.rows() + 2 * by).ok()
}

#[cfg(test)]
mod tests {
    use nalgebra::Vector2;
    use smgeo_geo::{Covariance2, RaySpread};

    use super::*;

    #[test]
    fn over_the_edge_of_the_map_only_what_lies_around_the_gaze_is_encoded_ahead() {
        let covariance = Covariance2::isotropic(10.0).unwrap();
        let spread = RaySpread { covariance, overshoot_ne: Vector2::zeros(), height_mean_m: 8.0 };
        let at = |lon_deg: f64| LatLon::new(-17.0, lon_deg).unwrap();
        let windows = Windows::new(&Config::default(), 18);
        let count = |middle_deg: f64, edges_deg: [f64; 2]| {
            let gaze = RayFix { at: at(middle_deg), spread, range_m: 150.0 };
            windows.ahead(&gaze, &edges_deg.map(at), [0.0; 3], 0.0).len()
        };
        let around = count(179.999, [179.998, -179.999]);
        assert!((1..=count(178.0, [177.999, 178.001])).contains(&around), "{around}");
    }
}
