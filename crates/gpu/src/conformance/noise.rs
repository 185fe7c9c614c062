//! Numbers that are the same everywhere and always (splitmix64, Steele, Lea and Flood 2014).

/// A source of numbers.
pub struct Noise(u64);

impl Noise {
    /// A source; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in -1..1.
    pub fn number(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// `count` numbers in -`reach`..`reach`, as `make` rounds them.
    pub fn numbers<T>(&mut self, count: usize, reach: f64, make: impl Fn(f64) -> T) -> Vec<T> {
        (0..count).map(|_| make(reach * self.number())).collect()
    }
}
