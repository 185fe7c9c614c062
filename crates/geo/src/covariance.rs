//! Uncertainty on the ground: a 2 x 2 covariance in north and east, its ellipse, and the circle that holds a share of
//! it.

use std::f64::consts::{FRAC_PI_2, PI};
use std::ops::Add;

use nalgebra::{Matrix2, Vector2};

use crate::EarthError;

/// A covariance may lack this much of being positive semidefinite, relative to its trace: that is rounding.
const ROUNDING: f64 = 1e-9;
/// The circle's integral starts with this many nodes on a quarter turn and doubles until it stands still.
const NODES_MIN: usize = 32;
const NODES_MAX: usize = 1 << 16;

/// A covariance in square metres, order north, east. Finite and positive semidefinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Covariance2 {
    nn_m2: f64,
    ne_m2: f64,
    ee_m2: f64,
}

/// The ellipse of one standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ellipse {
    /// Greatest standard deviation of any direction.
    pub semi_major_m: f64,
    /// Smallest.
    pub semi_minor_m: f64,
    /// Direction of the major axis, clockwise from north, 0 to pi.
    pub bearing_rad: f64,
}

impl Covariance2 {
    /// Checks the three distinct elements: variance north, covariance, variance east.
    pub fn new(nn_m2: f64, ne_m2: f64, ee_m2: f64) -> Result<Covariance2, EarthError> {
        let trace = nn_m2 + ee_m2;
        let is_sound = trace.is_finite()
            && nn_m2 >= 0.0
            && ee_m2 >= 0.0
            && ne_m2.is_finite()
            && ne_m2.abs() <= (nn_m2 * ee_m2).sqrt() + ROUNDING * trace;
        if !is_sound {
            return Err(EarthError::Covariance { nn: nn_m2, ne: ne_m2, ee: ee_m2 });
        }
        Ok(Covariance2 { nn_m2, ne_m2, ee_m2 })
    }

    /// Of a matrix in the order north, east; the off-diagonal elements are averaged.
    pub fn from_matrix(matrix: Matrix2<f64>) -> Result<Covariance2, EarthError> {
        Covariance2::new(matrix[(0, 0)], 0.5 * (matrix[(0, 1)] + matrix[(1, 0)]), matrix[(1, 1)])
    }

    /// The same standard deviation in every direction.
    pub fn isotropic(sigma_m: f64) -> Result<Covariance2, EarthError> {
        Covariance2::new(sigma_m * sigma_m, 0.0, sigma_m * sigma_m)
    }

    /// As a matrix, order north, east.
    pub fn matrix(self) -> Matrix2<f64> {
        Matrix2::new(self.nn_m2, self.ne_m2, self.ne_m2, self.ee_m2)
    }

    /// Variance north.
    pub fn nn_m2(self) -> f64 {
        self.nn_m2
    }

    /// Covariance of north and east.
    pub fn ne_m2(self) -> f64 {
        self.ne_m2
    }

    /// Variance east.
    pub fn ee_m2(self) -> f64 {
        self.ee_m2
    }

    /// Sum of the variances.
    pub fn trace_m2(self) -> f64 {
        self.nn_m2 + self.ee_m2
    }

    /// All variances times a factor of zero or more.
    pub fn scaled(self, factor: f64) -> Result<Covariance2, EarthError> {
        Covariance2::new(self.nn_m2 * factor, self.ne_m2 * factor, self.ee_m2 * factor)
    }

    /// The one-sigma ellipse.
    pub fn ellipse(self) -> Ellipse {
        let mean = 0.5 * (self.nn_m2 + self.ee_m2);
        let spread = (0.5 * (self.nn_m2 - self.ee_m2)).hypot(self.ne_m2);
        let major_m2 = mean + spread;
        // The difference would cancel: the product of the eigenvalues is the determinant.
        let determinant = self.nn_m2 * self.ee_m2 - self.ne_m2 * self.ne_m2;
        let minor_m2 = if major_m2 > 0.0 { (determinant / major_m2).max(0.0) } else { 0.0 };
        let bearing = 0.5 * (2.0 * self.ne_m2).atan2(self.nn_m2 - self.ee_m2);
        Ellipse { semi_major_m: major_m2.sqrt(), semi_minor_m: minor_m2.sqrt(), bearing_rad: bearing.rem_euclid(PI) }
    }

    /// The radius of the circle around the mean that holds the part `p` of a normal distribution: CE90 is `p` = 0.9.
    ///
    /// Exact, not one of the usual approximations, which understate. A `p` of 1 or more, or none at all, gives
    /// infinity.
    pub fn circular_error_m(self, p: f64) -> f64 {
        if p <= 0.0 {
            return 0.0;
        }
        if p.is_nan() || p >= 1.0 {
            return f64::INFINITY;
        }
        let Ellipse { semi_major_m, semi_minor_m, .. } = self.ellipse();
        if semi_major_m == 0.0 {
            return 0.0;
        }
        semi_major_m * circle(semi_minor_m / semi_major_m, p)
    }

    /// The part of a normal distribution within a radius of its mean.
    pub fn probability_within(self, radius_m: f64) -> f64 {
        let Ellipse { semi_major_m, semi_minor_m, .. } = self.ellipse();
        if radius_m.is_nan() || radius_m <= 0.0 {
            return 0.0;
        }
        if semi_major_m == 0.0 || radius_m.is_infinite() {
            return 1.0;
        }
        1.0 - outside(semi_minor_m / semi_major_m, radius_m / semi_major_m).0
    }

    /// Squared Mahalanobis distance of an offset north, east; none where the covariance has no inverse.
    pub fn mahalanobis_squared(self, offset_ne_m: Vector2<f64>) -> Option<f64> {
        let solved = self.matrix().cholesky()?.solve(&offset_ne_m);
        let squared = offset_ne_m.dot(&solved);
        squared.is_finite().then_some(squared)
    }

    /// The covariance of the sum or the difference of two independent errors.
    pub fn plus(self, other: Covariance2) -> Result<Covariance2, EarthError> {
        Covariance2::new(self.nn_m2 + other.nn_m2, self.ne_m2 + other.ne_m2, self.ee_m2 + other.ee_m2)
    }
}

impl Add for Covariance2 {
    type Output = Covariance2;

    /// Of the sum of independent errors.
    fn add(self, other: Covariance2) -> Covariance2 {
        Covariance2 {
            nn_m2: self.nn_m2 + other.nn_m2,
            ne_m2: self.ne_m2 + other.ne_m2,
            ee_m2: self.ee_m2 + other.ee_m2,
        }
    }
}

impl Ellipse {
    /// The semi-axes of the ellipse that holds the part `p` of a normal distribution.
    pub fn semi_axes_m(self, p: f64) -> (f64, f64) {
        let factor = (-2.0 * (-p.clamp(0.0, 1.0)).ln_1p()).sqrt();
        (self.semi_major_m * factor, self.semi_minor_m * factor)
    }
}

/// The radius that holds `p`, in units of the major sigma, for a ratio of minor to major sigma.
fn circle(ratio: f64, p: f64) -> f64 {
    let factor = (-2.0 * (-p).ln_1p()).sqrt();
    // The p-ellipse's inner and outer circles hold less and more than p.
    let (mut low, mut high) = (factor * ratio, factor);
    let mut radius = 0.5 * (low + high);
    for _ in 0..200 {
        let (tail, density) = outside(ratio, radius);
        let excess = (1.0 - p) - tail;
        if excess > 0.0 {
            high = radius;
        } else {
            low = radius;
        }
        let newton = radius - excess / density;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - radius).abs() <= 1e-15 * factor {
            return next;
        }
        radius = next;
    }
    radius
}

/// The part of the distribution outside a radius, and the density there.
///
/// In the axes where the distribution is round the circle is an ellipse with q = cos2 + ratio2 sin2 along its angle,
/// and the tail is the mean of exp(-radius2 / 2 q). The integrand is smooth and periodic, so the trapezoid rule
/// converges faster than any power.
fn outside(ratio: f64, radius: f64) -> (f64, f64) {
    let squared = ratio * ratio;
    let terms = |angle: f64| {
        let (sine, cosine) = angle.sin_cos();
        let q = cosine * cosine + squared * sine * sine;
        let tail = if q > 0.0 { (-0.5 * radius * radius / q).exp() } else { 0.0 };
        (tail, if tail > 0.0 { tail * radius / q } else { 0.0 })
    };
    let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    let (first, last) = (terms(0.0), terms(FRAC_PI_2));
    let ends = (0.5 * (first.0 + last.0), 0.5 * (first.1 + last.1));
    let mut nodes = NODES_MIN;
    let mut sum = (1..nodes).map(|k| terms(FRAC_PI_2 * k as f64 / nodes as f64)).fold(ends, add);
    loop {
        let between = (0..nodes).map(|k| terms(FRAC_PI_2 * (k as f64 + 0.5) / nodes as f64)).fold((0.0, 0.0), add);
        let coarse = sum.0 / nodes as f64;
        sum = add(sum, between);
        nodes *= 2;
        let fine = sum.0 / nodes as f64;
        if (fine - coarse).abs() < 1e-15 || nodes >= NODES_MAX {
            return (fine, sum.1 / nodes as f64);
        }
    }
}
