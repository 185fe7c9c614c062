//! What the operator wants followed.

use std::fmt;
use std::sync::Arc;

use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Pixel};

use crate::frame::FrameId;

/// Names a target. Ids are never reused within a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetId(pub u32);

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Is one target: a pixel, and the frame in which the operator saw it there.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The target.
    pub target: TargetId,
    /// Counts the clicks on this target; a moved target is searched anew.
    pub revision: u32,
    /// The frame the operator saw.
    pub frame: FrameId,
    /// When that frame was captured.
    pub frame_captured: Stamp,
    /// The pixel in that frame.
    pub click: Pixel<geo::Frame>,
    /// One standard deviation of either coordinate of the click, pixels.
    pub sigma_px: f64,
    /// What the operator calls it.
    pub label: Option<Arc<str>>,
    /// Who clicked, and so how well the frame is known.
    pub source: PromptSource,
    /// When the prompt was taken in.
    pub created: Stamp,
}

/// Says where a prompt came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PromptSource {
    /// The page or the REST interface: the frame is the one that was shown.
    Exact,
    /// MAV_CMD_CAMERA_TRACK_POINT: it carries no frame, so the one shown a configured latency ago was assumed.
    AssumedFrame,
}

/// Is everything that is to be followed now. The prompt actor is its only writer.
#[derive(Clone, Debug, Default)]
pub struct PromptSet {
    /// Grows with every change.
    pub revision: u64,
    /// The targets, by id.
    pub targets: Arc<[Prompt]>,
}

impl PromptSet {
    /// Returns the prompt of `target`, if it is still wanted.
    pub fn get(&self, target: TargetId) -> Option<&Prompt> {
        self.targets.iter().find(|prompt| prompt.target == target)
    }
}
