//! Where a point of one picture is in the next: pyramidal Lucas-Kanade (Bouguet, 2000), inverse: the gradient is taken
//! from the first picture, once per level.

use crate::level::Level;
use crate::patch::{Patch, Square, Template};
use crate::vector::{Vectorised, vectorised};

/// The window around a point.
const WINDOW: Square = Square::of_radius(6);
const STEPS_MAX: usize = 8;
/// A step shorter than this, in pixels of its level, ends the search on it.
const STEP_PX_MIN: f64 = 0.01;
/// A window less alike than this shows something else.
const CORRELATION_MIN: f32 = 0.8;
/// A point that comes back farther than this from where it began, in pixels of the finest level, was mismatched.
const RETURN_PX_MAX: f64 = 0.4;

/// Is what came of looking for a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// It is here, on the finest level.
    At([f64; 2]),
    /// There is not enough texture around it to be found by.
    Untextured,
    /// Nothing there looks like it, or what does leads back to another place.
    Nowhere,
}

/// Finds points; it keeps the buffers that finding takes.
#[derive(Default)]
pub struct LucasKanade {
    template: Template,
    seen: Patch,
}

impl LucasKanade {
    /// Finds where the point `from` of `before` is in `after`, looking first at `guess`, and going back to check. Both are
    /// pyramids of one size, finest level first; places are on the finest level.
    pub fn find(&mut self, before: &[Level], after: &[Level], from: [f64; 2], guess: [f64; 2]) -> Found {
        let there = match vectorised(Search { buffers: self, before, after, from, guess }) {
            Found::At(there) => there,
            not_found => return not_found,
        };
        match vectorised(Search { buffers: self, before: after, after: before, from: there, guess: from }) {
            Found::At(back) if (back[0] - from[0]).hypot(back[1] - from[1]) <= RETURN_PX_MAX => Found::At(there),
            _ => Found::Nowhere,
        }
    }
}

/// Is one way of a search.
struct Search<'a> {
    buffers: &'a mut LucasKanade,
    before: &'a [Level],
    after: &'a [Level],
    from: [f64; 2],
    guess: [f64; 2],
}

impl Vectorised for Search<'_> {
    type Output = Found;

    #[inline(always)]
    fn run(self) -> Found {
        let Search { buffers: LucasKanade { template, seen }, before, after, from, guess } = self;
        let mut motion = [guess[0] - from[0], guess[1] - from[1]];
        for (depth, (old, new)) in before.iter().zip(after).enumerate().rev() {
            let scale = (1_u32 << depth) as f64;
            let at = [from[0] / scale, from[1] / scale];
            if !template.take(WINDOW, old, at) {
                // A coarse level without texture has nothing to say; on the finest there is no finding without it.
                if depth == 0 {
                    return Found::Untextured;
                }
                continue;
            }
            let mut there = [at[0] + motion[0] / scale, at[1] + motion[1] / scale];
            for _ in 0..STEPS_MAX {
                seen.sample(WINDOW, new, there);
                seen.subtract_mean(WINDOW);
                let step = template.step(WINDOW, seen);
                there = [there[0] + step[0], there[1] + step[1]];
                if step[0] * step[0] + step[1] * step[1] < STEP_PX_MIN * STEP_PX_MIN {
                    break;
                }
            }
            motion = [(there[0] - at[0]) * scale, (there[1] - at[1]) * scale];
        }
        let there = [from[0] + motion[0], from[1] + motion[1]];
        let inside = after.first().is_some_and(|finest| finest.holds(there, 0.0));
        if inside && template.patch.correlation(WINDOW, seen) >= CORRELATION_MIN {
            Found::At(there)
        } else {
            Found::Nowhere
        }
    }
}
