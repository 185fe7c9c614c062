//! When light fell on the sensor.
//!
//! Best is the sender's own wall time, from RTCP sender reports. It is absent until the first report, and it is worthless
//! when the sender's clock was never set, so it is believed only while the age it gives is possible. Otherwise the
//! presentation time tells how long the frame has been under way inside this process, and a configured delay stands for the
//! way from the sensor to here. The frame's sigma says which.
//!
//! A sender's first reports may be wrong by whole tenths of a second without looking impossible: GStreamer's servers are
//! wrong in the first by the time the first picture waited. While reports are on trial the sender's time is taken, since
//! it is the better guess, but held to be as uncertain as it differs from the other. A report that differs from the ones
//! before widens the sigma until the next have agreed with it. Once they have, a great age is the link's doing and no sign of a
//! wrong clock, and the sender's time is kept.
//!
//! A sender that says from the first that its pictures are seconds old may be wrong, or its link may be that slow: nobody can tell,
//! so then a time is held to be as uncertain as the two differ. Only what is minutes off is a clock that was never set.
//!
//! Our own wall clock, through which the sender's time comes, is taken as it stood when the connection began: a step of it
//! moves no capture time, but says by how much the clock was wrong then or is now, and that is part of the sigma.
//!
//! Capture time never runs backwards while presentation time advances: when the better source says a frame is older than
//! the worse one had guessed, the difference is worn down over the next frames, and until then it is part of the sigma.

use std::time::Duration;

use smgeo_flow::Stamp;
use smgeo_messages::TimeSource;

const SECOND_NS: i64 = 1_000_000_000;
/// A presentation time that disagrees with the clock by more than this has jumped: it begins a new line.
const JUMP_NS: i64 = SECOND_NS;
/// A pipeline that holds a frame longer than this has mixed up its times.
const UNDER_WAY_NS_MAX: i64 = 5 * SECOND_NS;
/// A sender may be ahead of us by this, as far as two clocks that follow NTP may differ.
const SENDER_AHEAD_NS_MAX: i64 = SECOND_NS / 20;
/// No link holds video back for longer than this and still carries it.
const LATE_NS_MAX: i64 = 60 * SECOND_NS;
/// Reports come every five seconds by RTCP's rules, most senders' more often: what stands for so long was said twice.
const TRIAL_NS: i64 = 6 * SECOND_NS;
/// Reports that differ by less than this are the same: clocks drift, and their readings are not exact.
const SAME_NS: i64 = 2 * SECOND_NS / 1_000;
/// Our wall clock moves by less than this when it is only being read: more is a step.
const STEP_NS: i64 = 20_000_000;
const ARRIVAL_SIGMA: Duration = Duration::from_millis(100);

/// Is what is known about a frame when it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Now.
    pub at: Stamp,
    /// The frame's presentation time on the pipeline's running time, ns.
    pub running_ns: Option<i64>,
    /// The pipeline's running time now, ns.
    pub running_now_ns: Option<i64>,
    /// The moment of capture by the sender's wall clock, through our own as it is set now.
    pub sender: Option<Stamp>,
    /// The wall time of our timeline's origin, microseconds since 1970, as our wall clock is set now.
    pub wall_origin_us: i64,
}

/// Is a capture time and what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureTime {
    /// When light fell on the sensor.
    pub captured: Stamp,
    /// How that is known.
    pub source: TimeSource,
    /// One standard deviation.
    pub sigma: Duration,
    /// Whether a sender time was there and not believed.
    pub sender_refused: bool,
}

/// Are the delays and sigmas of one kind of source.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// From the sensor to the begin of our pipeline, where nothing better is known.
    pub capture_delay: Duration,
    /// One standard deviation of a time by presentation time.
    pub pts_sigma: Duration,
    /// One standard deviation of the sender's wall clock.
    pub sender_sigma: Duration,
    /// The greatest age the sender's clock is believed. Zero: it is not looked at.
    pub sender_age_max: Duration,
}

/// Turns arrivals into capture times; one for each connection.
pub struct CaptureClock {
    trust: Trust,
    reports: Option<Reports>,
    // Whether reports have stood their trial, and what our wall clock said of the timeline's origin when they began.
    confirmed: bool,
    wall_origin_us: Option<i64>,
    // What is added to running time to get capture time, and the newest running time seen.
    line: Option<Line>,
}

#[derive(Clone, Copy)]
struct Line {
    offset_ns: i64,
    running_ns: i64,
}

/// Is what the sender's reports of the last seconds say, against presentation time. Where they differ nobody knows which is
/// right, until the newest has stood for a trial.
#[derive(Clone, Copy)]
struct Reports {
    newest_ns: i64,
    since_ns: i64,
    least_ns: i64,
    most_ns: i64,
    running_ns: i64,
}

impl CaptureClock {
    /// Makes a clock for a new connection.
    pub fn new(trust: Trust) -> Self {
        Self { trust, reports: None, confirmed: false, wall_origin_us: None, line: None }
    }

    /// Tells when a frame was captured: never after it arrived.
    pub fn capture_time(&mut self, arrival: Arrival) -> CaptureTime {
        let (target_ns, source, sigma) = self.target(arrival);
        let sender_refused = arrival.sender.is_some() && source != TimeSource::Ntp;
        let (captured_ns, shift_ns) = match arrival.running_ns {
            Some(running_ns) if source != TimeSource::Arrival => self.on_line(running_ns, target_ns),
            _ => (target_ns, 0),
        };
        let arrived_ns = signed_ns(arrival.at);
        let early_ns = (captured_ns - arrived_ns).max(0);
        let captured_ns = captured_ns.min(arrived_ns).max(0);
        CaptureTime {
            captured: Stamp::from_ns(captured_ns as u64),
            source,
            sigma: sigma + Duration::from_nanos((shift_ns + early_ns) as u64),
            sender_refused,
        }
    }

    /// The capture time by the best source that can be believed, ns on the process's timeline.
    fn target(&mut self, arrival: Arrival) -> (i64, TimeSource, Duration) {
        let (guess_ns, guess_source, guess_sigma) = self.guess(arrival);
        if let Some(sender) = arrival.sender.filter(|_| !self.trust.sender_age_max.is_zero()) {
            let (sender_ns, step) = self.unstepped(sender, arrival.wall_origin_us);
            let age_ns = signed_ns(arrival.at) - sender_ns;
            let age_ns_max = if self.confirmed { i64::MAX } else { ns(self.trust.sender_age_max) };
            let apart = Duration::from_nanos(sender_ns.abs_diff(guess_ns));
            if (-SENDER_AHEAD_NS_MAX..=age_ns_max).contains(&age_ns) {
                let on_trial = self.trust.pts_sigma.max(apart);
                let sigma = self.sender_sigma(sender_ns, arrival.running_ns, on_trial) + step;
                return (sender_ns, TimeSource::Ntp, sigma);
            }
            if (0..=LATE_NS_MAX).contains(&age_ns) {
                return (guess_ns, guess_source, guess_sigma.max(apart));
            }
        }
        (guess_ns, guess_source, guess_sigma)
    }

    /// The sender's time through our wall clock as it stood when its reports began, ns, and how far that has been stepped since. While
    /// no report was believed the clock may still be set.
    fn unstepped(&mut self, sender: Stamp, wall_origin_us: i64) -> (i64, Duration) {
        if self.reports.is_none() {
            self.wall_origin_us = None;
        }
        let step_us = wall_origin_us.saturating_sub(*self.wall_origin_us.get_or_insert(wall_origin_us));
        let step_ns = step_us.saturating_mul(1_000);
        let step = if step_ns.abs() > STEP_NS { Duration::from_nanos(step_ns.unsigned_abs()) } else { Duration::ZERO };
        (signed_ns(sender).saturating_add(step_ns), step)
    }

    /// The capture time without the sender's clock.
    fn guess(&self, arrival: Arrival) -> (i64, TimeSource, Duration) {
        let arrived_ns = signed_ns(arrival.at);
        let delay_ns = ns(self.trust.capture_delay);
        if let (Some(running_ns), Some(running_now_ns)) = (arrival.running_ns, arrival.running_now_ns) {
            let under_way_ns = running_now_ns - running_ns;
            if (-SENDER_AHEAD_NS_MAX..=UNDER_WAY_NS_MAX).contains(&under_way_ns) {
                let captured_ns = arrived_ns - under_way_ns.max(0) - delay_ns;
                return (captured_ns, TimeSource::PtsArrival, self.trust.pts_sigma);
            }
        }
        (arrived_ns - delay_ns, TimeSource::Arrival, self.trust.pts_sigma + ARRIVAL_SIGMA)
    }

    /// What the sender's time is worth: its clock's sigma and what its reports differ by; while on trial, at least
    /// `on_trial`.
    fn sender_sigma(&mut self, sender_ns: i64, running_ns: Option<i64>, on_trial: Duration) -> Duration {
        let Some(running_ns) = running_ns else { return self.trust.sender_sigma.max(on_trial) };
        let offset_ns = sender_ns.saturating_sub(running_ns);
        let reports = Reports::taking(self.reports, offset_ns, running_ns);
        self.reports = Some(reports);
        self.confirmed |= !reports.are_on_trial();
        let least = if reports.are_on_trial() { on_trial } else { Duration::ZERO };
        (self.trust.sender_sigma + reports.half()).max(least)
    }

    /// Follows the target with an offset that may grow at once but shrinks by at most half of the time that passes, and
    /// returns the capture time with how far it is from the target.
    fn on_line(&mut self, running_ns: i64, target_ns: i64) -> (i64, i64) {
        let wanted_ns = target_ns.saturating_sub(running_ns);
        let line = match self.line {
            Some(line) if line.offset_ns.abs_diff(wanted_ns) < JUMP_NS as u64 => {
                let passed_ns = running_ns.saturating_sub(line.running_ns).clamp(0, JUMP_NS);
                Line {
                    offset_ns: wanted_ns.max(line.offset_ns - passed_ns / 2),
                    running_ns: line.running_ns.max(running_ns),
                }
            }
            _ => Line { offset_ns: wanted_ns, running_ns },
        };
        self.line = Some(line);
        (running_ns.saturating_add(line.offset_ns), line.offset_ns - wanted_ns)
    }
}

impl Reports {
    fn taking(before: Option<Reports>, offset_ns: i64, running_ns: i64) -> Self {
        let Some(before) = before else {
            let (least_ns, most_ns) = (offset_ns, offset_ns);
            return Self { newest_ns: offset_ns, since_ns: running_ns, least_ns, most_ns, running_ns };
        };
        let is_new = offset_ns.abs_diff(before.newest_ns) > SAME_NS as u64;
        let reports = Self {
            newest_ns: if is_new { offset_ns } else { before.newest_ns },
            since_ns: if is_new { running_ns } else { before.since_ns },
            least_ns: before.least_ns.min(offset_ns),
            most_ns: before.most_ns.max(offset_ns),
            running_ns: before.running_ns.max(running_ns),
        };
        match reports.are_on_trial() {
            true => reports,
            // It has been confirmed; a slow drift is followed.
            false => Self { newest_ns: offset_ns, least_ns: offset_ns, most_ns: offset_ns, ..reports },
        }
    }

    fn are_on_trial(self) -> bool {
        self.running_ns.saturating_sub(self.since_ns) < TRIAL_NS
    }

    fn half(self) -> Duration {
        Duration::from_nanos(self.most_ns.saturating_sub(self.least_ns).max(0) as u64 / 2)
    }
}

fn signed_ns(stamp: Stamp) -> i64 {
    i64::try_from(stamp.ns()).unwrap_or(i64::MAX)
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
