//! How a target looked when its place was last known for certain.
//!
//! Steps from frame to frame add up their errors; comparing each frame with one fixed picture does not. It also tells when
//! the target is no longer what is seen.

use std::sync::Arc;

use smgeo_flow::Stamp;
use smgeo_vision::Matching;
use smgeo_vision::similarity::Similarity;

use super::pyramid::Pyramid;

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
    pub fn compare(&self, frame: &Pyramid, guess: [f64; 2], matching: &mut Matching) -> Compared {
        let Some(level) = frame.levels().first() else { return Compared { likeness: 0.0, at: guess, placed: false } };
        let placeable = matching.take(&self.picture.levels()[0], self.at, self.radius, self.since);
        let guessed = matching.likeness(level, guess);
        if placeable {
            let at = matching.place(level, guess);
            let correction_px = (at[0] - guess[0]).hypot(at[1] - guess[1]);
            let corrected = matching.likeness(level, at);
            if correction_px <= CORRECTION_PX_MAX && corrected >= guessed {
                return Compared { likeness: corrected, at, placed: true };
            }
        }
        Compared { likeness: guessed, at: guess, placed: false }
    }
}
