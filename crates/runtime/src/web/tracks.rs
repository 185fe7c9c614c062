//! The newest track of each target, for those who come late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smgeo_flow::{SharedClock, Stamp};
use smgeo_messages::PromptSet;
use smgeo_messages::wire::TrackV1;
use tokio::sync::{broadcast, watch};

/// A track older than this is not the present: the page and the interface say so.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// Is a track with the moment it is for on our own timeline, so that its age does not hang on a wall clock.
#[derive(Clone, Debug)]
pub struct ShownTrack {
    /// The track.
    pub track: Arc<TrackV1>,
    /// When its frame was captured.
    pub captured: Stamp,
}

impl ShownTrack {
    /// Takes a track as it arrives. Its capture time is its latency before now.
    pub fn arriving(track: Arc<TrackV1>, clock: &SharedClock) -> Self {
        let latency_ms = if track.latency_ms.is_finite() { track.latency_ms.clamp(0.0, 1e9) } else { 1e9 };
        let captured = clock.now().minus(Duration::from_secs_f64(latency_ms / 1e3));
        Self { track, captured }
    }
}

/// Keeps the newest track of every target that is still followed; clones share it.
#[derive(Clone)]
pub struct TrackBoard {
    clock: SharedClock,
    newest: Arc<Mutex<BTreeMap<u32, ShownTrack>>>,
}

impl TrackBoard {
    /// Makes an empty board.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, newest: Arc::default() }
    }

    /// Returns the newest tracks, by target.
    pub fn newest(&self) -> Vec<ShownTrack> {
        self.lock().values().cloned().collect()
    }

    /// Takes tracks in and forgets those of deleted targets, until both senders are gone.
    pub async fn keep(self, mut tracks: broadcast::Receiver<Arc<TrackV1>>, mut prompts: watch::Receiver<PromptSet>) {
        loop {
            tokio::select! {
                track = tracks.recv() => match track {
                    Ok(track) => self.take(track, &prompts.borrow()),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = prompts.changed() => match changed {
                    Ok(()) => self.forget(&prompts.borrow_and_update()),
                    Err(_) => return,
                },
            }
        }
    }

    /// A track of a deleted target may still be under way; it does not bring the target back.
    fn take(&self, track: Arc<TrackV1>, prompts: &PromptSet) {
        if prompts.targets.iter().any(|prompt| prompt.target.0 == track.target) {
            self.lock().insert(track.target, ShownTrack::arriving(track, &self.clock));
        }
    }

    fn forget(&self, prompts: &PromptSet) {
        self.lock().retain(|target, _| prompts.targets.iter().any(|prompt| prompt.target.0 == *target));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, ShownTrack>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
