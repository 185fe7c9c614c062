//! Where a point of one picture is in the next: pyramidal Lucas-Kanade (Bouguet, 2000), inverse: the gradient is taken
//! from the first picture, once per level.

use super::patch::{Patch, Template};
use super::pyramid::Pyramid;

/// Samples from a point to the edge of its window.
pub const WINDOW_RADIUS: usize = 6;
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
    /// Finds where the point `from` of `before` is in `after`, looking first at `guess`, and going back to check. Places
    /// are on the finest level.
    pub fn find(&mut self, before: &Pyramid, after: &Pyramid, from: [f64; 2], guess: [f64; 2]) -> Found {
        let there = match self.one_way(before, after, from, guess) {
            Found::At(there) => there,
            not_found => return not_found,
        };
        match self.one_way(after, before, there, from) {
            Found::At(back) if (back[0] - from[0]).hypot(back[1] - from[1]) <= RETURN_PX_MAX => Found::At(there),
            _ => Found::Nowhere,
        }
    }

    fn one_way(&mut self, before: &Pyramid, after: &Pyramid, from: [f64; 2], guess: [f64; 2]) -> Found {
        let mut motion = [guess[0] - from[0], guess[1] - from[1]];
        for (depth, (old, new)) in before.levels().iter().zip(after.levels()).enumerate().rev() {
            let scale = (1_u32 << depth) as f64;
            let at = [from[0] / scale, from[1] / scale];
            if !self.template.take(old, at, WINDOW_RADIUS) {
                // A coarse level without texture has nothing to say; on the finest there is no finding without it.
                if depth == 0 {
                    return Found::Untextured;
                }
                continue;
            }
            let mut there = [at[0] + motion[0] / scale, at[1] + motion[1] / scale];
            for _ in 0..STEPS_MAX {
                self.seen.sample(new, there, WINDOW_RADIUS);
                self.seen.subtract_mean();
                let step = self.template.step(&self.seen);
                there = [there[0] + step[0], there[1] + step[1]];
                if step[0].hypot(step[1]) < STEP_PX_MIN {
                    break;
                }
            }
            motion = [(there[0] - at[0]) * scale, (there[1] - at[1]) * scale];
        }
        let there = [from[0] + motion[0], from[1] + motion[1]];
        let inside = after.holds(there, 0.0);
        if inside && self.template.patch.correlation(&self.seen) >= CORRELATION_MIN {
            Found::At(there)
        } else {
            Found::Nowhere
        }
    }
}
