//! The last seconds of frames, so that a click lands on the frame the operator saw.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::FrameId;

use super::follower::{Buffers, Follower, LostReason};
use super::pyramid::Pyramid;
use super::{Config, PICTURE_MOTION};

/// Frames stepped through on the way to now: more would hold up the newest frame, and following bridges a few at once.
const STEPS_MAX: usize = 40;
/// A click on a frame that was never taken starts on its neighbour, if that was captured this close to it.
const NEIGHBOUR_MAX: Duration = Duration::from_millis(100);

/// Keeps frames for some seconds, within a limit of memory.
pub struct FrameRing {
    config: Config,
    pictures: VecDeque<Arc<Pyramid>>,
    bytes: usize,
}

impl FrameRing {
    /// Makes an empty ring.
    pub fn new(config: Config) -> Self {
        Self { config, pictures: VecDeque::new(), bytes: 0 }
    }

    /// Adds the newest frame; the oldest go.
    pub fn push(&mut self, picture: Arc<Pyramid>) {
        let kept = Duration::from_millis(self.config.ring_ms);
        self.bytes += picture.bytes();
        self.pictures.push_back(picture);
        while let (Some(oldest), Some(newest)) = (self.pictures.front(), self.pictures.back()) {
            let fits = self.bytes <= self.config.ring_bytes_max && newest.captured.since(oldest.captured) <= kept;
            if fits || self.pictures.len() == 1 {
                break;
            }
            self.bytes -= oldest.bytes();
            self.pictures.pop_front();
        }
    }

    /// Counts the frames it holds.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Says whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Returns the memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says whether a frame is still to come.
    pub fn is_ahead(&self, frame: FrameId) -> bool {
        self.pictures.back().is_none_or(|newest| frame > newest.id)
    }

    /// Follows a point, whose coordinates have the standard deviation `sigma_px`, from the frame it was seen in to the newest.
    pub fn carry(
        &self,
        frame: FrameId,
        pixel: Pixel<geo::Frame>,
        sigma_px: f64,
        buffers: &mut Buffers,
    ) -> Result<Follower, LostReason> {
        let (begin, apart) = self.position(frame).ok_or(LostReason::FrameGone)?;
        let picture = &self.pictures[begin];
        let motion_px_s = PICTURE_MOTION * f64::from(picture.width_px);
        let sigma_px = sigma_px.hypot(motion_px_s * apart.as_secs_f64());
        let mut follower = Follower::start(&self.config, picture.clone(), pixel, sigma_px);
        let last = self.pictures.len() - 1;
        let stride = (last - begin).div_ceil(STEPS_MAX).max(1);
        let mut next = begin;
        while next < last {
            next = (next + stride).min(last);
            follower.step(&self.pictures[next], buffers)?;
        }
        follower.seen().map(|_| follower)
    }

    /// Returns the place of a frame, or of its nearest neighbour when it was replaced by a newer one before it was taken,
    /// and how far in time that is from it.
    fn position(&self, frame: FrameId) -> Option<(usize, Duration)> {
        let after = self.pictures.partition_point(|picture| picture.id < frame);
        let at = self.pictures.get(after)?;
        if at.id == frame {
            return Some((after, Duration::ZERO));
        }
        let before = self.pictures.get(after.checked_sub(1)?)?;
        let apart = at.captured.since(before.captured);
        // Ids count frames, so they say where between the two it lies.
        let (gap, done) = (at.id.0 - before.id.0, frame.0 - before.id.0);
        let nearer_is_before = done * 2 <= gap;
        let steps = if nearer_is_before { done } else { gap - done };
        let away = apart.mul_f64(steps as f64 / gap as f64);
        let index = if nearer_is_before { after - 1 } else { after };
        (away <= NEIGHBOUR_MAX).then_some((index, away))
    }
}
