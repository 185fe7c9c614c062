//! The newest track of each target, for those who come late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smgeo_flow::Stamp;
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

/// Keeps the newest track of every target that is still followed; clones share it.
#[derive(Clone, Default)]
pub struct TrackBoard {
    newest: Arc<Mutex<BTreeMap<u32, ShownTrack>>>,
}

impl TrackBoard {
    /// Returns the newest tracks, by target.
    pub fn newest(&self) -> Vec<ShownTrack> {
        self.lock().values().cloned().collect()
    }

    /// Says whether a track has been followed by another of its target that is newer by more than `behind`.
    pub fn is_superseded(&self, shown: &ShownTrack, behind: Duration) -> bool {
        self.lock().get(&shown.track.target).is_some_and(|newest| newest.captured > shown.captured.plus(behind))
    }

    /// Takes tracks in and forgets those of deleted targets, until both senders are gone.
    pub async fn keep(self, mut tracks: broadcast::Receiver<ShownTrack>, mut prompts: watch::Receiver<PromptSet>) {
        loop {
            tokio::select! {
                track = tracks.recv() => match track {
                    Ok(shown) => self.take(shown, &prompts.borrow()),
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

    /// A track of a deleted target may still be under way; it does not bring the target back. Nor does one that comes late
    /// take the place of a newer one.
    fn take(&self, shown: ShownTrack, prompts: &PromptSet) {
        if !prompts.targets.iter().any(|prompt| prompt.target.0 == shown.track.target) {
            return;
        }
        let order = |shown: &ShownTrack| (shown.track.revision, shown.captured);
        let mut newest = self.lock();
        if newest.get(&shown.track.target).is_none_or(|kept| order(kept) <= order(&shown)) {
            newest.insert(shown.track.target, shown);
        }
    }

    fn forget(&self, prompts: &PromptSet) {
        self.lock().retain(|target, _| prompts.targets.iter().any(|prompt| prompt.target.0 == *target));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, ShownTrack>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
