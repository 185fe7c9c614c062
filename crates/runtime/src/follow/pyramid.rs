//! A frame's brightness at halving sizes, built once for all targets.

use std::sync::Arc;

use smgeo_engine::rectify::Halvings;
use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{Frame, FrameId};
use smgeo_vision::{Level, brightness_of_rgb, brightness_of_rgbx, halved};

use super::WORK_WIDTH_PX_MIN;

/// Levels, each half the size of the one before.
pub const LEVELS: usize = 4;
/// The coarsest level has to hold more than one window.
const COARSEST_SIDE_PX_MIN: u32 = 8;

/// Is the brightness of one frame.
#[derive(Debug)]
pub struct Pyramid {
    /// The frame.
    pub id: FrameId,
    /// When it was captured.
    pub captured: Stamp,
    /// The frame's columns.
    pub width_px: u32,
    /// The frame's rows.
    pub height_px: u32,
    /// How many frame pixels a pixel of the finest level is wide.
    pub shrink: u32,
    levels: Vec<Level>,
}

impl Pyramid {
    /// Returns the levels, finest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Returns where a pixel of the frame lies on the finest level.
    pub fn work_from_frame(&self, pixel: Pixel<geo::Frame>) -> [f64; 2] {
        let shrink = f64::from(self.shrink);
        [pixel.x / shrink, pixel.y / shrink]
    }

    /// Returns the frame's pixel at a place on the finest level.
    pub fn frame_from_work(&self, at: [f64; 2]) -> Pixel<geo::Frame> {
        let shrink = f64::from(self.shrink);
        Pixel::new(at[0] * shrink, at[1] * shrink)
    }

    /// Says whether a place on the finest level lies in the picture, `margin` pixels from its edge.
    pub fn holds(&self, at: [f64; 2], margin: f64) -> bool {
        self.levels.first().is_some_and(|finest| finest.holds(at, margin))
    }

    /// Returns the memory it takes.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.luma.len()).sum()
    }

    /// Says whether a place on one is the same place of the picture on the other.
    pub fn is_same_size(&self, other: &Pyramid) -> bool {
        (self.width_px, self.height_px) == (other.width_px, other.height_px)
    }
}

/// Builds pyramids.
pub struct PyramidBuilder {
    work_width_px_max: u32,
}

impl PyramidBuilder {
    /// Makes a builder of pyramids whose finest level is at most this wide.
    pub fn new(work_width_px_max: u32) -> Self {
        Self { work_width_px_max: work_width_px_max.max(WORK_WIDTH_PX_MIN) }
    }

    /// Builds the pyramid of a frame from the halvings that were made of it, or nothing if the frame has too few pixels or bytes.
    pub fn build(&self, frame: &Frame, halvings: &Halvings) -> Option<Arc<Pyramid>> {
        let mut shrink = 1;
        while frame.width_px / shrink > self.work_width_px_max {
            shrink *= 2;
        }
        let (width, height) = (frame.width_px / shrink, frame.height_px / shrink);
        if width.min(height) >> (LEVELS - 1) < COARSEST_SIDE_PX_MIN {
            return None;
        }
        let mut levels = Vec::with_capacity(LEVELS);
        levels.push(Self::finest(frame, halvings, shrink)?);
        while levels.len() < LEVELS {
            let next = halved(levels.last()?);
            levels.push(next);
        }
        Some(Arc::new(Pyramid {
            id: frame.id,
            captured: frame.captured,
            width_px: frame.width_px,
            height_px: frame.height_px,
            shrink,
            levels,
        }))
    }

    /// Whole blocks only, so that a place on the level is the frame's place divided, whatever the remainder.
    fn finest(frame: &Frame, halvings: &Halvings, shrink: u32) -> Option<Level> {
        if shrink > 1 {
            let (width, height, rgbx) = halvings.halved(shrink.ilog2() as usize)?;
            return Some(brightness_of_rgbx(rgbx, width, height));
        }
        let picture = frame.picture()?;
        let mut finest = Level::default();
        brightness_of_rgb(picture.rgb, picture.width_px, picture.height_px, &mut finest);
        Some(finest)
    }
}
