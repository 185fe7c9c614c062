//! From the locator's maps to a place on the Earth with a covariance.

use std::sync::Arc;

use nalgebra::Vector2;
use smgeo_engine::{Located, Maps, Posterior, decode::decode_posterior};
use smgeo_geo::{Covariance2, Pixel, TileId};
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
    /// Says what the network made of `query`, whose window lacks the tiles `missing`.
    pub fn outcome(&self, query: &Query, maps: &Maps, missing: &[TileId]) -> Outcome {
        let of = query.window.tiles().count();
        if self.unmapped(query, missing) > UNMAPPED_MAX {
            return Outcome::NoMap { missing: missing.len(), of };
        }
        let Ok(posterior) = Posterior::new(maps, self.stride_px, self.temperature) else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let posterior = match &query.ray {
            Some(ray) => posterior.with_prior(self.log_prior(query, ray)),
            None => posterior,
        };
        let absent = f64::from(posterior.absent());
        match decode_posterior(posterior, maps) {
            Err(_) => Outcome::NotFound("the network gave no usable answer"),
            Ok(_) if absent > ABSENT_MAX => Outcome::NotFound("it is not in the search window"),
            Ok(located) => self.found(query, located, absent),
        }
    }

    fn found(&self, query: &Query, located: Located, absent: f64) -> Outcome {
        let place = |[x, y]: [f64; 2]| query.window.lat_lon(Pixel::new(x, y));
        let [left, top, right, bottom] = located.box_xyxy_px.map(f64::from);
        let (Some(at), Some(north_west), Some(south_east)) =
            (place(located.mean_px), place([left, top]), place([right, bottom]))
        else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let Some(covariance) = self.covariance(query, located.covariance_px2) else {
            return Outcome::NotFound("the network gave no usable answer");
        };
        let widening = self.config.prior_widening;
        if query.ray.as_ref().is_some_and(|ray| ray.disagrees(at, covariance, widening)) {
            return Outcome::NotFound("map and ray disagree");
        }
        Outcome::Found(Box::new(Found {
            at,
            covariance,
            bounds_deg: [north_west.lon_deg(), south_east.lat_deg(), south_east.lon_deg(), north_west.lat_deg()],
            score: f64::from(located.mass),
            absent,
            window: query.window,
            posterior: Arc::new(located.posterior),
        }))
    }

    /// Turns pixels right and down into metres north and east, and adds what crop and click were off by.
    fn covariance(&self, query: &Query, px2: [[f64; 2]; 2]) -> Option<Covariance2> {
        let scale = query.window.metres_per_px();
        let crop_m2 = self.config.rectification_sigma_m.powi(2) + query.pixel_sigma_m.powi(2);
        Covariance2::new(
            px2[1][1] * scale.north.powi(2) + crop_m2,
            -px2[0][1] * scale.north * scale.east,
            px2[0][0] * scale.east.powi(2) + crop_m2,
        )
        .ok()
    }

    /// Returns the ray's log density over the window's pixels: a widened Gaussian on a floor of "wrong altogether".
    fn log_prior(&self, query: &Query, ray: &RayFix) -> impl Fn(f64, f64) -> f64 + use<> {
        let centre = query.window.pixel(ray.at);
        let scale = query.window.metres_per_px();
        // A prior that cannot be inverted says nothing, which is what the floor says.
        let widened = ray.covariance.scaled(self.config.prior_widening.powi(2)).ok();
        let floor = self.config.prior_outlier;
        move |x, y| {
            let (east_m, north_m) = ((x - centre.x) * scale.east, (centre.y - y) * scale.north);
            let squared = widened.and_then(|widened| widened.mahalanobis_squared(Vector2::new(north_m, east_m)));
            ((1.0 - floor) * squared.map_or(0.0, |squared| (-0.5 * squared).exp()) + floor).ln()
        }
    }

    /// Returns how much of the prior, or of the window where there is none, lies over missing tiles, 0 to 1.
    fn unmapped(&self, query: &Query, missing: &[TileId]) -> f64 {
        if missing.is_empty() {
            return 0.0;
        }
        let prior = query.ray.as_ref().map(|ray| self.log_prior(query, ray));
        let (mut there, mut gone) = (0.0, 0.0);
        let (left, top) = query.window.north_west().origin_px();
        for tile in query.window.tiles() {
            let (x, y) = tile.origin_px();
            let half = smgeo_engine::TILE_PX as f64 / 2.0;
            let weight = prior.as_ref().map_or(1.0, |prior| prior(x - left + half, y - top + half).exp());
            if missing.contains(&tile) { gone += weight } else { there += weight }
        }
        gone / (gone + there)
    }
}
