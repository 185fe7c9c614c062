//! Loops compiled for each generation of vectors, of which the machine's is taken at run time.

use pulp::{Arch, Simd, WithSimd};

/// Numbers that loops take at once: the widest vector's. Sums are kept apart by lane, so that no addition waits for the last.
pub(crate) const LANES: usize = 16;

/// Is a loop worth compiling more than once. `run` and what it calls have to be `#[inline(always)]`: what is not inlined is
/// compiled for the oldest machine.
pub(crate) trait Vectorised {
    /// What comes of it.
    type Output;

    /// Does the work.
    fn run(self) -> Self::Output;
}

struct Wide<W>(W);

impl<W: Vectorised> WithSimd for Wide<W> {
    type Output = W::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> W::Output {
        self.0.run()
    }
}

/// Runs a loop with the widest vectors of this machine.
pub(crate) fn vectorised<W: Vectorised>(work: W) -> W::Output {
    Arch::new().dispatch(Wide(work))
}

/// Adds up lanes, halves upon halves.
#[inline(always)]
pub(crate) fn total(lanes: [f32; LANES]) -> f32 {
    let mut sums = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// A vector of ones, then one of zeros.
static ONES_ZEROS: [f32; 2 * LANES] = {
    let mut numbers = [0.0; 2 * LANES];
    let mut lane = 0;
    while lane < LANES {
        numbers[lane] = 1.0;
        lane += 1;
    }
    numbers
};

/// Returns 1 for each lane of a row's vector that is used, and 0 where the row, `length` numbers long, is filled up.
#[inline(always)]
pub(crate) fn used_lanes(length: usize, block: usize) -> &'static [f32; LANES] {
    let used = (length - block * LANES).min(LANES);
    run(&ONES_ZEROS[LANES - used..], 0)
}

/// Returns the numbers from where a vector of a row begins. Of a known length, a loop over them is a vector instruction.
#[inline(always)]
pub(crate) fn run<T, const N: usize>(row: &[T], block: usize) -> &[T; N] {
    row[block * LANES..].first_chunk().expect("rows are filled up to whole vectors")
}
