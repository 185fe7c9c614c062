//! Seeded chance. Every part of a town draws from its own stream, named by purpose, so that a change in one part
//! (one more tree in a garden) does not move everything drawn after it elsewhere.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers that depends on a seed and a purpose alone.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `seed` for `purpose`.
    pub(crate) fn new(seed: u64, purpose: &str) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(purpose.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)))))
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.0.random::<f32>() < probability
    }

    /// A whole number in [0, count); 0 when there is nothing to choose from.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        if count < 2 { 0 } else { self.0.random_range(0..count) }
    }

    /// A whole number in [low, high].
    pub(crate) fn count(&mut self, low: usize, high: usize) -> usize {
        low + self.index(high.saturating_sub(low) + 1)
    }

    /// One of the choices.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// The index of a weight, drawn in proportion to the weights.
    pub(crate) fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.range(0.0, weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos()
    }

    /// A colour moved at random: brightness by up to `spread` (a fraction), each channel by a tenth of it.
    pub(crate) fn shade(&mut self, rgb: [f32; 3], spread: f32) -> [f32; 3] {
        let gain = 1.0 + self.range(-spread, spread);
        rgb.map(|channel| (channel * (gain + self.range(-spread, spread) / 10.0)).clamp(0.0, 255.0))
    }

    /// Any number.
    pub(crate) fn seed(&mut self) -> u32 {
        self.0.random()
    }
}

/// Spreads the bits of a number (splitmix64, Steele et al. 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
