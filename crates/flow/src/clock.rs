//! One source of time.
//!
//! Everything inside the process is measured on one monotonic timeline, so that a wall clock that jumps (GNSS lock, NTP, a
//! board without a battery) can neither age a fix nor make one look fresh. Wall time is only a label, made when
//! something leaves or enters the process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Is a moment on the process's monotonic timeline, in nanoseconds since the clock was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    ns: u64,
}

impl Stamp {
    /// Makes the stamp that lies `ns` nanoseconds after the clock's origin.
    pub const fn from_ns(ns: u64) -> Self {
        Self { ns }
    }

    /// Returns nanoseconds since the clock's origin.
    pub const fn ns(self) -> u64 {
        self.ns
    }

    /// Returns the time from `earlier` to this stamp, zero when `earlier` is later.
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// Returns the signed seconds from `other` to this stamp.
    pub fn seconds_after(self, other: Stamp) -> f64 {
        self.ns as f64 * 1e-9 - other.ns as f64 * 1e-9
    }

    /// Returns the stamp `by` later.
    pub fn plus(self, by: Duration) -> Stamp {
        Stamp { ns: self.ns.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)) }
    }

    /// Returns the stamp `by` earlier, not before the origin.
    pub fn minus(self, by: Duration) -> Stamp {
        Stamp { ns: self.ns.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)) }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.ns as f64 * 1e-9)
    }
}

/// Tells the time; the only thing in the product that does.
pub trait Clock: Send + Sync {
    /// Returns the present moment.
    fn now(&self) -> Stamp;

    /// Returns the wall time now, in microseconds since 1970-01-01 UTC.
    fn wall_us_now(&self) -> i64;

    /// Returns the wall time of `at`, in microseconds since 1970-01-01 UTC, by the wall clock as it is set now.
    fn wall_us(&self, at: Stamp) -> i64 {
        let now = self.now();
        let offset_us = (at.ns as i128 - now.ns as i128) / 1_000;
        self.wall_us_now() + offset_us as i64
    }

    /// Returns the moment that the wall clock, as it is set now, calls `wall_us`; the origin if that was before it.
    fn stamp_of_wall_us(&self, wall_us: i64) -> Stamp {
        let behind_ns = (self.wall_us_now() - wall_us) as i128 * 1_000;
        let ns = (self.now().ns as i128 - behind_ns).clamp(0, u64::MAX as i128);
        Stamp { ns: ns as u64 }
    }
}

/// Is how a clock is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// Reads the machine's clocks. It goes on while the machine sleeps, so that what was of the present before is old afterwards.
pub struct SystemClock {
    // Before construction, so that the capture time of the first frames is never before the origin.
    origin: Duration,
}

impl SystemClock {
    /// Makes a clock whose timeline begins an hour ago: what was captured before the process began has a stamp too.
    pub fn shared() -> SharedClock {
        Arc::new(Self { origin: since_boot() })
    }
}

/// How long before its construction a clock's timeline begins.
const LEAD: Duration = Duration::from_secs(3_600);

/// The time since the machine was started, sleep included.
fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        Stamp::from_ns(0).plus(LEAD + since_boot().saturating_sub(self.origin))
    }

    fn wall_us_now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        }
    }
}

/// Is turned by hand: the clock of tests and of replays.
pub struct HandClock {
    now_ns: AtomicU64,
    wall_us_at_origin: AtomicI64,
}

impl HandClock {
    /// Makes a clock that stands an hour after its origin, at 2026-01-01T00:00:00Z.
    pub fn shared() -> Arc<Self> {
        const HOUR_NS: u64 = 3_600_000_000_000;
        const NEW_YEAR_2026_US: i64 = 1_767_225_600_000_000;
        Arc::new(Self {
            now_ns: AtomicU64::new(HOUR_NS),
            wall_us_at_origin: AtomicI64::new(NEW_YEAR_2026_US - HOUR_NS as i64 / 1_000),
        })
    }

    /// Moves time on.
    pub fn advance(&self, by: Duration) {
        self.now_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, as GNSS or NTP would: the monotonic timeline does not move.
    pub fn set_wall_us(&self, wall_us: i64) {
        let since_origin_us = (self.now_ns.load(Ordering::SeqCst) / 1_000) as i64;
        self.wall_us_at_origin.store(wall_us - since_origin_us, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Stamp {
        Stamp::from_ns(self.now_ns.load(Ordering::SeqCst))
    }

    fn wall_us_now(&self) -> i64 {
        self.wall_us_at_origin.load(Ordering::SeqCst) + (self.now().ns() / 1_000) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_jumps_moves_no_stamp() {
        let clock = HandClock::shared();
        let captured = clock.now();
        clock.advance(Duration::from_millis(40));
        clock.set_wall_us(0);
        assert_eq!(clock.now().since(captured), Duration::from_millis(40));
        assert_eq!(clock.wall_us(captured), -40_000);
    }

    #[test]
    fn wall_time_and_stamp_are_inverse() {
        let clock = HandClock::shared();
        for behind_ms in [0, 1, 999, 3_000_000] {
            let at = clock.now().minus(Duration::from_millis(behind_ms));
            assert_eq!(clock.stamp_of_wall_us(clock.wall_us(at)), at);
        }
    }

    #[test]
    fn no_time_is_negative() {
        let (early, late) = (Stamp::from_ns(5), Stamp::from_ns(9));
        assert_eq!(early.since(late), Duration::ZERO);
        assert!(early.seconds_after(late) < 0.0);
    }
}
