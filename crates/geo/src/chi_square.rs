//! The chi-square distribution: where to gate, and what a consistent filter's errors look like.
//!
//! With k degrees of freedom it is the incomplete gamma function at k/2, by its series below the mean and its continued
//! fraction above (Abramowitz and Stegun 6.5.29, 6.5.31).

/// Terms of the series or fraction; the slowest case in use (200 degrees of freedom) needs under 200.
const TERMS_MAX: usize = 2_000;

/// The part of the distribution up to a value.
pub fn cdf(degrees: u32, value: f64) -> f64 {
    tails(degrees, value).0
}

/// The part of the distribution beyond a value, exact where it is tiny.
pub fn tail(degrees: u32, value: f64) -> f64 {
    tails(degrees, value).1
}

/// The value that holds the part `p`: a gate. Zero for `p` of zero or less, infinite for one or more and for what is
/// not a number.
pub fn gate(degrees: u32, p: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p.is_nan() || p >= 1.0 {
        return f64::INFINITY;
    }
    let mut high = f64::from(degrees.max(1));
    while cdf(degrees, high) < p {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Halving to the last bit: a gate is computed once and kept.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        // Beyond the median the tail has the digits.
        let is_short = if p < 0.5 { cdf(degrees, middle) < p } else { tail(degrees, middle) > 1.0 - p };
        if is_short {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The parts below and above a value.
fn tails(degrees: u32, value: f64) -> (f64, f64) {
    if value.is_nan() {
        return (f64::NAN, f64::NAN);
    }
    if value <= 0.0 {
        return (0.0, 1.0);
    }
    if value.is_infinite() {
        return (1.0, 0.0);
    }
    let shape = f64::from(degrees.max(1)) / 2.0;
    let x = value / 2.0;
    let factor = (shape * x.ln() - x - ln_gamma_of_half(degrees.max(1))).exp();
    if x < shape + 1.0 {
        let below = factor * series(shape, x);
        (below, 1.0 - below)
    } else {
        let above = factor * fraction(shape, x);
        (1.0 - above, above)
    }
}

/// The sum over n of x^n / (a (a+1) ... (a+n)).
fn series(shape: f64, x: f64) -> f64 {
    let mut term = 1.0 / shape;
    let mut sum = term;
    for n in 1..TERMS_MAX {
        term *= x / (shape + n as f64);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

/// The continued fraction 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- ...))), forwards by Lentz's method.
fn fraction(shape: f64, x: f64) -> f64 {
    let mut denominator = x + 1.0 - shape;
    let mut c = f64::INFINITY;
    let mut d = 1.0 / denominator;
    let mut value = d;
    for n in 1..TERMS_MAX {
        let n = n as f64;
        let numerator = -n * (n - shape);
        denominator += 2.0;
        d = 1.0 / (denominator + numerator * d);
        c = denominator + numerator / c;
        let factor = c * d;
        value *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// ln gamma(k/2), by steps of one from gamma(1/2) = sqrt(pi) or gamma(1) = 1.
fn ln_gamma_of_half(k: u32) -> f64 {
    let start = if k.is_multiple_of(2) { 0.0 } else { 0.5 * std::f64::consts::PI.ln() };
    let first = if k.is_multiple_of(2) { 2 } else { 1 };
    (first..k).step_by(2).map(|twice| (f64::from(twice) / 2.0).ln()).sum::<f64>() + start
}
