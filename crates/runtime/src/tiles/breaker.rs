//! Leaves a failing server alone for a while.
//!
//! Closed, every request goes out. After a few failures in a row it opens: nothing goes out until the wait is over, then one
//! request tries. Each further failure doubles the wait, one success closes it.

use std::time::Duration;

use smgeo_flow::Stamp;

/// Failures in a row that open it: fewer would be one bad moment of a radio link.
const FAILURES_TO_OPEN: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(1);
/// A server that comes back is used again within this time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Counts failures and says when to ask again. It is told the time.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    wait: Duration,
    closed_again: Option<Stamp>,
}

impl Breaker {
    /// Says whether a request may go out: `Err` holds the time left to wait. A permitted try holds further ones back.
    pub fn ask(&mut self, now: Stamp) -> Result<(), Duration> {
        match self.closed_again {
            Some(at) if now < at => Err(at.since(now)),
            Some(_) => {
                self.closed_again = Some(now.plus(self.wait));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Records an answer, be it that the tile does not exist.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records a failure.
    pub fn failed(&mut self, now: Stamp) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_TO_OPEN {
            self.wait = (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
            self.closed_again = Some(now.plus(self.wait));
        }
    }

    /// Counts the failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::from_ns(seconds * 1_000_000_000)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_once_per_wait() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert!(breaker.ask(at(0)).is_ok());
            breaker.failed(at(0));
        }
        assert_eq!(breaker.ask(at(0)), Err(Duration::from_secs(1)));
        assert!(breaker.ask(at(1)).is_ok());
        assert!(breaker.ask(at(1)).is_err(), "one try at a time");
        breaker.failed(at(1));
        assert_eq!(breaker.ask(at(1)), Err(Duration::from_secs(2)));
    }

    #[test]
    fn one_answer_closes_it() {
        let mut breaker = Breaker::default();
        (0..9).for_each(|_| breaker.failed(at(0)));
        breaker.succeeded();
        assert!(breaker.ask(at(0)).is_ok());
        assert_eq!(breaker.failures(), 0);
    }

    #[test]
    fn the_wait_has_a_limit() {
        let mut breaker = Breaker::default();
        (0..100).for_each(|_| breaker.failed(at(0)));
        assert!(breaker.ask(at(0).plus(WAIT_MAX)).is_ok());
    }
}
