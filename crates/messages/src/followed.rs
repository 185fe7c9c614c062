//! Where each target's pixel has gone, from the frame the operator clicked to this one.

use std::sync::Arc;

use smgeo_engine::rectify::Halvings;
use smgeo_geo::{self as geo, Pixel};

use crate::frame::SharedFrame;
use crate::prompt::Prompt;

/// Is a frame with the pixel of every target in it.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The frame.
    pub frame: SharedFrame,
    /// The frame's halvings, for the crops; none where there are no targets.
    pub halvings: Arc<Halvings>,
    /// The targets, those lost from sight among them.
    pub targets: Vec<FollowedTarget>,
}

/// Is one target in one frame.
#[derive(Clone, Debug)]
pub struct FollowedTarget {
    /// The operator's prompt.
    pub prompt: Prompt,
    /// Where it is.
    pub sight: Sight,
}

/// Says whether a target is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight {
    /// It is at this pixel.
    At {
        /// The object's centre in the frame.
        pixel: Pixel<geo::Frame>,
        /// One standard deviation of either coordinate, pixels.
        sigma_px: f64,
    },
    /// It cannot be carried to this frame; the reason is a short constant phrase.
    Lost(&'static str),
}
