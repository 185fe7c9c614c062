//! How a target looked when its place was last known for certain.
//!
//! Steps from frame to frame add up their errors; comparing each frame with one fixed picture does not. It also tells when
//! the target is no longer what is seen.

use std::sync::Arc;

use smgeo_flow::Stamp;

use super::patch::{Patch, Template};
use super::pyramid::{Level, Pyramid};
use super::similarity::Similarity;

const STEPS_MAX: usize = 10;
const STEP_PX_MIN: f64 = 0.005;
/// The correction of one frame's error; a greater one has found something else.
const CORRECTION_PX_MAX: f64 = 2.0;

/// Is the picture around a target, and how the target has turned since.
pub struct Anchor {
    picture: Arc<Pyramid>,
    at: [f64; 2],
    radius: usize,
    /// Turn and zoom from the picture to the frame last seen; its shift is not used.
    pub since: Similarity,
}

/// Is how a frame compares.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// How alike it is: 1 the same, 0 unrelated.
    pub likeness: f32,
    /// Where the target is by the anchor's picture; where it was guessed to be, if that picture cannot be placed.
    pub at: [f64; 2],
    /// Whether the picture could be placed.
    pub placed: bool,
}

/// Are the buffers that comparing takes, shared by all targets.
#[derive(Default)]
pub struct Compare {
    wide: Patch,
    template: Template,
    seen: Patch,
}

impl Anchor {
    /// Takes the picture `radius` pixels around `at`.
    pub fn new(picture: Arc<Pyramid>, at: [f64; 2], radius: usize) -> Self {
        Self { picture, at, radius, since: Similarity::IDENTITY }
    }

    /// Returns when its picture was captured.
    pub fn taken(&self) -> Stamp {
        self.picture.captured
    }

    /// Compares the anchor's picture, turned as the target has turned, with `frame` around `guess`, and places it there.
    pub fn compare(&self, frame: &Pyramid, guess: [f64; 2], buffers: &mut Compare) -> Compared {
        let Some(level) = frame.levels().first() else { return Compared { likeness: 0.0, at: guess, placed: false } };
        let Compare { wide, template, seen } = buffers;
        let since = self.since;
        let picture = &self.picture.levels()[0];
        wide.sample_with(picture, self.at, self.radius + 1, |offset| since.turned_back(offset));
        let placeable = template.set(wide);
        let guessed = likeness(level, guess, template, seen);
        if placeable {
            let at = place(level, guess, template, seen);
            let correction_px = (at[0] - guess[0]).hypot(at[1] - guess[1]);
            let corrected = likeness(level, at, template, seen);
            if correction_px <= CORRECTION_PX_MAX && corrected >= guessed {
                return Compared { likeness: corrected, at, placed: true };
            }
        }
        Compared { likeness: guessed, at: guess, placed: false }
    }
}

fn likeness(level: &Level, at: [f64; 2], template: &Template, seen: &mut Patch) -> f32 {
    seen.sample(level, at, template.patch.radius);
    seen.subtract_mean();
    template.patch.correlation(seen)
}

fn place(level: &Level, guess: [f64; 2], template: &Template, seen: &mut Patch) -> [f64; 2] {
    let mut at = guess;
    for _ in 0..STEPS_MAX {
        seen.sample(level, at, template.patch.radius);
        seen.match_contrast(&template.patch);
        let step = template.step(seen);
        at = [at[0] + step[0], at[1] + step[1]];
        if step[0].hypot(step[1]) < STEP_PX_MIN {
            break;
        }
    }
    at
}
