//! The first meeting of a ray with a surface of which only heights and the steepest slope are known.
//!
//! With the clearance `g` and a closing rate of at most `c` the ray cannot touch the ground within `g / c`. Stepping
//! that far, over and over, comes to the first crossing from above and jumps over none (sphere tracing, Hart 1996).

use nalgebra::Vector3;

use crate::Terrain;

/// A ray is followed this far.
const RANGE_M_MAX: f64 = 50_000.0;
/// Steps are at least this long, so that a grazing ray ends; a ridge thinner than this may be missed.
const STEP_M_MIN: f64 = 0.01;
/// Where the ground is not known the ray is followed in steps of this length.
const STEP_M_UNKNOWN: f64 = 1.0;
/// Bound of the walk: a grazing ray at walking pace for several kilometres.
const STEPS_MAX: usize = 100_000;
/// A bracket of one step is halved to below a nanometre.
const HALVINGS: usize = 40;

/// The distance to the first crossing from above along a unit ray.
pub(crate) fn first_hit<T: Terrain + ?Sized>(
    terrain: &T,
    origin_m: Vector3<f64>,
    direction: Vector3<f64>,
) -> Option<f64> {
    if !(origin_m.iter().all(|part| part.is_finite()) && direction.iter().all(|part| part.is_finite())) {
        return None;
    }
    let clearance_m = |range_m: f64| -> Option<f64> {
        let point = origin_m + direction * range_m;
        let height_m = terrain.height_m(point.x, point.y)?;
        height_m.is_finite().then_some(point.z - height_m)
    };
    let closing_max = terrain.slope_max() * direction.x.hypot(direction.y) - direction.z;
    if clearance_m(0.0).is_some_and(|clear_m| clear_m <= 0.0) || closing_max.is_nan() || closing_max <= 0.0 {
        return None;
    }
    let (mut range_m, mut above_at_m) = (0.0, None);
    for _ in 0..STEPS_MAX {
        match clearance_m(range_m) {
            Some(clear_m) if clear_m > 0.0 => {
                above_at_m = Some(range_m);
                range_m += (clear_m / closing_max).max(STEP_M_MIN);
            }
            // Below the ground without having been above it: the ray came in through the edge of the data.
            Some(_) => return above_at_m.map(|above_m| bisected(clearance_m, above_m, range_m)),
            None => {
                above_at_m = None;
                range_m += STEP_M_UNKNOWN;
            }
        }
        if range_m > RANGE_M_MAX {
            return None;
        }
    }
    None
}

/// Halves the bracket between a range above the ground and one at or below it.
fn bisected(clearance_m: impl Fn(f64) -> Option<f64>, above_m: f64, below_m: f64) -> f64 {
    let (mut above, mut below) = (above_m, below_m);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (above + below);
        if clearance_m(middle).is_some_and(|clear_m| clear_m > 0.0) {
            above = middle;
        } else {
            below = middle;
        }
    }
    below
}
