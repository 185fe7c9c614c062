//! Whether the computer's wall clock agrees with the vehicle's UTC.
//!
//! Times leave the machine by the computer's wall clock, and nothing inside hangs on it. So a wrong one would show only to a
//! reader who compares a record with the time of their own. The vehicle has its time from satellites: where the two are further
//! apart than any delay of the link, somebody has to look.

use smgeo_flow::{SharedClock, Stamp};

/// Clocks further apart than this are not of one time, seconds.
const APART_S_MAX: f64 = 0.5;
/// What was found apart agrees again below this, seconds.
const AGREES_S_MAX: f64 = 0.4;
/// The offset that was told stands while the present one is this near to it: seconds, and a share of it.
const TOLD_S: f64 = 0.2;
const TOLD_SHARE: f64 = 0.02;

/// Compares the two clocks.
pub struct UtcWatch {
    clock: SharedClock,
    /// The offset that was told last, seconds, while the clocks are apart.
    told_s: Option<f64>,
}

impl UtcWatch {
    /// Makes one that watches `clock`.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, told_s: None }
    }

    /// Says what is wrong, given the vehicle's UTC less our timeline in microseconds, and what to do; nothing when the clocks
    /// agree.
    pub fn trouble(&mut self, vehicle_minus_stamp_us: i64) -> Option<String> {
        let ours_minus_stamp_us = self.clock.wall_us(Stamp::from_ns(0));
        let ahead_s = ours_minus_stamp_us.saturating_sub(vehicle_minus_stamp_us) as f64 * 1e-6;
        let limit_s = if self.told_s.is_some() { AGREES_S_MAX } else { APART_S_MAX };
        if ahead_s.abs() <= limit_s {
            self.told_s = None;
            return None;
        }
        let is_near = |told_s: &f64| (told_s - ahead_s).abs() < TOLD_S.max(TOLD_SHARE * told_s.abs());
        let told_s = *self.told_s.insert(self.told_s.filter(is_near).unwrap_or(ahead_s));
        let direction = if told_s > 0.0 { "ahead of" } else { "behind" };
        Some(format!(
            "the computer's clock is {} {direction} the vehicle's UTC, and so are the times of all tracks: set it by NTP or GPS",
            in_words(told_s.abs())
        ))
    }
}

fn in_words(offset_s: f64) -> String {
    match offset_s {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smgeo_flow::{Clock, HandClock};

    use super::*;

    #[test]
    fn clocks_that_agree_are_no_trouble_and_an_offset_is_told_once_with_its_direction() {
        let clock = HandClock::shared();
        let vehicle_us = clock.wall_us(Stamp::from_ns(0));
        let mut watch = UtcWatch::new(clock.clone());
        // By how much the computer's clock is set, milliseconds, and what is said of it.
        let steps = [
            (0, None),
            (450, None),
            (560, Some("0.6 s ahead of")),
            (450, Some("0.6 s ahead of")),
            (390, None),
            (-900, Some("0.9 s behind")),
            (-1_050, Some("0.9 s behind")),
            (-1_200, Some("1.2 s behind")),
            (7_300_000, Some("2 h ahead of")),
            (7_400_000, Some("2 h ahead of")),
            (-12_960_000_000, Some("150 days behind")),
        ];
        for (offset_ms, said) in steps {
            clock.advance(Duration::from_secs(1));
            clock.set_wall_us(vehicle_us + (clock.now().ns() / 1_000) as i64 + offset_ms * 1_000);
            let trouble = watch.trouble(vehicle_us);
            match said {
                None => assert_eq!(trouble, None, "{offset_ms} ms"),
                Some(said) => {
                    assert!(trouble.as_ref().is_some_and(|told| told.contains(said)), "{offset_ms}: {trouble:?}")
                }
            }
        }
        assert!(watch.trouble(i64::MIN).is_some() && watch.trouble(i64::MAX).is_some());
    }
}
