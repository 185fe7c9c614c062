//! What happened at the source, in numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the process began. Every frame that does not come through is in one of them.
#[derive(Default)]
pub struct Counts {
    /// Access units (or raw pictures) that arrived.
    pub units_in: AtomicU64,
    /// Decoded frames that were handed on.
    pub frames_in: AtomicU64,
    /// Frames replaced by a newer one before anyone took them.
    pub frames_superseded: AtomicU64,
    /// Access units not decoded because the decoder was behind: it goes on at the next key frame.
    pub units_overload: AtomicU64,
    /// Frames the decoder marked as damaged.
    pub frames_corrupt: AtomicU64,
    /// Frames of a size or layout that cannot be used.
    pub frames_refused: AtomicU64,
    /// Frames the decoder gave under no time we know.
    pub frames_unmatched: AtomicU64,
    /// Frames handed on as frozen.
    pub frames_frozen: AtomicU64,
    /// Frames whose sender time was not believed.
    pub sender_time_refused: AtomicU64,
    /// Changes of the picture's size.
    pub size_changes: AtomicU64,
    /// Attempts to connect.
    pub connects: AtomicU64,
    /// Losses because the source cannot be reached or opened.
    pub lost_unreachable: AtomicU64,
    /// Losses because a live source ended.
    pub lost_ended: AtomicU64,
    /// Losses because nothing came.
    pub lost_silent: AtomicU64,
    /// Losses because the stream cannot be understood.
    pub lost_broken: AtomicU64,
}

impl Counts {
    /// The counters of what was lost at the source. What newer frames replaced is counted by the slot of frames too, and a lost
    /// source is no frame.
    pub const DROPS: [&str; 4] = ["units_overload", "frames_corrupt", "frames_refused", "frames_unmatched"];

    /// Adds one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns every counter with its name, for metrics.
    pub fn all(&self) -> [(&'static str, u64); 15] {
        [
            ("units_in", &self.units_in),
            ("frames_in", &self.frames_in),
            ("frames_superseded", &self.frames_superseded),
            ("units_overload", &self.units_overload),
            ("frames_corrupt", &self.frames_corrupt),
            ("frames_refused", &self.frames_refused),
            ("frames_unmatched", &self.frames_unmatched),
            ("frames_frozen", &self.frames_frozen),
            ("sender_time_refused", &self.sender_time_refused),
            ("size_changes", &self.size_changes),
            ("connects", &self.connects),
            ("lost_unreachable", &self.lost_unreachable),
            ("lost_ended", &self.lost_ended),
            ("lost_silent", &self.lost_silent),
            ("lost_broken", &self.lost_broken),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}
