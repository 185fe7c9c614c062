//! Evidence of progress.
//!
//! A watchdog that is fed by a timer proves only that the timer lives. Here every stage counts its own steps, and whoever
//! watches asks when the count last moved. A stage that waits for input keeps stepping, so silence means it is stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{SharedClock, Stamp};

/// Is the side that beats.
#[derive(Clone)]
pub struct Heartbeat {
    clock: SharedClock,
    beats: Arc<AtomicU64>,
    last_ns: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Makes a heartbeat that counts as having beaten now.
    pub fn new(clock: SharedClock) -> Self {
        let last_ns = Arc::new(AtomicU64::new(clock.now().ns()));
        Self { clock, beats: Arc::new(AtomicU64::new(0)), last_ns }
    }

    /// Records one step.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.last_ns.store(self.clock.now().ns(), Ordering::Relaxed);
    }

    /// Makes the side that watches.
    pub fn pulse(&self) -> Pulse {
        Pulse { heartbeat: self.clone() }
    }
}

/// Is the side that watches.
#[derive(Clone)]
pub struct Pulse {
    heartbeat: Heartbeat,
}

impl Pulse {
    /// Counts the beats so far.
    pub fn beats(&self) -> u64 {
        self.heartbeat.beats.load(Ordering::Relaxed)
    }

    /// Returns how long ago the last beat was.
    pub fn silence(&self) -> Duration {
        let last = Stamp::from_ns(self.heartbeat.last_ns.load(Ordering::Relaxed));
        self.heartbeat.clock.now().since(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HandClock;

    #[test]
    fn silence_grows_until_the_next_beat() {
        let clock = HandClock::shared();
        let heartbeat = Heartbeat::new(clock.clone());
        let pulse = heartbeat.pulse();
        clock.advance(Duration::from_secs(3));
        assert_eq!(pulse.silence(), Duration::from_secs(3));
        heartbeat.beat();
        assert_eq!((pulse.silence(), pulse.beats()), (Duration::ZERO, 1));
    }
}
