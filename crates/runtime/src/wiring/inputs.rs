//! Where telemetry comes from: a MAVLink link, which may bring clicks as well, or a log beside a recording.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use crossbeam_channel::{Sender, bounded};
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_messages::{Telemetry, Told, Track};
use tokio::sync::{broadcast, watch};

use super::counted;
use crate::config::{Config, MavlinkConfig, TelemetryConfig};
use crate::control::{Metrics, StageSpec};
use crate::ingest::SourceState;
use crate::prompts::{FrameIndex, Prompts};
use crate::publish::{ActorPromptPort, CameraComponent};
use crate::telemetry::{Link, LogCounts, LogPlayer, LogReader, MavlinkDecoder, MavlinkReceiver};

/// Commands of a ground station that wait for the camera component.
const COMMANDS_MAX: usize = 64;

/// How long a step waits for the recording's first frame.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Is what the inputs are connected to.
pub struct Ends<'a> {
    /// What the video source is doing.
    pub video: &'a watch::Receiver<SourceState>,
    /// Telemetry out.
    pub samples: &'a Sender<Telemetry>,
    /// Tracks, which a MAVLink camera reports.
    pub tracks: &'a broadcast::Sender<Arc<Track>>,
    /// Takes a ground station's clicks.
    pub prompts: &'a Addr<Prompts>,
    /// The frames a ground station's operator can have seen.
    pub frames: &'a FrameIndex,
    /// Where what is lost is counted.
    pub metrics: &'a Metrics,
}

/// Describes the stages that the configured telemetry needs. A port to listen on that cannot be opened is an error, and so is a
/// log; what is at the other end of a link may come later.
pub fn stages(config: &Config, clock: &SharedClock, ends: &Ends<'_>) -> anyhow::Result<Vec<StageSpec>> {
    match &config.telemetry {
        None => Ok(Vec::new()),
        Some(TelemetryConfig::Mavlink(mavlink)) => link(mavlink, clock, ends),
        Some(TelemetryConfig::Log { path }) => {
            LogReader::open(path)?;
            let (path, clock, video, samples) = (path.clone(), clock.clone(), ends.video.clone(), ends.samples.clone());
            let counts = Arc::default();
            counted::log(ends.metrics, &counts);
            let stage = LogWithVideo { path, clock, video, samples, counts, player: None };
            Ok(vec![StageSpec::new("telemetry", move || Ok(Box::new(stage.anew()) as Box<dyn Stage>))])
        }
    }
}

fn link(config: &MavlinkConfig, clock: &SharedClock, ends: &Ends<'_>) -> anyhow::Result<Vec<StageSpec>> {
    let link = Link::prepare(&config.address, config.only, config.signing.as_ref(), clock.clone())?;
    counted::link(ends.metrics, link.counts());
    let (commands_sent, commands_taken) = bounded(COMMANDS_MAX);
    let mut stages = Vec::new();
    if let Some(camera) = config.camera.clone() {
        let (link, clock, tracks) = (link.clone(), clock.clone(), ends.tracks.clone());
        let (prompts, frames) = (ends.prompts.clone(), ends.frames.clone());
        let counts = Arc::default();
        counted::camera(ends.metrics, &counts);
        stages.push(StageSpec::new("mavlink-camera", move || {
            let port = Box::new(ActorPromptPort::new(prompts.clone(), frames.clone()).map_err(Fault::restart)?);
            let (link, commands, tracks) = (link.clone(), commands_taken.clone(), tracks.subscribe());
            let component =
                CameraComponent::new(camera.clone(), link, commands, tracks, port, clock.clone(), counts.clone());
            Ok(Box::new(component) as Box<dyn Stage>)
        }));
    }
    let commands = config.camera.is_some().then_some(commands_sent);
    let (config, samples, metrics) = (config.clone(), ends.samples.clone(), ends.metrics.clone());
    stages.push(StageSpec::new("telemetry", move || {
        link.connect().map_err(Fault::restart)?;
        let delay = Duration::from_millis(config.delay_ms);
        let delay_sigma = Duration::from_millis(config.delay_sigma_ms);
        let decoder = MavlinkDecoder::new(config.system_id, config.gps_fix, delay, delay_sigma);
        let (samples, commands) = (samples.clone(), commands.clone());
        let stage = MavlinkReceiver::new(link.reader(), decoder, samples, commands, counted::messages(&metrics));
        Ok(Box::new(stage) as Box<dyn Stage>)
    }));
    Ok(stages)
}

/// Plays a log from the moment the recording beside it begins, and from its beginning again when the recording begins again.
struct LogWithVideo {
    path: PathBuf,
    clock: SharedClock,
    video: watch::Receiver<SourceState>,
    samples: Sender<Telemetry>,
    counts: Arc<LogCounts>,
    player: Option<(Stamp, LogPlayer)>,
}

impl LogWithVideo {
    /// Makes one with the same ends that plays nothing yet.
    fn anew(&self) -> Self {
        let (path, clock, video) = (self.path.clone(), self.clock.clone(), self.video.clone());
        Self { path, clock, video, samples: self.samples.clone(), counts: self.counts.clone(), player: None }
    }
}

impl Stage for LogWithVideo {
    fn name(&self) -> &'static str {
        "telemetry"
    }

    fn step(&mut self) -> Result<(), Fault> {
        let begun = match &*self.video.borrow() {
            SourceState::Live { media_origin } => *media_origin,
            _ => None,
        };
        if let Some(start) = begun.filter(|start| self.player.as_ref().is_none_or(|(origin, _)| origin != start)) {
            let reader = LogReader::open(&self.path).map_err(Fault::restart)?;
            // Back at its beginning the vehicle is somewhere else at once: that is no jump.
            let begun = Telemetry { at: start, at_sigma: Duration::ZERO, told: Told::Begun };
            self.samples.try_send(begun).map_err(Fault::restart)?;
            let (clock, samples, counts) = (self.clock.clone(), self.samples.clone(), self.counts.clone());
            self.player = Some((start, LogPlayer::new(reader, clock, start, samples, counts)));
        }
        match &mut self.player {
            Some((_, player)) => player.step(),
            None => {
                std::thread::park_timeout(WAIT_MAX);
                Ok(())
            }
        }
    }
}
