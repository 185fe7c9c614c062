//! Which frames an operator can have seen.
//!
//! Only what is needed to judge a click is kept: id, capture time, size. The pictures are in the ring of whoever follows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smgeo_flow::Stamp;
use smgeo_messages::{AccessUnit, Frame, FrameId};
use tokio::sync::broadcast;

/// Ten seconds at 60 frames a second: more than an operator's picture is ever behind.
const FRAMES_MAX: usize = 600;

/// Is what is known of a frame that was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenFrame {
    /// Names it.
    pub id: FrameId,
    /// When it was captured.
    pub captured: Stamp,
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Whether the picture has stood still to the bit for so long that the camera must be taken as frozen.
    pub frozen: bool,
}

impl From<&Frame> for SeenFrame {
    fn from(frame: &Frame) -> Self {
        let Frame { id, captured, width_px, height_px, frozen, .. } = *frame;
        Self { id, captured, width_px, height_px, frozen }
    }
}

/// Is a ring of the last frames; clones share it. Ingest fills it, the prompt actor reads it.
#[derive(Clone, Default)]
pub struct FrameIndex {
    frames: Arc<Mutex<VecDeque<SeenFrame>>>,
}

impl FrameIndex {
    /// Makes an empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a decoded frame, in its place among those that are known. An id older than all of them begins a new run of
    /// ids, and the old ones are forgotten.
    pub fn note(&self, frame: SeenFrame) {
        let mut frames = self.lock();
        let place = match frames.binary_search_by_key(&frame.id, |known| known.id) {
            Ok(known) => {
                frames[known] = frame;
                return;
            }
            Err(place) => place,
        };
        if place == 0 {
            frames.clear();
            frames.push_back(frame);
            return;
        }
        frames.insert(place, frame);
        if frames.len() > FRAMES_MAX {
            frames.pop_front();
        }
    }

    /// Notes a frame that went to the operators but may not be decoded here: a picture that nobody took in time was still
    /// shown. Its size is that of the last decoded frame; before there is one, nothing is noted.
    pub fn note_shown(&self, id: FrameId, captured: Stamp) {
        let Some(newest) = self.newest() else { return };
        if id > newest.id {
            self.note(SeenFrame { id, captured, ..newest });
        }
    }

    /// Notes every frame that goes to the operators, until the video's sender is gone.
    pub async fn note_all_shown(self, mut units: broadcast::Receiver<AccessUnit>) {
        loop {
            match units.recv().await {
                Ok(unit) => self.note_shown(unit.frame, unit.captured),
                // What was missed here was missed by the operators too.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Returns the frame with this id, if it is still in the ring.
    pub fn find(&self, id: FrameId) -> Option<SeenFrame> {
        let frames = self.lock();
        frames.binary_search_by_key(&id, |frame| frame.id).ok().map(|place| frames[place])
    }

    /// Returns the newest frame.
    pub fn newest(&self) -> Option<SeenFrame> {
        self.lock().back().copied()
    }

    /// Returns the newest frame captured at or before `moment`, or the oldest there is.
    pub fn shown_at(&self, moment: Stamp) -> Option<SeenFrame> {
        let frames = self.lock();
        frames.iter().rev().find(|frame| frame.captured <= moment).or_else(|| frames.front()).copied()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SeenFrame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u64) -> SeenFrame {
        let captured = Stamp::from_ns(id * 40_000_000);
        SeenFrame { id: FrameId(id), captured, width_px: 1280, height_px: 720, frozen: false }
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let index = FrameIndex::new();
        (0..FRAMES_MAX as u64 + 3).for_each(|id| index.note(frame(id)));
        assert_eq!(index.find(FrameId(2)), None);
        assert_eq!(index.find(FrameId(3)), Some(frame(3)));
        assert_eq!(index.newest(), Some(frame(FRAMES_MAX as u64 + 2)));
    }

    #[test]
    fn a_gap_in_the_ids_is_not_filled_by_a_neighbour() {
        let index = FrameIndex::new();
        [1, 2, 5].into_iter().for_each(|id| index.note(frame(id)));
        assert_eq!(index.find(FrameId(4)), None);
    }

    #[test]
    fn the_frame_shown_at_a_moment_is_the_newest_before_it() {
        let index = FrameIndex::new();
        [1, 2, 5].into_iter().for_each(|id| index.note(frame(id)));
        let at = |ms: u64| index.shown_at(Stamp::from_ns(ms * 1_000_000)).unwrap().id.0;
        assert_eq!([at(0), at(40), at(100), at(199), at(900)], [1, 1, 2, 2, 5]);
    }

    #[test]
    fn a_frame_that_was_shown_but_never_decoded_can_be_clicked() {
        let index = FrameIndex::new();
        index.note_shown(FrameId(1), frame(1).captured);
        assert_eq!(index.newest(), None, "its size is not known yet");
        index.note(frame(2));
        index.note_shown(FrameId(3), frame(3).captured);
        index.note_shown(FrameId(4), frame(4).captured);
        let decoded = SeenFrame { frozen: true, ..frame(4) };
        index.note(decoded);
        assert_eq!((index.find(FrameId(3)), index.newest()), (Some(frame(3)), Some(decoded)));
    }

    #[test]
    fn ids_that_begin_again_forget_the_old_ones() {
        let index = FrameIndex::new();
        [7, 8, 1].into_iter().for_each(|id| index.note(frame(id)));
        assert_eq!((index.find(FrameId(8)), index.find(FrameId(1))), (None, Some(frame(1))));
    }
}
