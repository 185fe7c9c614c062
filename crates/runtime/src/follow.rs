//! Follow: carries each click from the frame the operator saw to the newest one.
//!
//! Neural fixes come a few times a second and describe a frame that is already past; in between, and forward to now, a
//! target's pixel moves with the picture around it (pyramidal Lucas-Kanade, checked forward and backward). The picture is
//! compared with how the target looked when it was last anchored, which takes the drift out, and is how the follower knows
//! that it has lost the object: it would rather say so than be led away by whatever covers it.
//!
//! The brightness pyramid of a frame is built once and shared by all targets, and kept for some seconds, so that a click on
//! an older frame starts there and runs through the stored frames.

pub mod anchor;
pub mod follower;
pub mod pyramid;
pub mod ring;
pub mod stage;

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::ranges;

pub use follower::{Follower, LostReason, Seen};
pub use pyramid::{Pyramid, PyramidBuilder};
pub use ring::FrameRing;
pub use stage::{Follow, ReAnchor};

/// How fast a picture may move, picture widths a second.
pub(crate) const PICTURE_MOTION: f64 = 0.5;

/// Smaller regions hold nothing to follow; larger ones are the picture.
const REGION_PX: RangeInclusive<f64> = 16.0..=640.0;

/// Following needs this many columns.
pub(crate) const WORK_WIDTH_PX_MIN: u32 = 64;

/// Configures following.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The side of the square around the click whose picture is followed, in pixels of a frame 1280 wide; frames of
    /// other widths are scaled.
    pub region_px: f64,
    /// Frames wider than this are halved until they are not: following needs no more detail, and costs less.
    pub work_width_px_max: u32,
    /// How long frames are kept for clicks on them.
    pub ring_ms: u64,
    /// The memory for that; the oldest frames go first.
    pub ring_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { region_px: 56.0, work_width_px_max: 960, ring_ms: 5_000, ring_bytes_max: 96 << 20 }
    }
}

impl Config {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        ranges::within(REGION_PX, &[("follow.region_px", self.region_px)])?;
        let least = [
            ("follow.work_width_px_max", u64::from(self.work_width_px_max), u64::from(WORK_WIDTH_PX_MIN)),
            ("follow.ring_bytes_max", self.ring_bytes_max as u64, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((key, value, least)) => Err(format!("{key} is {value}; it must be {least} or more")),
            None => Ok(()),
        }
    }
}
