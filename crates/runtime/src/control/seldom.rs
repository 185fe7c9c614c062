//! Warnings of what may happen with every item, given seldom.

use std::time::Duration;

use smgeo_flow::Stamp;

/// The log says at most this often that something goes on happening.
const EVERY: Duration = Duration::from_secs(5);

/// Lets one event be told, and then none for five seconds; the others are counted until the next that is told.
#[derive(Debug, Default)]
pub struct Seldom {
    told_at: Option<Stamp>,
    untold: u64,
}

impl Seldom {
    /// Notes one event. Returns how many went untold before it if it is to be told, and nothing if it is not.
    pub fn note(&mut self, now: Stamp) -> Option<u64> {
        if self.told_at.is_some_and(|told_at| now.since(told_at) < EVERY) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_in_five_seconds_is_told_with_the_number_of_those_that_were_not() {
        let mut seldom = Seldom::default();
        let told = [0, 1, 2_500, 4_999, 5_000, 5_001, 60_000].map(|ms| seldom.note(Stamp::from_ns(ms * 1_000_000)));
        assert_eq!(told, [Some(0), None, None, None, Some(3), None, Some(1)]);
    }
}
