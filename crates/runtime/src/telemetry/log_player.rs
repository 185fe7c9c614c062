//! Plays a recorded log at the pace of the video beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_messages::{Telemetry, Told};

use super::{LogReader, TelemetryError};
use crate::control::Seldom;

/// Lines handed on in one step: a step must end soon.
const LINES_PER_STEP: usize = 256;
/// How long the player waits for the next line's time.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Counts what became of a log.
#[derive(Debug, Default)]
pub struct LogCounts {
    /// Samples handed on.
    pub samples: AtomicU64,
    /// Lines that were no telemetry.
    pub lines_refused: AtomicU64,
    /// Samples that found the channel full.
    pub channel_full: AtomicU64,
}

/// Plays a log: hands each sample on when its time has come. A line that is no telemetry costs itself alone, however many there are:
/// the next one is read.
pub struct LogPlayer {
    reader: LogReader,
    clock: SharedClock,
    start: Stamp,
    samples: Sender<Telemetry>,
    ahead: Option<(Stamp, Vec<Told>)>,
    counts: Arc<LogCounts>,
    refused: Seldom,
    ended: bool,
}

impl LogPlayer {
    /// Makes the stage; `start` is the capture time of the video's first frame. The counts outlive it.
    pub fn new(
        reader: LogReader,
        clock: SharedClock,
        start: Stamp,
        samples: Sender<Telemetry>,
        counts: Arc<LogCounts>,
    ) -> Self {
        Self { reader, clock, start, samples, ahead: None, counts, refused: Seldom::default(), ended: false }
    }

    /// Says whether the log has ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn fill(&mut self) -> Result<(), Fault> {
        match self.reader.next_line() {
            Some(Ok((t_s, told))) => self.ahead = Some((self.start.plus(Duration::from_secs_f64(t_s)), told)),
            Some(Err(error @ TelemetryError::Line { .. })) => self.refuse(&error),
            Some(Err(error)) => return Err(Fault::restart(error)),
            None => self.ended = true,
        }
        Ok(())
    }

    fn refuse(&mut self, error: &TelemetryError) {
        self.counts.lines_refused.fetch_add(1, Ordering::Relaxed);
        if let Some(untold) = self.refused.note(self.clock.now()) {
            tracing::warn!(%error, untold, "line refused");
        }
    }

    fn hand_on(&mut self, at: Stamp, told: Vec<Told>) {
        for told in told {
            let sample = Telemetry { at, at_sigma: Duration::ZERO, told };
            let count = match self.samples.try_send(sample) {
                Err(TrySendError::Full(_)) => &self.counts.channel_full,
                Ok(()) | Err(TrySendError::Disconnected(_)) => &self.counts.samples,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Stage for LogPlayer {
    fn name(&self) -> &'static str {
        "telemetry"
    }

    fn step(&mut self) -> Result<(), Fault> {
        for _ in 0..LINES_PER_STEP {
            if self.ahead.is_none() && !self.ended {
                self.fill()?;
            }
            let now = self.clock.now();
            match self.ahead.take() {
                Some((at, told)) if at <= now => self.hand_on(at, told),
                Some((at, told)) => {
                    self.ahead = Some((at, told));
                    std::thread::park_timeout(at.since(now).min(WAIT_MAX));
                    return Ok(());
                }
                None if !self.ended => {}
                None => {
                    std::thread::park_timeout(WAIT_MAX);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
