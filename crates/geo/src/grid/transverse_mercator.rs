//! The transverse Mercator projection by Krueger's series to the sixth order (Karney 2011, equations 11 to 36).
//!
//! Good to a few nanometres within 35 degrees of the central meridian.

use nalgebra::Complex;

use super::conformal::{conformal_from_geodetic, geodetic_from_conformal};
use crate::geodetic::{ECCENTRICITY_SQUARED, FLATTENING, SEMI_MAJOR_M};

/// A point of the plane, with the grid's direction and scale there.
pub(super) struct Projected {
    /// East of the central meridian, before the scale factor.
    pub easting_m: f64,
    /// North of the equator, before the scale factor.
    pub northing_m: f64,
    /// Grid north, clockwise from true north.
    pub convergence_rad: f64,
    /// Grid length over true length.
    pub scale: f64,
}

/// Third flattening.
const N: f64 = FLATTENING / (2.0 - FLATTENING);
const N2: f64 = N * N;
const N3: f64 = N2 * N;
const N4: f64 = N3 * N;
const N5: f64 = N4 * N;
const N6: f64 = N5 * N;

/// Radius of the sphere with the meridian's length.
const RECTIFYING_M: f64 = SEMI_MAJOR_M / (1.0 + N) * (1.0 + N2 / 4.0 + N4 / 64.0 + N6 / 256.0);

/// From the conformal sphere to the rectified plane.
const ALPHA: [f64; 6] = [
    N / 2.0 - N2 * 2.0 / 3.0 + N3 * 5.0 / 16.0 + N4 * 41.0 / 180.0 - N5 * 127.0 / 288.0 + N6 * 7_891.0 / 37_800.0,
    N2 * 13.0 / 48.0 - N3 * 3.0 / 5.0 + N4 * 557.0 / 1_440.0 + N5 * 281.0 / 630.0 - N6 * 1_983_433.0 / 1_935_360.0,
    N3 * 61.0 / 240.0 - N4 * 103.0 / 140.0 + N5 * 15_061.0 / 26_880.0 + N6 * 167_603.0 / 181_440.0,
    N4 * 49_561.0 / 161_280.0 - N5 * 179.0 / 168.0 + N6 * 6_601_661.0 / 7_257_600.0,
    N5 * 34_729.0 / 80_640.0 - N6 * 3_418_889.0 / 1_995_840.0,
    N6 * 212_378_941.0 / 319_334_400.0,
];

/// And back.
const BETA: [f64; 6] = [
    N / 2.0 - N2 * 2.0 / 3.0 + N3 * 37.0 / 96.0 - N4 / 360.0 - N5 * 81.0 / 512.0 + N6 * 96_199.0 / 604_800.0,
    N2 / 48.0 + N3 / 15.0 - N4 * 437.0 / 1_440.0 + N5 * 46.0 / 105.0 - N6 * 1_118_711.0 / 3_870_720.0,
    N3 * 17.0 / 480.0 - N4 * 37.0 / 840.0 - N5 * 209.0 / 4_480.0 + N6 * 5_569.0 / 90_720.0,
    N4 * 4_397.0 / 161_280.0 - N5 * 11.0 / 504.0 - N6 * 830_251.0 / 7_257_600.0,
    N5 * 4_583.0 / 161_280.0 - N6 * 108_847.0 / 3_991_680.0,
    N6 * 20_648_693.0 / 638_668_800.0,
];

/// Projects a latitude and a longitude from the central meridian.
pub(super) fn project(lat_rad: f64, lon_rad: f64) -> Projected {
    let tangent = lat_rad.tan();
    let conformal = conformal_from_geodetic(tangent);
    let (sin_lon, cos_lon) = lon_rad.sin_cos();
    let across = conformal.hypot(cos_lon);
    // Real part north, imaginary part east.
    let sphere = Complex::new(conformal.atan2(cos_lon), (sin_lon / across).asinh());
    let (shift, growth) = series(&ALPHA, sphere);
    let plane = sphere + shift;
    let stretch = Complex::new(1.0, 0.0) + growth;
    let on_sphere = (conformal / 1.0_f64.hypot(conformal) * sin_lon).atan2(cos_lon);
    let sine_squared = tangent * tangent / (1.0 + tangent * tangent);
    let flat = (1.0 - ECCENTRICITY_SQUARED * sine_squared).sqrt();
    Projected {
        easting_m: RECTIFYING_M * plane.im,
        northing_m: RECTIFYING_M * plane.re,
        convergence_rad: on_sphere - stretch.im.atan2(stretch.re),
        scale: RECTIFYING_M / SEMI_MAJOR_M * stretch.norm() * flat * 1.0_f64.hypot(tangent) / across,
    }
}

/// The latitude, and the longitude from the central meridian, of a point of the plane before the scale factor.
pub(super) fn unproject(easting_m: f64, northing_m: f64) -> (f64, f64) {
    let plane = Complex::new(northing_m / RECTIFYING_M, easting_m / RECTIFYING_M);
    let sphere = plane - series(&BETA, plane).0;
    let (sinh_east, cos_north) = (sphere.im.sinh(), sphere.re.cos());
    let conformal = sphere.re.sin() / sinh_east.hypot(cos_north);
    (geodetic_from_conformal(conformal).atan(), sinh_east.atan2(cos_north))
}

/// The sum of c_j sin(2 j z), and its derivative, the sum of 2 j c_j cos(2 j z).
fn series(coefficients: &[f64; 6], z: Complex<f64>) -> (Complex<f64>, Complex<f64>) {
    let zero = Complex::new(0.0, 0.0);
    coefficients.iter().zip(1_u8..).fold((zero, zero), |(sum, slope), (&coefficient, j)| {
        let twice = 2.0 * f64::from(j);
        (sum + (z * twice).sin() * coefficient, slope + (z * twice).cos() * (twice * coefficient))
    })
}
