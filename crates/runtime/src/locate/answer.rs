//! From the locator's maps to a place on the Earth with a covariance.

use std::sync::Arc;

use nalgebra::{Matrix2, Vector2};
use smgeo_engine::{Located, Maps, Posterior, decode::decode_posterior};
use smgeo_geo::{Covariance2, EarthError, LatLon, Pixel, TileId, TileWindow};
use smgeo_messages::{Found, Outcome, Query, RayFix};

use super::Config;

/// An object that is more probably not in the window than in it was not found.
const ABSENT_MAX: f64 = 0.5;

/// With more than this much of the prior over tiles that the map does not have, the question was not asked.
const UNMAPPED_MAX: f64 = 0.25;

/// Reads maps with one package's numbers.
pub struct Reading<'a> {
    /// The search's settings.
    pub config: &'a Config,
    /// Pixels a cell.
    pub stride_px: usize,
    /// Divisor of the logits.
    pub temperature: f32,
}

impl Reading<'_> {
    /// Says what the network made of `query`, whose window lacks the tiles `missing`, of which `unread` cannot be read.
    pub fn outcome(&self, query: &Query, maps: &Maps, missing: &[TileId], unread: usize) -> Outcome {
        let of = query.window.tiles().count();
        let unmapped = self.unmapped(query, missing);
        if unmapped > UNMAPPED_MAX {
            return Outcome::NoMap { missing: missing.len(), unread, of };
        }
        let Ok(posterior) = Posterior::new(maps, self.stride_px, self.temperature) else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let posterior = match &query.ray {
            Some(ray) => posterior.with_prior(self.prior(query, ray)),
            None => posterior,
        };
        let absent = f64::from(posterior.absent());
        match decode_posterior(posterior, maps) {
            Err(_) => Outcome::NotFound("the network gave no usable answer"),
            Ok(_) if absent > ABSENT_MAX => Outcome::Against("it is not in the search window"),
            Ok(located) => self.found(query, located, absent, unmapped),
        }
    }

    fn found(&self, query: &Query, located: Located, absent: f64, unmapped: f64) -> Outcome {
        let place = |[x, y]: [f64; 2]| query.window.lat_lon(Pixel::new(x, y));
        let [left, top, right, bottom] = located.box_xyxy_px.map(f64::from);
        let (Some(at), Some(north_west), Some(south_east)) =
            (place(located.mean_px), place([left, top]), place([right, bottom]))
        else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let Ok(covariance) = self.covariance(query, located.covariance_px2) else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let widening = self.config.prior_widening;
        if query.ray.is_some_and(|ray| ray.disagrees(at, covariance, widening)) {
            return Outcome::Against("map and ray disagree");
        }
        let scale = query.window.metres_per_px();
        let size_m = ((right - left) * scale.east).max((bottom - top) * scale.north);
        let (Ok(shared), Ok(click)) = (self.shared(query, at, covariance, size_m), self.click(query)) else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        Outcome::Found(Box::new(Found {
            at,
            covariance,
            shared,
            click,
            bounds_deg: [north_west.lon_deg(), south_east.lat_deg(), south_east.lon_deg(), north_west.lat_deg()],
            // It may as well be where the map has no tiles.
            score: f64::from(located.mass) * (1.0 - unmapped),
            absent,
            window: query.window,
            posterior: Arc::new(located.posterior),
        }))
    }

    /// Turns pixels right and down into metres north and east.
    fn covariance(&self, query: &Query, px2: [[f64; 2]; 2]) -> Result<Covariance2, EarthError> {
        let scale = query.window.metres_per_px();
        Covariance2::new(
            px2[1][1] * scale.north.powi(2),
            -px2[0][1] * scale.north * scale.east,
            px2[0][0] * scale.east.powi(2),
        )
    }

    /// Returns what the followed point is off the clicked one on the ground: more along the ray, the flatter it is.
    fn click(&self, query: &Query) -> Result<Covariance2, EarthError> {
        let along = query.ray.map_or_else(Vector2::zeros, |ray| ray.spread.overshoot_ne);
        Covariance2::from_matrix((Matrix2::identity() + along * along.transpose()) * query.pixel_sigma_m.powi(2))
    }

    /// Returns what looking longer does not mend: relief and pose distort the crop, what is high leans over in it, and the middle of
    /// something large is not where it was clicked.
    fn shared(
        &self,
        query: &Query,
        at: LatLon,
        covariance: Covariance2,
        size_m: f64,
    ) -> Result<Covariance2, EarthError> {
        let Config { rectification_sigma_m, lean_share, size_share, .. } = self.config;
        let around = Covariance2::isotropic(rectification_sigma_m.hypot(size_share * size_m))?;
        let Some(ray) = query.ray else { return Ok(around) };
        let (height_m, _) = ray.height_m(at, covariance);
        let lean_m = ray.spread.overshoot_ne * (lean_share * height_m);
        around.plus(Covariance2::from_matrix(lean_m * lean_m.transpose())?)
    }

    /// Returns the ray's density over the window's pixels, 1 at its peak: a widened ray on a floor of "wrong altogether".
    fn prior(&self, query: &Query, ray: &RayFix) -> impl Fn(f64, f64) -> f64 + use<> {
        let centre = query.window.pixel(ray.at);
        let scale = query.window.metres_per_px();
        // A prior that cannot be inverted says nothing: it is the same everywhere.
        let likeness = ray.spread.likeness(self.config.prior_widening);
        let floor = self.config.prior_outlier;
        move |x, y| {
            let offset_ne_m = Vector2::new((centre.y - y) * scale.north, (x - centre.x) * scale.east);
            let by_ray = likeness.as_ref().map_or(1.0, |likeness| likeness(offset_ne_m));
            (1.0 - floor) * by_ray + floor
        }
    }

    /// Returns how much of the prior, or of the window where there is none, lies over missing tiles, 0 to 1.
    fn unmapped(&self, query: &Query, missing: &[TileId]) -> f64 {
        if missing.is_empty() {
            return 0.0;
        }
        match &query.ray {
            Some(ray) => share_over(missing, &query.window, self.prior(query, ray)),
            None => share_over(missing, &query.window, |_, _| 1.0),
        }
    }
}

/// Points on each edge of a tile at which the prior is asked: a ray's is narrower than a tile.
const POINTS: u32 = 8;

/// Returns how much of a density over the window's pixels lies over the tiles `missing`, 0 to 1.
fn share_over(missing: &[TileId], window: &TileWindow, density: impl Fn(f64, f64) -> f64) -> f64 {
    let edge_px = smgeo_engine::TILE_PX as f64;
    let step_px = edge_px / f64::from(POINTS);
    let (mut there, mut gone) = (0.0, 0.0);
    for (at, tile) in window.tiles().enumerate() {
        let (column, row) = (at as u32 % window.columns(), at as u32 / window.columns());
        let along = |tile: u32, point: u32| f64::from(tile) * edge_px + (f64::from(point) + 0.5) * step_px;
        let points = (0..POINTS * POINTS).map(|point| (point % POINTS, point / POINTS));
        let weight: f64 = points.map(|(x, y)| density(along(column, x), along(row, y))).sum();
        if missing.contains(&tile) { gone += weight } else { there += weight }
    }
    gone / (gone + there)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three by three tiles, of which the one in the middle is missing, and a ray's density of 25 px about a point, on a floor.
    fn share(x: f64, y: f64) -> f64 {
        let window = TileWindow::new(TileId { z: 18, x: 1000, y: 2000 }, 3, 3).unwrap();
        let missing = [TileId { z: 18, x: 1001, y: 2001 }];
        share_over(&missing, &window, |px, py| {
            0.99 * (-((px - x).powi(2) + (py - y).powi(2)) / (2.0 * 25.0_f64.powi(2))).exp() + 0.01
        })
    }

    #[test]
    fn a_ray_that_meets_the_edge_of_a_missing_tile_is_half_over_it() {
        // The floor is 0.01 of 589,824 px, the ray 0.99 of 2 pi 25^2 px.
        let [floor, ray] = [0.01 * 768.0 * 768.0, 0.99 * 2.0 * std::f64::consts::PI * 25.0 * 25.0];
        for (x, y, over) in [(384.0, 384.0, 1.0), (256.0, 384.0, 0.5), (256.0, 256.0, 0.25), (128.0, 384.0, 0.0)] {
            let expected = (floor / 9.0 + ray * over) / (floor + ray);
            assert!((share(x, y) - expected).abs() < 0.01, "{x} {y}: {} {expected}", share(x, y));
        }
    }

    #[test]
    fn without_a_ray_a_missing_tile_counts_as_large_as_it_is() {
        let window = TileWindow::new(TileId { z: 18, x: 1000, y: 2000 }, 4, 2).unwrap();
        assert_eq!(share_over(&[TileId { z: 18, x: 1003, y: 2001 }], &window, |_, _| 1.0), 0.125);
    }
}
