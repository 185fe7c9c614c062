//! A ray against the whole Earth: for ranges at which the ground's curvature counts.
//!
//! Rays are unit vectors in Earth-centred axes. A camera at or below the ground asked for sees none of it.

use nalgebra::Vector3;

use crate::geodetic::{SEMI_MAJOR_M, SEMI_MINOR_M};
use crate::local_frame::ned_from_ecef;
use crate::{Altitude, Ellipsoid, Geodetic, LatLon};

/// Newton's method on a height along a ray doubles its digits each step but for grazing rays.
const STEPS_MAX: usize = 30;
/// A height within this is met.
const HEIGHT_M: f64 = 1e-9;

/// A meeting with the Earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarthHit {
    /// Along the ray.
    pub range_m: f64,
    /// Where.
    pub point: Geodetic,
}

/// Meets the ellipsoid with both axes longer by the ground's height: closed, and within 4 cm of the true height at 100
/// km.
pub fn scaled_ellipsoid(eye: Geodetic, ray_ecef: Vector3<f64>, ground: Altitude<Ellipsoid>) -> Option<EarthHit> {
    if eye.height.above_m(ground) <= 0.0 {
        return None;
    }
    let equatorial_m = SEMI_MAJOR_M + ground.m();
    let polar_m = SEMI_MINOR_M + ground.m();
    let origin = eye.to_ecef();
    let range_m = quadric(origin, ray_ecef, Vector3::new(equatorial_m, equatorial_m, polar_m))?;
    Some(EarthHit { range_m, point: Geodetic::from_ecef(origin + ray_ecef * range_m).ok()? })
}

/// Meets the surface of constant height above WGS84.
pub fn constant_height(eye: Geodetic, ray_ecef: Vector3<f64>, ground: Altitude<Ellipsoid>) -> Option<EarthHit> {
    let mut hit = scaled_ellipsoid(eye, ray_ecef, ground)?;
    let origin = eye.to_ecef();
    for _ in 0..STEPS_MAX {
        let above_m = hit.point.height.above_m(ground);
        if above_m.abs() < HEIGHT_M {
            break;
        }
        let closing = ned_from_ecef(hit.point.at).row(2).transpose().dot(&ray_ecef);
        let range_m = hit.range_m + above_m / closing;
        if !(closing > 0.0 && range_m > 0.0) {
            return None;
        }
        hit = EarthHit { range_m, point: Geodetic::from_ecef(origin + ray_ecef * range_m).ok()? };
    }
    Some(hit)
}

/// Meets a sphere of some radius plus the ground's height, the eye's latitude taken as the sphere's: the textbook
/// figure, off by hundreds of metres at 100 km; for comparison with systems that use it.
pub fn sphere(
    eye: Geodetic,
    ray_ecef: Vector3<f64>,
    ground: Altitude<Ellipsoid>,
    radius_m: f64,
) -> Option<(f64, LatLon)> {
    if eye.height.above_m(ground) <= 0.0 {
        return None;
    }
    let upward = -ned_from_ecef(eye.at).row(2).transpose();
    let origin = upward * (radius_m + eye.height.m());
    let range_m = quadric(origin, ray_ecef, Vector3::repeat(radius_m + ground.m()))?;
    let point = (origin + ray_ecef * range_m).normalize();
    let at = LatLon::new(point.z.asin().to_degrees(), point.y.atan2(point.x).to_degrees()).ok()?;
    Some((range_m, at))
}

/// The first range beyond the origin at which a ray meets the ellipsoid of these semi-axes.
fn quadric(origin: Vector3<f64>, ray: Vector3<f64>, semi_axes_m: Vector3<f64>) -> Option<f64> {
    let (start, along) = (origin.component_div(&semi_axes_m), ray.component_div(&semi_axes_m));
    let square = along.norm_squared();
    let half = start.dot(&along);
    let outside = start.norm_squared() - 1.0;
    let inside = half * half - square * outside;
    // Seen from outside, both meetings lie ahead or both behind; the nearer is the constant over the greater root.
    let nearer_m = outside / (inside.sqrt() - half);
    (inside >= 0.0 && half < 0.0 && nearer_m.is_finite() && nearer_m > 0.0).then_some(nearer_m)
}
