//! Plays a recorded log at the pace of the video beside it.

use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_messages::{Telemetry, Told};

use super::{LogReader, TelemetryError};

/// Lines handed on in one step: a step must end soon.
const LINES_PER_STEP: usize = 256;
/// How long the player waits for the next line's time.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Plays a log: hands each sample on when its time has come.
pub struct LogPlayer {
    reader: LogReader,
    clock: SharedClock,
    start: Stamp,
    samples: Sender<Telemetry>,
    ahead: Option<(Stamp, Vec<Told>)>,
    lines_refused: u64,
    channel_full: u64,
    ended: bool,
}

impl LogPlayer {
    /// Makes the stage; `start` is the capture time of the video's first frame.
    pub fn new(reader: LogReader, clock: SharedClock, start: Stamp, samples: Sender<Telemetry>) -> Self {
        Self { reader, clock, start, samples, ahead: None, lines_refused: 0, channel_full: 0, ended: false }
    }

    /// Counts the lines that were no telemetry.
    pub fn lines_refused(&self) -> u64 {
        self.lines_refused
    }

    /// Counts the samples that found the channel full.
    pub fn channel_full(&self) -> u64 {
        self.channel_full
    }

    /// Says whether the log has ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn fill(&mut self) -> Result<(), TelemetryError> {
        match self.reader.next_line() {
            Some(Ok((t_s, told))) => {
                self.ahead = Some((self.start.plus(Duration::from_secs_f64(t_s)), told));
                Ok(())
            }
            Some(Err(error)) => {
                self.lines_refused += 1;
                Err(error)
            }
            None => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn hand_on(&mut self, at: Stamp, told: Vec<Told>) {
        for told in told {
            let sample = Telemetry { at, at_sigma: Duration::ZERO, told };
            if let Err(TrySendError::Full(_)) = self.samples.try_send(sample) {
                self.channel_full += 1;
            }
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
                self.fill().map_err(Fault::skip)?;
            }
            let now = self.clock.now();
            match self.ahead.take() {
                Some((at, told)) if at <= now => self.hand_on(at, told),
                Some((at, told)) => {
                    self.ahead = Some((at, told));
                    std::thread::park_timeout(at.since(now).min(WAIT_MAX));
                    return Ok(());
                }
                None => {
                    std::thread::park_timeout(WAIT_MAX);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
