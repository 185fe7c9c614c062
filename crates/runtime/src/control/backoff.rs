//! How long to wait before trying again: twice as long each time, up to a limit, for ever.

use std::time::Duration;

/// The first wait: short enough that a stage that tripped once is back before an operator notices.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest wait: a source that returns is found again within this time.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Doubles the wait between attempts from 0.25 s to 5 s. It never gives up.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: WAIT_MIN }
    }
}

impl Backoff {
    /// Returns the wait before the next attempt, and doubles the one after it.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(WAIT_MAX);
        wait
    }

    /// Begins again with the shortest wait: the last attempt went well.
    pub fn reset(&mut self) {
        self.next = WAIT_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds_and_begin_again_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.wait().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.wait(), WAIT_MIN);
    }
}
