//! Loops compiled for each generation of vectors, of which the machine's is taken at run time.

use pulp::{Arch, Simd, WithSimd};

/// Is a loop worth compiling more than once. `run` and what it calls have to be `#[inline(always)]`: what is not inlined is
/// compiled for the oldest machine.
pub(crate) trait Vectorised {
    /// Does the work.
    fn run(self);
}

struct Wide<W>(W);

impl<W: Vectorised> WithSimd for Wide<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.run();
    }
}

/// Runs a loop with the widest vectors of this machine.
pub(crate) fn vectorised(work: impl Vectorised) {
    Arch::new().dispatch(Wide(work));
}
