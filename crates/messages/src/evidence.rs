//! What reaches the fusion: an answer of the network, or the news that there was none to be had.

use std::time::Duration;

use smgeo_flow::Stamp;

use crate::detection::Detection;
use crate::frame::FrameId;
use crate::prompt::TargetId;

/// Is one piece of evidence about one target in one frame.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// The network was asked and answered.
    Answered(Box<Detection>),
    /// The target was not in sight, so the network was not asked.
    Unseen {
        /// The target.
        target: TargetId,
        /// The frame.
        frame: FrameId,
        /// When the frame was captured.
        captured: Stamp,
        /// The age, at capture time, of the telemetry behind that frame's pose, where there is one.
        telemetry_age: Option<Duration>,
        /// A short constant phrase.
        reason: &'static str,
    },
}
