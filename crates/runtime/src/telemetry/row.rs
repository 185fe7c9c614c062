//! Samples of one kind in order of time, and the two around a moment.

use std::collections::VecDeque;
use std::time::Duration;

use smgeo_flow::Stamp;

use super::{NoPose, Rejected};

/// The most samples of a kind: ten seconds at 200 a second.
const SAMPLES_MAX: usize = 2_000;

/// Keeps samples of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    what: &'static str,
    keep: Duration,
    samples: VecDeque<(Stamp, T)>,
}

/// Is the pair of samples around a moment. Past the newest sample both are the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between<T> {
    /// The sample at or before the moment.
    pub earlier: T,
    /// Its time.
    pub earlier_at: Stamp,
    /// The sample after the moment.
    pub later: T,
    /// Its time.
    pub later_at: Stamp,
    /// How far the moment lies on the way from one to the other, 0 to 1.
    pub part: f64,
    /// The time between the two.
    pub gap: Duration,
    /// The time to the nearer of the two.
    pub age: Duration,
    /// Whether the moment lies past the newest sample.
    pub is_past: bool,
}

impl<T> Between<T> {
    /// Returns the seconds over which something may have happened unseen: those since the newest sample; between two samples none at
    /// either, and a quarter of their distance in the middle.
    pub fn unseen_s(&self) -> f64 {
        match self.is_past {
            true => self.age.as_secs_f64(),
            false => self.gap.as_secs_f64() * self.part * (1.0 - self.part),
        }
    }
}

impl<T> Row<T> {
    /// Makes an empty row that forgets what is older than `keep`.
    pub fn new(what: &'static str, keep: Duration) -> Self {
        Self { what, keep, samples: VecDeque::new() }
    }

    /// Refuses a moment that is not newer than the last.
    pub fn check_newer(&self, at: Stamp) -> Result<(), Rejected> {
        match self.samples.back() {
            Some((last, _)) if at <= *last => Err(Rejected::NotNewer),
            _ => Ok(()),
        }
    }

    /// Takes in a sample that is newer than the last.
    pub fn put(&mut self, at: Stamp, sample: T) -> Result<(), Rejected> {
        self.check_newer(at)?;
        self.samples.push_back((at, sample));
        let too_old = |first: &(Stamp, T)| at.since(first.0) > self.keep;
        while self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(too_old) {
            self.samples.pop_front();
        }
        Ok(())
    }

    /// Finds the samples around `at`, within the limits given in milliseconds.
    pub fn between(&self, at: Stamp, gap_ms_max: f64, past_ms_max: f64) -> Result<Between<&T>, NoPose> {
        let what = self.what;
        let (newest_at, newest) = self.samples.back().ok_or(NoPose::Silent(what))?;
        if at >= *newest_at {
            let age = at.since(*newest_at);
            let age_ms = age.as_secs_f64() * 1e3;
            if age_ms > past_ms_max {
                return Err(NoPose::Old { what, age_ms });
            }
            return Ok(Between {
                earlier: newest,
                earlier_at: *newest_at,
                later: newest,
                later_at: *newest_at,
                part: 0.0,
                gap: Duration::ZERO,
                age,
                is_past: !age.is_zero(),
            });
        }
        let after = self.samples.partition_point(|(stamp, _)| *stamp <= at);
        if after == 0 {
            return Err(NoPose::Forgotten(what));
        }
        let ((earlier_at, earlier), (later_at, later)) = (&self.samples[after - 1], &self.samples[after]);
        let gap = later_at.since(*earlier_at);
        let gap_ms = gap.as_secs_f64() * 1e3;
        if gap_ms > gap_ms_max {
            return Err(NoPose::Gap { what, gap_ms });
        }
        let since = at.since(*earlier_at);
        Ok(Between {
            earlier,
            earlier_at: *earlier_at,
            later,
            later_at: *later_at,
            part: since.as_secs_f64() / gap.as_secs_f64(),
            gap,
            age: since.min(later_at.since(at)),
            is_past: false,
        })
    }
}
