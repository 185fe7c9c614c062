//! A piece of one picture, turned and zoomed, laid over another: how alike they are, and where it fits best.

use crate::level::Level;
use crate::patch::{Patch, Square, Template};
use crate::similarity::Similarity;
use crate::vector::{Vectorised, vectorised};

const STEPS_MAX: usize = 10;
const STEP_PX_MIN: f64 = 0.005;

/// Keeps the piece, and the buffers that laying it takes.
#[derive(Default)]
pub struct Matching {
    square: Square,
    wide: Patch,
    template: Template,
    seen: Patch,
}

impl Matching {
    /// Takes the piece `radius` pixels around `at`, turned and zoomed as `since` says of what comes after the picture; its shift
    /// is not used. Says no when the piece has too little texture to be placed.
    #[must_use]
    pub fn take(&mut self, picture: &Level, at: [f64; 2], radius: usize, since: Similarity) -> bool {
        self.square = Square::of_radius(radius);
        vectorised(Taking { matching: self, picture, at, since })
    }

    /// Returns how alike the piece and the picture around a place are: 1 the same, 0 unrelated.
    pub fn likeness(&mut self, picture: &Level, at: [f64; 2]) -> f32 {
        vectorised(Likeness { matching: self, picture, at })
    }

    /// Returns the place near `guess` that fits best.
    pub fn place(&mut self, picture: &Level, guess: [f64; 2]) -> [f64; 2] {
        vectorised(Placing { matching: self, picture, guess })
    }
}

struct Taking<'a> {
    matching: &'a mut Matching,
    picture: &'a Level,
    at: [f64; 2],
    since: Similarity,
}

impl Vectorised for Taking<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Matching { square, wide, template, .. } = self.matching;
        wide.sample_turned(square.wider(), self.picture, self.at, self.since);
        template.set(*square, wide)
    }
}

struct Likeness<'a> {
    matching: &'a mut Matching,
    picture: &'a Level,
    at: [f64; 2],
}

impl Vectorised for Likeness<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let Matching { square, template, seen, .. } = self.matching;
        seen.sample(*square, self.picture, self.at);
        seen.subtract_mean(*square);
        template.patch.correlation(*square, seen)
    }
}

struct Placing<'a> {
    matching: &'a mut Matching,
    picture: &'a Level,
    guess: [f64; 2],
}

impl Vectorised for Placing<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let Matching { square, template, seen, .. } = self.matching;
        let mut at = self.guess;
        for _ in 0..STEPS_MAX {
            seen.sample(*square, self.picture, at);
            seen.match_contrast(*square, &template.patch);
            let step = template.step(*square, seen);
            at = [at[0] + step[0], at[1] + step[1]];
            if step[0].hypot(step[1]) < STEP_PX_MIN {
                break;
            }
        }
        at
    }
}
