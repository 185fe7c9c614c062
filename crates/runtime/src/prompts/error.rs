//! Why a prompt was refused, and what to do instead.

use std::time::Duration;

use smgeo_messages::{FrameId, TargetId};

/// Is a prompt that cannot be taken. The sentence is shown to the operator.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// No frame has arrived yet.
    #[error("there is no video yet: wait for the first picture, then click")]
    NoVideo,
    /// The frame is too old to be clicked.
    #[error(
        "frame {frame} is gone: frames can be clicked for {limit_s} s, the newest is {newest}; click on the live picture",
        limit_s = limit.as_secs_f64()
    )]
    FrameGone {
        /// The frame that was named.
        frame: FrameId,
        /// The newest frame.
        newest: FrameId,
        /// How long a frame can be clicked.
        limit: Duration,
    },
    /// The frame has never been captured in this run.
    #[error("frame {frame} has not been captured in this run, the newest is {newest}: reload the page and click again")]
    FrameUnknown {
        /// The frame that was named.
        frame: FrameId,
        /// The newest frame.
        newest: FrameId,
    },
    /// The camera stands still to the bit: what the frame shows is not what the drone sees.
    #[error("the camera is frozen at frame {frame}: wait until the picture moves again, then click")]
    VideoFrozen {
        /// The frame that was named.
        frame: FrameId,
    },
    /// The click lies outside its frame.
    #[error("the click at {x}, {y} is outside the frame of {width_px} x {height_px} pixels: give pixels of that frame")]
    OutsideFrame {
        /// Column of the click.
        x: f64,
        /// Row of the click.
        y: f64,
        /// Columns of the frame.
        width_px: u32,
        /// Rows of the frame.
        height_px: u32,
    },
    /// The point lies outside the picture.
    #[error("the point {x}, {y} is outside the picture: give fractions from 0 to 1")]
    OutsidePicture {
        /// Fraction of the width.
        x: f64,
        /// Fraction of the height.
        y: f64,
    },
    /// No such target is followed.
    #[error("target {target} is not followed; followed now: {}", if known.is_empty() { "none" } else { known })]
    UnknownTarget {
        /// The target that was named.
        target: TargetId,
        /// The targets that are followed, as text.
        known: String,
    },
    /// Nothing more can be followed.
    #[error("{limit} targets are followed already, which is the limit: delete one first")]
    TooMany {
        /// The most targets at once.
        limit: usize,
    },
    /// The name cannot be shown.
    #[error("a label has at most {limit} characters and no control characters: shorten it")]
    BadLabel {
        /// The most characters.
        limit: usize,
    },
}

impl PromptError {
    /// Returns the constant word for this error, used in metrics and in the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoVideo => "no_video",
            Self::FrameGone { .. } => "frame_gone",
            Self::FrameUnknown { .. } => "frame_unknown",
            Self::VideoFrozen { .. } => "video_frozen",
            Self::OutsideFrame { .. } => "outside_frame",
            Self::OutsidePicture { .. } => "outside_picture",
            Self::UnknownTarget { .. } => "unknown_target",
            Self::TooMany { .. } => "too_many_targets",
            Self::BadLabel { .. } => "bad_label",
        }
    }
}
