//! Tileable noise, computed once per process and read by table look-up: surfaces get their irregularity from it at a
//! few nanoseconds a sample. The tables do not depend on a town's seed; towns shift into them.

use std::sync::OnceLock;

use crate::dice::mix;

const SIDE: usize = 512;
const MASK: i32 = SIDE as i32 - 1;

/// Three square tables of noise in [-1, 1], kept in bytes so that they stay in the cache; indices wrap.
pub(crate) struct Noise {
    grain: Vec<i8>,
    mottle: Vec<i8>,
    leaf: Vec<i8>,
}

impl Noise {
    /// The tables of this process.
    pub(crate) fn get() -> &'static Noise {
        static NOISE: OnceLock<Noise> = OnceLock::new();
        NOISE.get_or_init(|| Noise {
            grain: table(1, &[(2, 0.6), (1, 1.0)]),
            mottle: table(2, &[(64, 1.0), (32, 0.8), (16, 0.6), (8, 0.4), (4, 0.25)]),
            leaf: table(3, &[(8, 1.0), (4, 0.8), (2, 0.5)]),
        })
    }

    /// Fine noise: neighbours are nearly independent.
    #[inline(always)]
    pub(crate) fn grain(&self, x: i32, y: i32) -> f32 {
        f32::from(self.grain[index(x, y)]) * (1.0 / 127.0)
    }

    /// Blotches of 4 to 64 cells.
    #[inline(always)]
    pub(crate) fn mottle(&self, x: i32, y: i32) -> f32 {
        f32::from(self.mottle[index(x, y)]) * (1.0 / 127.0)
    }

    /// Clumps of 2 to 8 cells, as leaves make.
    #[inline(always)]
    pub(crate) fn leaf(&self, x: i32, y: i32) -> f32 {
        f32::from(self.leaf[index(x, y)]) * (1.0 / 127.0)
    }
}

#[inline(always)]
fn index(x: i32, y: i32) -> usize {
    (((y & MASK) as usize) << 9) | (x & MASK) as usize
}

/// Sum of value-noise octaves (cell size, weight), scaled to a standard deviation of about 0.4 and clamped.
fn table(seed: u64, octaves: &[(usize, f32)]) -> Vec<i8> {
    let mut values = vec![0.0f32; SIDE * SIDE];
    for &(cell, weight) in octaves {
        let lattice = SIDE / cell;
        let at = |x: usize, y: usize| lattice_value(seed, cell, x % lattice, y % lattice);
        for (place, value) in values.iter_mut().enumerate() {
            let (x, y) = (place % SIDE, place / SIDE);
            let (fx, fy) = (smooth((x % cell) as f32 / cell as f32), smooth((y % cell) as f32 / cell as f32));
            let (cx, cy) = (x / cell, y / cell);
            let top = at(cx, cy) + (at(cx + 1, cy) - at(cx, cy)) * fx;
            let bottom = at(cx, cy + 1) + (at(cx + 1, cy + 1) - at(cx, cy + 1)) * fx;
            *value += weight * (top + (bottom - top) * fy);
        }
    }
    let power = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
    let gain = 0.4 / power.sqrt().max(1e-6);
    values.iter().map(|value| (value * gain * 127.0).clamp(-127.0, 127.0) as i8).collect()
}

fn lattice_value(seed: u64, cell: usize, x: usize, y: usize) -> f32 {
    let bits = mix(seed ^ ((cell as u64) << 40) ^ ((y as u64) << 20) ^ x as u64);
    (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// The whole number nearest to `x`, exact for |x| up to two million: the sum's last bits are the number. Several times
/// faster than a cast, which has to mind overflow and NaN.
#[inline(always)]
pub(crate) fn whole(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    ((x + SHIFT).to_bits() as i32) << 10 >> 10
}

/// The cell of `x` (0 to eight million) and the part of the way to the next one.
#[inline(always)]
pub(crate) fn cell(x: f32) -> (usize, f32) {
    const SHIFT: f32 = 8_388_608.0;
    let shifted = (x - 0.5).max(0.0) + SHIFT;
    ((shifted.to_bits() & 0x7f_ffff) as usize, x - (shifted - SHIFT))
}

/// Smooth step from 0 to 1.
pub(crate) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Smooth value noise at any place, cell size 1, in [-1, 1]; slow, for use at construction.
pub(crate) fn value(seed: u64, x: f32, y: f32) -> f32 {
    let (cx, cy) = (x.floor(), y.floor());
    let (fx, fy) = (smooth(x - cx), smooth(y - cy));
    let at = |i: i64, j: i64| {
        let bits = mix(seed ^ mix(((cx as i64 + i) as u64) << 32 ^ ((cy as i64 + j) as u64 & 0xffff_ffff)));
        (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    top + (bottom - top) * fy
}

#[cfg(test)]
mod tests {
    use super::{cell, whole};

    #[test]
    fn fast_rounding_agrees_with_the_slow_one() {
        for x in [-1_900_000.0f32, -511.7, -3.2, -0.6, 0.0, 0.4, 0.6, 1.0, 7.5, 15.99, 255.2, 65_535.0, 1_900_000.0] {
            assert!((whole(x) as f32 - x).abs() <= 0.5, "{x} became {}", whole(x));
        }
        for x in [0.0f32, 0.2, 0.5, 1.0, 1.49, 1.5, 2.0, 4222.49, 5118.5] {
            let (index, part) = cell(x);
            assert!(
                (0.0..=1.0).contains(&part) && (index as f32 + part - x).abs() < 1e-3,
                "{x} became {index} and {part}"
            );
        }
    }
}
