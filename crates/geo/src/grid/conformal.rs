//! The conformal latitude: the latitude of a sphere onto which the ellipsoid maps without distorting angles.
//!
//! Latitudes go by their tangents, which keep their digits at the pole (Karney 2011, equations 7 to 9 and 19 to 21).

use crate::geodetic::ECCENTRICITY_SQUARED;

/// Newton's method settles in three steps.
const STEPS_MAX: usize = 8;

/// The tangent of the conformal latitude of a geodetic latitude's tangent.
pub(super) fn conformal_from_geodetic(tangent: f64) -> f64 {
    let secant = 1.0_f64.hypot(tangent);
    let eccentricity = ECCENTRICITY_SQUARED.sqrt();
    let sigma = (eccentricity * (eccentricity * tangent / secant).atanh()).sinh();
    tangent * 1.0_f64.hypot(sigma) - sigma * secant
}

/// The tangent of the geodetic latitude of a conformal latitude's tangent.
pub(super) fn geodetic_from_conformal(conformal: f64) -> f64 {
    let flat = 1.0 - ECCENTRICITY_SQUARED;
    // Near the pole the two are proportional, and the step below would overflow.
    if conformal.abs() > 1e9 {
        let eccentricity = ECCENTRICITY_SQUARED.sqrt();
        return conformal * (eccentricity * eccentricity.atanh()).exp();
    }
    let mut tangent = conformal / flat;
    for _ in 0..STEPS_MAX {
        let here = conformal_from_geodetic(tangent);
        let step = (conformal - here) / 1.0_f64.hypot(here) * (1.0 + flat * tangent * tangent)
            / (flat * 1.0_f64.hypot(tangent));
        tangent += step;
        if step.abs() <= 1e-16 * tangent.abs().max(1.0) {
            break;
        }
    }
    tangent
}
