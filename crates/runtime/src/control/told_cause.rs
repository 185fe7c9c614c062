//! Which cause of a trouble the log was told last, so that it tells the next one when that is another.

use smgeo_flow::Stamp;

use super::seldom::Seldom;

/// Remembers the cause that was told last. A cause that differs from it in its digits only is the same: ages and counts
/// change all the time.
#[derive(Debug, Default)]
pub struct ToldCause {
    cause: String,
    seldom: Seldom,
}

impl ToldCause {
    /// Notes a cause that is told whatever was told before: the trouble begins.
    pub fn begin(&mut self, now: Stamp, cause: &str) {
        self.seldom.note(now);
        cause.clone_into(&mut self.cause);
    }

    /// Says whether a cause has to be told: it is not the last that was, and as seldom as [`Seldom`] lets it. One that came
    /// too early is told when it is noted again.
    pub fn is_news(&mut self, now: Stamp, cause: &str) -> bool {
        let is_news = !is_same(&self.cause, cause) && self.seldom.note(now).is_some();
        if is_news {
            cause.clone_into(&mut self.cause);
        }
        is_news
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let words = |cause: &str| cause.bytes().filter(|byte| !byte.is_ascii_digit()).collect::<Vec<_>>();
    one == other || words(one) == words(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_cause_is_told_once_in_five_seconds_and_never_for_its_numbers_alone() {
        let mut told = ToldCause::default();
        told.begin(Stamp::from_ns(0), "no picture has come yet");
        let heard: Vec<(u32, &str)> = [
            (1_000, "no picture has come yet"),
            (2_000, "wrong password"),
            (3_000, "position is 310 ms old"),
            (6_000, "wrong password"),
            (12_000, "wrong password"),
            (18_000, "position is 310 ms old"),
            (24_000, "position is 2400 ms old"),
        ]
        .into_iter()
        .filter(|(ms, cause)| told.is_news(Stamp::from_ns(u64::from(*ms) * 1_000_000), cause))
        .collect();
        assert_eq!(heard, [(6_000, "wrong password"), (18_000, "position is 310 ms old")]);
    }
}
