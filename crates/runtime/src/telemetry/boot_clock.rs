//! Ties a sender's clock (milliseconds since its boot) to our timeline.
//!
//! A message arrives late by a delay that is never negative, so the least difference between arrival and boot time is the
//! best estimate of the offset: jitter and bursts only add. What was once least is let grow by no more than two clocks drift
//! apart, so a link that comes to be slow, and stays so, delivers old messages and is not taken for another clock. The fixed
//! part of the delay cannot be seen from one end and is configured. A sender that restarts, or a damaged time, shows as a jump and is believed only when it repeats.

use std::time::Duration;

use smgeo_flow::Stamp;

/// Crystals are off by 50 ppm and less, each.
const DRIFT_MAX: f64 = 100e-6;
/// Jitter is judged over one to two of these.
const HALF_WINDOW: Duration = Duration::from_secs(10);
/// A difference beyond this is a jump, not a delay.
const JUMP: Duration = Duration::from_secs(1);
/// Messages in a row that must agree on a new offset.
const JUMPS_TO_BELIEVE: u32 = 5;
/// The mean delay that is assumed until enough messages have shown it.
const JITTER_ASSUMED_S: f64 = 0.02;
const MESSAGES_TO_KNOW_JITTER: u32 = 20;
/// Boot time is told in whole milliseconds: one twelfth of its square is the variance.
const RESOLUTION_SIGMA_S: f64 = 0.001 / 3.464_101_615_137_755;

/// Maps one sender's boot time to stamps.
#[derive(Clone, Debug)]
pub struct BootClock {
    delay: Duration,
    delay_sigma: Duration,
    boot_ms: Option<u64>,
    // The least offset, let grow since the moment it was told for.
    least: Option<(i128, Stamp)>,
    older: Option<Excess>,
    newer: Option<Excess>,
    doubt: Option<Doubt>,
}

/// Is a sender's moment on our timeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapped {
    /// The moment.
    pub at: Stamp,
    /// One standard deviation.
    pub sigma: Duration,
}

/// Is the refusal of a time that fits nothing seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("boot time {boot_ms} ms jumps against the times before it")]
pub struct BootClockJump {
    /// The time as it was told.
    pub boot_ms: u32,
}

/// Is by how much messages came later than the least.
#[derive(Clone, Copy, Debug)]
struct Excess {
    since: Stamp,
    count: u32,
    sum_ns: i128,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    offset_ns: i128,
    count: u32,
}

impl BootClock {
    /// Makes a clock for one sender. `delay` is the least time a message takes, as far as it is known, and `delay_sigma` how
    /// well it is known.
    pub fn new(delay: Duration, delay_sigma: Duration) -> Self {
        Self { delay, delay_sigma, boot_ms: None, least: None, older: None, newer: None, doubt: None }
    }

    /// Takes in a message that was stamped `boot_ms` by its sender and `arrived` here, and returns its moment.
    pub fn map(&mut self, boot_ms: u32, arrived: Stamp) -> Result<Mapped, BootClockJump> {
        let unwrapped_ms = self.unwrapped(boot_ms);
        let offset_ns = i128::from(arrived.ns()) - i128::from(unwrapped_ms) * 1_000_000;
        let is_believed = |clock: &mut Self| !clock.is_late(unwrapped_ms, arrived) && clock.is_believed(offset_ns);
        if self.jumps(unwrapped_ms, offset_ns) && !is_believed(self) {
            return Err(BootClockJump { boot_ms });
        }
        self.doubt = None;
        self.boot_ms = Some(self.boot_ms.map_or(unwrapped_ms, |newest_ms| newest_ms.max(unwrapped_ms)));
        self.learn(offset_ns, arrived);
        let (least_ns, sigma) = self.estimate().expect("a message was just taken in");
        let at_ns = i128::from(unwrapped_ms) * 1_000_000 + least_ns - self.delay.as_nanos() as i128;
        Ok(Mapped { at: Stamp::from_ns(at_ns.clamp(0, i128::from(u64::MAX)) as u64), sigma })
    }

    /// Continues a 32-bit count over its end, every 49.7 days.
    fn unwrapped(&self, boot_ms: u32) -> u64 {
        let Some(last_ms) = self.boot_ms else { return u64::from(boot_ms) };
        let ahead_ms = boot_ms.wrapping_sub(last_ms as u32) as i32;
        last_ms.saturating_add_signed(i64::from(ahead_ms))
    }

    fn jumps(&self, boot_ms: u64, offset_ns: i128) -> bool {
        let Some((least_ns, _)) = self.estimate() else { return false };
        let jump_ns = JUMP.as_nanos() as i128;
        // Later than expected is a delay, unless the sender's time also ran back: then it has restarted.
        offset_ns < least_ns - jump_ns || self.went_back(boot_ms)
    }

    fn went_back(&self, boot_ms: u64) -> bool {
        self.boot_ms.is_some_and(|last_ms| u128::from(last_ms.saturating_sub(boot_ms)) > JUMP.as_millis())
    }

    /// Says whether a time that ran back is too old to be of a sender that has restarted, as it would have to have done since the last
    /// message. It came by a slower way then, beside the link or in its place.
    fn is_late(&self, boot_ms: u64, arrived: Stamp) -> bool {
        let Some((_, last)) = self.least else { return false };
        let up_max = arrived.since(last) + JUMP;
        self.went_back(boot_ms) && u128::from(boot_ms) > up_max.as_millis()
    }

    fn is_believed(&mut self, offset_ns: i128) -> bool {
        let agrees = |doubt: &Doubt| (doubt.offset_ns - offset_ns).unsigned_abs() < JUMP.as_nanos();
        let count = self.doubt.filter(agrees).map_or(1, |doubt| doubt.count + 1);
        self.doubt = Some(Doubt { offset_ns, count });
        if count < JUMPS_TO_BELIEVE {
            return false;
        }
        (self.boot_ms, self.least, self.older, self.newer) = (None, None, None, None);
        true
    }

    fn learn(&mut self, offset_ns: i128, arrived: Stamp) {
        if self.newer.is_some_and(|newer| arrived.since(newer.since) > HALF_WINDOW) {
            self.older = self.newer.take().filter(|newer| arrived.since(newer.since) <= 2 * HALF_WINDOW);
        }
        let grown =
            |(least_ns, at): (i128, Stamp)| least_ns + (arrived.since(at).as_nanos() as f64 * DRIFT_MAX) as i128;
        let before_ns = self.least.map_or(offset_ns, grown);
        let least_ns = before_ns.min(offset_ns);
        self.least = Some((least_ns, arrived));
        let newer = self.newer.get_or_insert(Excess { since: arrived, count: 0, sum_ns: 0 });
        for excess in [self.older.as_mut(), Some(newer)].into_iter().flatten() {
            excess.sum_ns += (before_ns - least_ns) * i128::from(excess.count);
        }
        newer.sum_ns += offset_ns - least_ns;
        newer.count += 1;
    }

    /// Returns the least offset and its deviation: the least of n delays with mean excess m lies m / n above the true least.
    fn estimate(&self) -> Option<(i128, Duration)> {
        let (least_ns, _) = self.least?;
        let both = [self.older, self.newer];
        let count: u32 = both.iter().flatten().map(|excess| excess.count).sum();
        let sum_ns: i128 = both.iter().flatten().map(|excess| excess.sum_ns).sum();
        let seen_s = sum_ns as f64 * 1e-9 / f64::from(count.max(1));
        let mean_s = if count < MESSAGES_TO_KNOW_JITTER { seen_s.max(JITTER_ASSUMED_S) } else { seen_s };
        let excess_s = mean_s / f64::from(count.max(1));
        let sigma_s = excess_s.hypot(RESOLUTION_SIGMA_S).hypot(self.delay_sigma.as_secs_f64());
        Some((least_ns, Duration::from_secs_f64(sigma_s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// What the least is let grow by in a second.
    const DRIFT_MS: f64 = 1_000.0 * DRIFT_MAX;

    /// Sends a message every 100 ms with the given delays and returns the error of each mapped moment in ms.
    fn errors_ms(clock: &mut BootClock, first_boot_ms: u32, delays_ms: &[u64]) -> Vec<Option<f64>> {
        let sent = |at: usize| 3_600_000 + 100 * at as u64;
        delays_ms
            .iter()
            .enumerate()
            .map(|(at, delay_ms)| {
                let arrived = Stamp::from_ns((sent(at) + delay_ms) * MS);
                let mapped = clock.map(first_boot_ms.wrapping_add(100 * at as u32), arrived).ok()?;
                Some(mapped.at.seconds_after(Stamp::from_ns(sent(at) * MS)) * 1e3)
            })
            .collect()
    }

    fn clock() -> BootClock {
        BootClock::new(Duration::ZERO, Duration::ZERO)
    }

    #[test]
    fn the_least_delay_counts_and_jitter_does_not() {
        let delays: Vec<u64> = (0..60).map(|at| [3, 40, 11, 250, 5, 90][at % 6]).collect();
        let errors = errors_ms(&mut clock(), 5_000, &delays);
        assert!(errors.iter().all(|error| (error.unwrap() - 3.0).abs() < DRIFT_MS), "{errors:?}");
    }

    #[test]
    fn a_known_delay_is_taken_off_and_its_sigma_kept() {
        let mut clock = BootClock::new(Duration::from_millis(3), Duration::from_millis(2));
        let errors = errors_ms(&mut clock, 5_000, &[3; 40]);
        assert!(errors[39].unwrap().abs() < 1e-6);
        let (_, sigma) = clock.estimate().unwrap();
        assert!((1.9..2.2).contains(&(sigma.as_secs_f64() * 1e3)), "{sigma:?}");
    }

    #[test]
    fn what_was_held_up_for_seconds_is_stamped_as_old_as_it_is() {
        let mut delays = vec![5; 30];
        delays.extend([3_000, 2_900, 2_800, 5, 5]);
        let errors = errors_ms(&mut clock(), 5_000, &delays);
        assert!(errors.iter().all(|error| (error.unwrap() - 5.0).abs() < 4.0 * DRIFT_MS), "{errors:?}");
    }

    #[test]
    fn a_link_that_becomes_slow_and_stays_so_delivers_old_messages() {
        let mut delays = vec![5; 30];
        delays.extend([2_000; 600]);
        let errors = errors_ms(&mut clock(), 5_000, &delays);
        // A minute of drift at most.
        assert!(errors.iter().all(|error| (4.9..=11.3).contains(&error.unwrap())));
    }

    #[test]
    fn a_second_slower_way_does_not_take_the_place_of_the_first() {
        let mut clock = clock();
        errors_ms(&mut clock, 5_000, &[5; 100]);
        // The fast way breaks off after 10 s; what comes by the other is 3 s behind.
        for late in 0..20 {
            let boot_ms = 12_000 + 100 * late;
            let arrived = Stamp::from_ns((3_610_000 + 100 * u64::from(late)) * MS);
            match clock.map(boot_ms, arrived) {
                Ok(mapped) => assert!(arrived.seconds_after(mapped.at) > 2.9, "{mapped:?}"),
                Err(jump) => assert_eq!(jump, BootClockJump { boot_ms }),
            }
        }
        let back = clock.map(17_000, Stamp::from_ns(3_612_005 * MS)).unwrap();
        assert!((back.at.ns() as f64 / MS as f64 - 3_612_005.0).abs() < 2.0, "{back:?}");
    }

    #[test]
    fn a_sender_whose_crystal_is_slow_is_followed() {
        let mut clock = clock();
        let mapped = (0..6_000_u64).map(|at| {
            // Its milliseconds are 50 ppm too long.
            let sent_ns = 3_600_000 * MS + at * (100 * MS + 5_000);
            let mapped = clock.map(5_000 + 100 * at as u32, Stamp::from_ns(sent_ns + 4 * MS)).unwrap();
            mapped.at.seconds_after(Stamp::from_ns(sent_ns)) * 1e3
        });
        assert!(mapped.map(|error_ms| (error_ms - 4.0).abs()).all(|away_ms| away_ms < 0.1));
    }

    #[test]
    fn the_count_runs_on_over_its_end() {
        let errors = errors_ms(&mut clock(), u32::MAX - 950, &[4; 40]);
        assert!(errors.iter().all(|error| (error.unwrap() - 4.0).abs() < 1e-6), "{errors:?}");
    }

    #[test]
    fn one_damaged_time_is_refused_and_moves_nothing() {
        let mut clock = clock();
        errors_ms(&mut clock, 5_000, &[4; 20]);
        for damaged in [4_000_000_000, 0, 900_000] {
            assert!(clock.map(damaged, Stamp::from_ns(3_602_004 * MS)).is_err(), "{damaged}");
        }
        let mapped = clock.map(7_000, Stamp::from_ns(3_602_004 * MS)).unwrap();
        assert_eq!(mapped.at.ns(), 3_602_004 * MS);
    }

    #[test]
    fn a_sender_that_restarts_is_believed_when_it_repeats() {
        let mut clock = clock();
        errors_ms(&mut clock, 500_000, &[4; 20]);
        let errors = errors_ms(&mut clock, 100, &[4; 8]);
        assert_eq!(errors.iter().filter(|error| error.is_none()).count(), JUMPS_TO_BELIEVE as usize - 1);
        assert!((errors[7].unwrap() - 4.0).abs() < 1e-6);
    }

    #[test]
    fn few_messages_make_a_wide_sigma() {
        let mut clock = clock();
        let first = clock.map(5_000, Stamp::from_ns(3_600_004 * MS)).unwrap();
        errors_ms(&mut clock, 5_000, &[4; 60]);
        let (_, later) = clock.estimate().unwrap();
        assert!(first.sigma > Duration::from_millis(15) && later < Duration::from_millis(1), "{first:?} {later:?}");
    }
}
