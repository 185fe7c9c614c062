//! Keeps one source connected, for ever.
//!
//! A connection that fails, ends or falls silent is taken down whole and built anew after a back-off that doubles from a
//! quarter of a second to five, with jitter so that many drones do not come back in step. The state says at each moment
//! what is going on and why.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use smgeo_flow::latest::Put;
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_messages::{AccessUnit, Frame};
use tokio::sync::{broadcast, watch};
use tracing::{info, warn};

use super::capture_clock::{CaptureClock, Trust};
use super::config::{AtEnd, Config, Source};
use super::counts::Counts;
use super::gst::{Connection, End};
use super::shown;
use super::tap::{Outlet, Tap};
use crate::control::ToldCause;

const BACK_OFF_MIN: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// A step returns after this, so that a heartbeat is seen and a stop is heard.
const STEP_MAX: Duration = Duration::from_millis(50);

/// Is what is going on with a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// A connection was begun; no picture came yet.
    Connecting,
    /// Pictures come.
    Live {
        /// When the source's running time was zero: for a recording, the moment its first frame was shown.
        media_origin: Option<Stamp>,
    },
    /// The source is gone and will be tried again.
    Lost {
        /// The kind of loss.
        cause: LossCause,
        /// Which source it is, and what GStreamer or we have to say. It holds no password.
        detail: String,
        /// When it is tried again.
        retry_at: Stamp,
    },
    /// A recording has been played to its end.
    Ended,
}

/// Is the kind of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The source cannot be reached or opened.
    Unreachable,
    /// A live source ended.
    Ended,
    /// Connected, but nothing comes.
    Silent,
    /// The stream cannot be understood.
    Broken,
}

/// Is the stage that keeps a source connected.
pub struct Ingest {
    config: Config,
    outlet: Arc<Outlet>,
    state: watch::Sender<SourceState>,
    phase: Phase,
    // Connections that failed since the last picture.
    failures: u32,
    told: ToldCause,
}

/// Is where a source tells how it is. It outlives the stage: one that is built anew goes on telling there.
#[derive(Clone)]
pub struct IngestBoard {
    state: watch::Sender<SourceState>,
    counts: Arc<Counts>,
}

impl Default for IngestBoard {
    fn default() -> Self {
        Self { state: watch::Sender::new(SourceState::Connecting), counts: Arc::default() }
    }
}

impl IngestBoard {
    /// What the rest of the program sees.
    pub fn view(&self) -> IngestView {
        IngestView { state: self.state.subscribe(), counts: self.counts.clone() }
    }
}

/// Is what the rest of the program sees of a source.
#[derive(Clone)]
pub struct IngestView {
    /// What is going on.
    pub state: watch::Receiver<SourceState>,
    /// What happened.
    pub counts: Arc<Counts>,
}

enum Phase {
    Waiting { until: Stamp },
    Running { connection: Connection, tap: Arc<Tap>, begun: Stamp },
    Ended,
}

impl Ingest {
    pub(super) fn new(
        config: Config,
        clock: SharedClock,
        frames: Put<Frame>,
        units: broadcast::Sender<AccessUnit>,
        board: &IngestBoard,
    ) -> Self {
        let IngestBoard { state, counts } = board.clone();
        let phase = Phase::Waiting { until: clock.now() };
        let outlet = Arc::new(Outlet::new(clock, counts, frames, units, config.still_frames_max));
        Self { config, outlet, state, phase, failures: 0, told: ToldCause::default() }
    }

    fn connect(&mut self) {
        Counts::add(&self.outlet.counts.connects);
        self.state.send_if_modified(|state| {
            // While attempts fail, the reason of the loss is of more use than that another attempt runs.
            let begins = matches!(state, SourceState::Live { .. } | SourceState::Ended);
            if begins {
                *state = SourceState::Connecting;
            }
            begins
        });
        let tap = Arc::new(Tap::new(self.outlet.clone(), CaptureClock::new(self.trust())));
        match Connection::open(&self.config, tap.clone()) {
            Ok(connection) => self.phase = Phase::Running { connection, tap, begun: self.outlet.clock.now() },
            Err(error) => self.lose(LossCause::Broken, error.to_string()),
        }
    }

    fn lose(&mut self, cause: LossCause, why: String) {
        self.failures = self.failures.saturating_add(1);
        Counts::add(self.counter(cause));
        let wait = back_off(self.failures, RandomState::new().build_hasher().finish());
        let now = self.outlet.clock.now();
        let retry_at = now.plus(wait);
        let detail = format!("{}: {}", self.config.source, shown::text(&why));
        if self.failures == 1 {
            self.told.begin(now, &detail);
            warn!(?cause, detail, "video lost");
        } else if self.told.is_news(now, &detail) {
            warn!(?cause, detail, "video is lost for another cause");
        }
        self.phase = Phase::Waiting { until: retry_at };
        self.state.send_replace(SourceState::Lost { cause, detail, retry_at });
    }

    fn ended(&mut self) {
        match &self.config.source {
            Source::File(file) if file.at_end == AtEnd::Stop => {
                info!("recording ended");
                self.phase = Phase::Ended;
                self.state.send_replace(SourceState::Ended);
            }
            Source::File(_) if self.failures == 0 => self.phase = Phase::Waiting { until: self.outlet.clock.now() },
            // A repeated recording without a single picture would be a busy loop.
            Source::File(_) => self.lose(LossCause::Broken, "the recording has no picture".to_owned()),
            _ => self.lose(LossCause::Ended, "the source ended the stream".to_owned()),
        }
    }

    fn live(&mut self, media_origin: Option<Stamp>) {
        self.failures = 0;
        let changed = self.state.send_if_modified(|state| {
            let changed = !matches!(state, SourceState::Live { .. });
            *state = SourceState::Live { media_origin };
            changed
        });
        if changed {
            info!("video is live");
        }
    }

    fn counter(&self, cause: LossCause) -> &AtomicU64 {
        let counts = &self.outlet.counts;
        match cause {
            LossCause::Unreachable => &counts.lost_unreachable,
            LossCause::Ended => &counts.lost_ended,
            LossCause::Silent => &counts.lost_silent,
            LossCause::Broken => &counts.lost_broken,
        }
    }

    fn trust(&self) -> Trust {
        let remote_ms = if self.config.source.is_remote() { self.config.capture_delay_ms } else { 0 };
        Trust {
            capture_delay: Duration::from_millis(remote_ms),
            pts_sigma: Duration::from_millis(remote_ms.max(1)),
            sender_sigma: Duration::from_millis(self.config.sender_clock_sigma_ms),
            sender_age_max: Duration::from_millis(self.config.sender_clock_age_ms_max),
        }
    }
}

impl Stage for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn step(&mut self) -> Result<(), Fault> {
        let now = self.outlet.clock.now();
        match &self.phase {
            Phase::Waiting { until } if now >= *until => self.connect(),
            Phase::Waiting { until } => thread::park_timeout(until.since(now).min(STEP_MAX)),
            Phase::Ended => thread::park_timeout(STEP_MAX),
            Phase::Running { connection, tap, begun } => {
                let end = connection.end(STEP_MAX);
                let (frames, media_origin) = (tap.frames(), tap.media_origin());
                let now = self.outlet.clock.now();
                let (silence, connecting) = (now.since(tap.arrived_last()), now.since(*begun));
                let blind = now.since(tap.pictured_last());
                if frames > 0 {
                    self.live(media_origin);
                }
                match end {
                    Some(End::Complete) => self.ended(),
                    Some(End::Failed(cause, detail)) => self.lose(cause, detail),
                    None if frames > 0 && silence > self.config.silence_max() => {
                        self.lose(LossCause::Silent, format!("nothing came for {} ms", silence.as_millis()));
                    }
                    // What comes is not decoded any more; the next connection begins with another decoder.
                    None if frames > 0 && blind > self.config.connect_max() => {
                        let words = format!("the video comes, but no picture for {} ms", blind.as_millis());
                        self.lose(LossCause::Broken, words);
                    }
                    None if frames == 0 && connecting > self.config.connect_max() => {
                        self.lose(LossCause::Silent, format!("no picture within {} ms", connecting.as_millis()));
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// Returns how long to wait after the `failures`-th failure in a row: doubled each time, and then between a half and the
/// whole of it by `random`.
fn back_off(failures: u32, random: u64) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(1 << failures.clamp(1, 10)).min(BACK_OFF_MAX);
    let fraction = 0.5 + 0.5 * (random as f64 / u64::MAX as f64);
    doubled.mul_f64(fraction).max(BACK_OFF_MIN)
}

#[cfg(test)]
mod tests {
    use smgeo_flow::{HandClock, latest};

    use super::*;
    use crate::control::journal::Journal;

    #[test]
    fn the_journal_is_told_when_video_is_lost_for_another_cause() {
        let (clock, journal) = (HandClock::shared(), Journal::of("detail"));
        let (put, _frames) = latest::channel();
        let config = Config::new(Source::Udp(5600));
        let mut ingest = Ingest::new(config, clock.clone(), put, broadcast::Sender::new(1), &IngestBoard::default());
        tracing::subscriber::with_default(journal.clone(), || {
            for why in ["no picture within 8001 ms", "no picture within 8002 ms", "wrong password", "wrong password"] {
                ingest.lose(LossCause::Silent, why.to_owned());
                clock.advance(Duration::from_secs(6));
            }
        });
        assert_eq!(journal.read(), ["UDP port 5600: no picture within 8001 ms", "UDP port 5600: wrong password"]);
    }

    #[test]
    fn the_back_off_grows_from_a_quarter_of_a_second_to_five_and_stays() {
        for (failures, least_ms, most_ms) in [(1, 250, 500), (2, 500, 1_000), (3, 1_000, 2_000), (40, 2_500, 5_000)] {
            for random in [0, 1 << 40, u64::MAX / 2, u64::MAX] {
                let wait_ms = back_off(failures, random).as_millis();
                assert!((least_ms..=most_ms).contains(&wait_ms), "after {failures} failures: {wait_ms} ms");
            }
        }
    }
}
