//! Loops compiled for the widest vectors the machine has, and an exponential that such loops can hold.

use std::f32::consts::LOG2_E;

use pulp::{Arch, Simd, WithSimd};

/// A loop worth compiling for each generation of vectors. `call` has to be `#[inline(always)]`.
pub trait Vectorised {
    /// Does the work.
    fn call<S: Simd>(self, simd: S);
}

struct Wide<F>(F);

impl<F: Vectorised> WithSimd for Wide<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.call(simd);
    }
}

/// Runs a loop with the widest vectors of this machine.
pub fn vectorised(work: impl Vectorised) {
    Arch::new().dispatch(Wide(work));
}

/// The high part of ln 2, exact in few bits, so that its multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding and subtracting this rounds a small float to an integer.
const ROUNDING: f32 = 12_582_912.0;

/// The exponential to about 2 units in the last place, without branches (Cephes' reduction and polynomial).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + ROUNDING;
    let power = shifted - ROUNDING;
    let r = x - power * LN_2_HIGH - power * LN_2_LOW;
    let poly = 1.987_569_1e-4_f32;
    let poly = poly * r + 1.398_2e-3;
    let poly = poly * r + 8.333_452e-3;
    let poly = poly * r + 4.166_579_6e-2;
    let poly = poly * r + 1.666_666_5e-1;
    let poly = poly * r + 0.5;
    let poly = poly * (r * r) + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUNDING.to_bits()).wrapping_add(127);
    poly * f32::from_bits(exponent << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_single_precision() {
        for step in -8000..8000 {
            let x = step as f32 * 0.01;
            let wanted = f64::from(x).exp();
            let found = f64::from(exp(x));
            assert!((found - wanted).abs() <= 3e-7 * wanted, "{x}: {found}, not {wanted}");
        }
        assert!(exp(-200.0) < 2e-38);
    }
}
