//! Exact (erf) GELU, `x (1 + erf(x / sqrt 2)) / 2`.
//!
//! erf is Abramowitz and Stegun 7.1.26, off by 1.5e-7 at most; its exponential is also the density that the gradient needs.

use burn::tensor::{Tensor, activation};

use pulp::Simd;

use super::fused::{Fused, Input, run};
use super::vector::{Vectorised, exp, vectorised};

/// GELU of every element.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let dims = x.dims();
    run(Gelu, [Input::of(&x)], dims).unwrap_or_else(|| activation::gelu(x))
}

#[derive(Clone, Debug)]
struct Gelu;

impl Fused<1> for Gelu {
    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![0.0; x.len()];
        vectorised(Forward { x, out: &mut out });
        (out, Vec::new())
    }

    fn backward(&self, [x]: [&[f32]; 1], _kept: &[f32], gradient: &[f32], _wanted: [bool; 1]) -> [Vec<f32>; 1] {
        let mut out = vec![0.0; x.len()];
        vectorised(Gradient { x, gradient, out: &mut out });
        [out]
    }
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, _simd: S) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = x * normal(x).0;
        }
    }
}

struct Gradient<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
}

impl Vectorised for Gradient<'_> {
    #[inline(always)]
    fn call<S: Simd>(self, _simd: S) {
        for ((out, &x), &gradient) in self.out.iter_mut().zip(self.x).zip(self.gradient) {
            let (share, density) = normal(x);
            *out = gradient * (share + x * density);
        }
    }
}

/// The normal distribution's cumulative share below `x`, and its density there.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const INVERSE_ROOT_TAU: f32 = 0.398_942_3;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = 1.061_405_4_f32;
    let poly = poly * t - 1.453_152;
    let poly = poly * t + 1.421_413_7;
    let poly = poly * t - 0.284_496_74;
    let poly = poly * t + 0.254_829_6;
    let bell = exp(-z * z);
    let tail = 0.5 * poly * t * bell;
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    (share, INVERSE_ROOT_TAU * bell)
}
