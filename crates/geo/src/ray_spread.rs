//! Where a seen object may lie about the point at which its ray meets the ground.
//!
//! The ray of a roof passes over the building and meets the ground behind it. Nobody says how high the clicked point is, so
//! the object lies at the meeting point or from there towards the camera, and how far, only its height tells. Heights are
//! taken as distributed exponentially: most of what is clicked is low, and a few things are very high.

use std::f64::consts::{PI, SQRT_2};

use nalgebra::Vector2;

use crate::{Covariance2, EarthError};

/// No place is explained by an object that is higher than so many mean heights: one in four hundred is.
const HEIGHT_MEANS_MAX: f64 = 6.0;

/// Below this squared ratio of the heights' reach to the ray's own spread, heights change nothing.
const REACH_SQUARED_MIN: f64 = 1e-6;

/// The factors of the polynomial in the exponent of the complementary error function, lowest power first.
const ERFC_EXPONENT: [f64; 10] = [
    -1.265_512_23,
    1.000_023_68,
    0.374_091_96,
    0.096_784_18,
    -0.186_288_06,
    0.278_868_07,
    -1.135_203_98,
    1.488_515_87,
    -0.822_152_23,
    0.170_872_77,
];

/// How a ray's place on the ground is uncertain, and how much further off the object can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RaySpread {
    /// Of the meeting point, north and east, m²: of the ray, whatever it hit.
    pub covariance: Covariance2,
    /// How far the ray goes, north and east, while it comes down by a metre.
    pub overshoot_ne: Vector2<f64>,
    /// The mean height over the ground of what is looked at, metres.
    pub height_mean_m: f64,
}

impl RaySpread {
    /// The second moment of the object's place about the meeting point, m².
    pub fn of_object(&self) -> Result<Covariance2, EarthError> {
        // The mean square of an exponential distribution is twice the squared mean.
        let along = self.overshoot_ne * self.height_mean_m * SQRT_2;
        self.covariance.plus(Covariance2::from_matrix(along * along.transpose())?)
    }

    /// How high over the ground that point is which the ray passes through, of an object `offset_ne_m` from the meeting point and
    /// known to `known`: mean and standard deviation, metres, by the ray and by what is known of any object's height.
    pub fn height(&self, offset_ne_m: Vector2<f64>, known: Covariance2) -> (f64, f64) {
        // An exponential distribution's standard deviation is its mean; near enough, both are Gaussians here.
        let any_m = self.height_mean_m;
        let Some((seen_m, sigma_m)) = self.height_by_ray(offset_ne_m, known) else { return (any_m, any_m) };
        let trust = any_m * any_m / (any_m * any_m + sigma_m * sigma_m).max(f64::MIN_POSITIVE);
        ((any_m + trust * (seen_m - any_m)).max(0.0), trust.sqrt() * sigma_m)
    }

    /// The height that the ray alone tells, and its standard deviation, metres; none where it looks straight down.
    fn height_by_ray(&self, offset_ne_m: Vector2<f64>, known: Covariance2) -> Option<(f64, f64)> {
        let weight = self.covariance.plus(known).ok()?.matrix().try_inverse()?;
        let squared = self.overshoot_ne.dot(&(weight * self.overshoot_ne));
        let height_m = -self.overshoot_ne.dot(&(weight * offset_ne_m)) / squared;
        let sigma_m = squared.sqrt().recip();
        (height_m.is_finite() && sigma_m.is_finite()).then_some((height_m, sigma_m))
    }

    /// The squared Mahalanobis distance from the ray of an object `offset_ne_m` from the meeting point and known to `known`,
    /// at the height that explains it best; the ray's standard deviation is taken `widening` times as large as it is said to be.
    pub fn missed_squared(&self, offset_ne_m: Vector2<f64>, known: Covariance2, widening: f64) -> Option<f64> {
        let widened = RaySpread { covariance: self.covariance.scaled(widening * widening).ok()?, ..*self };
        let height_m = widened.height_by_ray(offset_ne_m, known).map_or(0.0, |(height_m, _)| height_m);
        let height_m = height_m.clamp(0.0, HEIGHT_MEANS_MAX * self.height_mean_m);
        widened.covariance.plus(known).ok()?.mahalanobis_squared(offset_ne_m + self.overshoot_ne * height_m)
    }

    /// How likely the ray makes an object at an offset from the meeting point, north and east, metres: the mean, over all heights, of
    /// a Gaussian whose peak is 1. The ray's standard deviation is taken `widening` times as large as it is said to be.
    ///
    /// With heights h of mean m, overshoot o and the squared distance |d + h o|² in the metric of the covariance, completing the
    /// square in h leaves a normal distribution function.
    pub fn likeness(&self, widening: f64) -> Option<impl Fn(Vector2<f64>) -> f64 + use<>> {
        let weight = self.covariance.scaled(widening * widening).ok()?.matrix().try_inverse()?;
        let RaySpread { overshoot_ne, height_mean_m, .. } = *self;
        let pull = weight * overshoot_ne;
        let squared = overshoot_ne.dot(&pull);
        let is_flat = squared * height_mean_m * height_mean_m < REACH_SQUARED_MIN;
        let scale = (2.0 * PI / squared).sqrt() / height_mean_m;
        Some(move |offset_ne_m: Vector2<f64>| {
            let level = -0.5 * offset_ne_m.dot(&(weight * offset_ne_m));
            if is_flat {
                return level.exp();
            }
            let t = (-pull.dot(&offset_ne_m) - 1.0 / height_mean_m) / squared.sqrt();
            scale * normal_times_inverse_density(t, level)
        })
    }
}

/// `exp(level + t² / 2)` times the normal distribution function at `t`. `level` is at most `-t² / 2` where `t` is positive, so
/// nothing overflows.
///
/// The complementary error function is a rational step and a polynomial in the exponent, to 1.2e-7 of its value however small that
/// is (Press et al., Numerical Recipes, section 6.2); what it has of `exp(-t² / 2)` cancels.
fn normal_times_inverse_density(t: f64, level: f64) -> f64 {
    let near = 1.0 / (1.0 + t.abs() / (2.0 * SQRT_2));
    let exponent = ERFC_EXPONENT.iter().rev().fold(0.0, |sum, factor| sum * near + factor);
    let tail = 0.5 * near * (level + exponent).exp();
    if t > 0.0 { (level + 0.5 * t * t).exp() - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks east, 45 degrees down: 10 m along the ray, 5 m across.
    fn east(height_mean_m: f64) -> RaySpread {
        RaySpread {
            covariance: Covariance2::new(25.0, 0.0, 100.0).unwrap(),
            overshoot_ne: Vector2::new(0.0, 1.0),
            height_mean_m,
        }
    }

    fn sharp() -> Covariance2 {
        Covariance2::isotropic(2.0).unwrap()
    }

    #[test]
    fn of_what_lies_on_the_ground_the_ray_is_a_gaussian() {
        let likeness = east(0.0).likeness(2.0).unwrap();
        for (north_m, east_m) in [(0.0, 0.0), (10.0, 0.0), (-5.0, 30.0)] {
            let expected = (-0.5 * ((north_m / 10.0_f64).powi(2) + (east_m / 20.0_f64).powi(2))).exp();
            assert!((likeness(Vector2::new(north_m, east_m)) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_likeness_is_the_mean_over_all_heights() {
        let spread = east(8.0);
        let likeness = spread.likeness(1.5).unwrap();
        for (north_m, east_m) in [(0.0, 0.0), (3.0, -25.0), (-9.0, -60.0), (4.0, 18.0), (0.0, 60.0)] {
            let gaussian = |height_m: f64| {
                let along = (east_m + height_m) / 15.0;
                (-0.5 * ((north_m / 7.5_f64).powi(2) + along * along)).exp()
            };
            // The mean by small steps of the height.
            let step_m = 0.01;
            let mean: f64 = (0..200_000)
                .map(|i| (f64::from(i) + 0.5) * step_m)
                .map(|height_m| (-height_m / 8.0).exp() / 8.0 * gaussian(height_m) * step_m)
                .sum();
            let found = likeness(Vector2::new(north_m, east_m));
            assert!((found - mean).abs() <= 1e-6 * mean + 1e-30, "{found} for {mean} at {north_m}, {east_m}");
        }
    }

    #[test]
    fn a_high_roof_explains_a_place_before_the_meeting_point_but_none_behind() {
        for (east_m, explained) in [(-30.0, true), (-75.0, true), (-90.0, false), (25.0, true), (35.0, false)] {
            let squared = east(8.0).missed_squared(Vector2::new(0.0, east_m), sharp(), 1.0).unwrap();
            assert_eq!(squared < 9.21, explained, "{east_m} m: {squared}");
        }
    }

    #[test]
    fn where_an_object_is_tells_how_high_the_clicked_point_is() {
        let (height_m, sigma_m) = east(8.0).height_by_ray(Vector2::new(3.0, -20.0), sharp()).unwrap();
        assert!((height_m - 20.0).abs() < 1e-9 && (sigma_m - 104.0_f64.sqrt()).abs() < 1e-9, "{height_m} {sigma_m}");
        // Weighed with 8 ± 8 m, by 64 to 104.
        let (height_m, sigma_m) = east(8.0).height(Vector2::new(3.0, -20.0), sharp());
        assert!((height_m - 12.571).abs() < 1e-3 && (sigma_m - 6.294).abs() < 1e-3, "{height_m} {sigma_m}");
    }

    #[test]
    fn looking_straight_down_nothing_is_learned_of_a_height() {
        let down = RaySpread { overshoot_ne: Vector2::zeros(), ..east(8.0) };
        assert_eq!(down.height(Vector2::new(3.0, -20.0), sharp()), (8.0, 8.0));
    }

    #[test]
    fn an_unknown_height_stretches_the_objects_covariance_along_the_ray() {
        let covariance = east(8.0).of_object().unwrap();
        assert!((covariance.ee_m2() - 228.0).abs() < 1e-9 && (covariance.nn_m2() - 25.0).abs() < 1e-9);
    }
}
