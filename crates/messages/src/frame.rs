//! One picture of the live video, and the moment it was taken.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smgeo_engine::rectify::Picture;
use smgeo_flow::Stamp;

/// Names one captured frame. Ids grow by capture order within a run; the decoded picture and the access unit it came
/// from have the same id, so that a click on either means the same moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameId(pub u64);

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says how a frame's capture time is known, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeSource {
    /// The sender's NTP time, from RTCP sender reports.
    Ntp,
    /// The sender's time in an ONVIF RTP extension.
    Onvif,
    /// Tag 2 of the ST 0601 metadata beside the frame.
    KlvTag2,
    /// The presentation time, tied to the clock by the least delay seen on arrival.
    PtsArrival,
    /// The arrival alone.
    Arrival,
}

/// Is the layout of a frame's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PixelFormat {
    /// Three bytes a pixel, rows without padding.
    Rgb8,
}

/// Is a decoded picture. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame {
    /// Names it.
    pub id: FrameId,
    /// When light fell on the sensor, as well as that is known.
    pub captured: Stamp,
    /// How `captured` is known.
    pub time_source: TimeSource,
    /// One standard deviation of `captured`.
    pub time_sigma: Duration,
    /// When the process received it; never used as capture time.
    pub arrived: Stamp,
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// The layout of `bytes`.
    pub format: PixelFormat,
    /// `height_px` rows of `width_px` pixels.
    pub bytes: Bytes,
    /// Whether the picture has stood still, to the bit, for so long that the camera must be taken as frozen.
    pub frozen: bool,
}

impl Frame {
    /// Returns the picture for cropping; none if there are not as many bytes as its size asks for.
    pub fn picture(&self) -> Option<Picture<'_>> {
        let PixelFormat::Rgb8 = self.format;
        let (width_px, height_px) = (self.width_px as usize, self.height_px as usize);
        let fits = !self.bytes.is_empty() && self.bytes.len() == width_px * height_px * 3;
        fits.then_some(Picture { rgb: &self.bytes, width_px, height_px })
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {} of {}x{} captured {:?}", self.id, self.width_px, self.height_px, self.captured)
    }
}

/// Is one compressed picture as the camera sent it: H.264, Annex B, one access unit, parameter sets before key frames.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// The id of the frame it decodes to.
    pub frame: FrameId,
    /// The capture time of that frame.
    pub captured: Stamp,
    /// Whether decoding can begin here.
    pub key: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// Is how frames are handed on where several parts keep one.
pub type SharedFrame = Arc<Frame>;
