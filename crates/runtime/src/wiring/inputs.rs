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
use crate::control::{HealthBoard, Metrics, PartReporter, StageSpec};
use crate::ingest::SourceState;
use crate::prompts::{FrameIndex, Prompts};
use crate::publish::{ActorPromptPort, CameraComponent};
use crate::telemetry::{Link, LogCounts, LogPlayer, LogReader, MavlinkDecoder, MavlinkReceiver, UtcWatch};

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
    /// Where it is told whether the clocks agree.
    pub health: &'a HealthBoard,
    /// The vehicle that is listened to, once it is known.
    pub vehicle: &'a watch::Sender<Option<u8>>,
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
    if let Some(camera) = config.camera() {
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
    let clocks = ends.health.part("clock");
    // As long as no vehicle has told its time.
    clocks.ok();
    let (config, samples, metrics) = (config.clone(), ends.samples.clone(), ends.metrics.clone());
    let (vehicle, clock) = (ends.vehicle.clone(), clock.clone());
    stages.push(StageSpec::new("telemetry", move || {
        link.connect().map_err(Fault::restart)?;
        let delay = Duration::from_millis(config.delay_ms);
        let delay_sigma = Duration::from_millis(config.delay_sigma_ms);
        // A link that breaks off does not make another vehicle ours.
        let system_id = config.system_id.or(*vehicle.borrow());
        let decoder = MavlinkDecoder::new(system_id, config.gps_fix, delay, delay_sigma);
        let (samples, commands) = (samples.clone(), commands.clone());
        let report = report(&metrics, &vehicle, UtcWatch::new(clock.clone()), clocks.clone());
        let stage = MavlinkReceiver::new(link.reader(), decoder, samples, commands, report);
        Ok(Box::new(stage) as Box<dyn Stage>)
    }));
    Ok(stages)
}

/// Returns what tells, after each step of a receiver, what became of the messages, whose they are, and whether the clocks agree.
fn report(
    metrics: &Metrics,
    vehicle: &watch::Sender<Option<u8>>,
    mut watch: UtcWatch,
    clocks: PartReporter,
) -> Box<dyn FnMut(&MavlinkDecoder) + Send> {
    let (mut count, vehicle) = (counted::messages(metrics), vehicle.clone());
    Box::new(move |decoder| {
        count(decoder);
        let system_id = decoder.system_id();
        vehicle.send_if_modified(|known| std::mem::replace(known, system_id) != system_id);
        let Some(vehicle_minus_stamp_us) = decoder.wall_minus_stamp_us() else { return };
        match watch.trouble(vehicle_minus_stamp_us) {
            None => clocks.ok(),
            Some(cause) => clocks.degraded(&cause),
        }
    })
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use actix::Actor;
    use mavlink::dialects::ardupilotmega::{HEARTBEAT_DATA, MavMessage, SYSTEM_TIME_DATA};
    use mavlink::{MAVLinkV2MessageRaw, MavHeader};
    use smgeo_flow::{Clock, HandClock, Verdict};
    use smgeo_messages::PromptSet;

    use super::*;
    use crate::control::Level;
    use crate::ingest::IngestBoard;
    use crate::prompts::PromptsConfig;

    /// Is a machine's telemetry without the rest of it.
    struct Bench {
        health: HealthBoard,
        vehicle: watch::Sender<Option<u8>>,
        stages: Vec<StageSpec>,
    }

    impl Bench {
        /// Describes the stages of a link of this address. Must be called in an actix system.
        fn of(address: &str, clock: &SharedClock) -> Self {
            let config: MavlinkConfig = toml::from_str(&format!("address = {address:?}")).unwrap();
            let (health, metrics) = (HealthBoard::new(clock.clone()), Metrics::new());
            let (frames, video) = (FrameIndex::new(), IngestBoard::default());
            let (set, _) = watch::channel(PromptSet::default());
            let limits = PromptsConfig::default();
            let prompts = Prompts::new(limits, clock.clone(), frames.clone(), metrics.clone(), set).start();
            let vehicle = watch::Sender::new(None);
            let ends = Ends {
                video: &video.view().state,
                samples: &bounded(8).0,
                tracks: &broadcast::Sender::new(1),
                prompts: &prompts,
                frames: &frames,
                metrics: &metrics,
                health: &health,
                vehicle: &vehicle,
            };
            let stages = link(&config, clock, &ends).unwrap();
            Self { health, vehicle, stages }
        }
    }

    /// Is an autopilot on the other end of a link, and the stage that hears it.
    struct Heard {
        socket: UdpSocket,
        port: u16,
        stage: Box<dyn Stage>,
    }

    impl Heard {
        fn tell(&mut self, system_id: u32, message: &MavMessage) {
            let mut raw = MAVLinkV2MessageRaw::new();
            raw.serialize_message(MavHeader { system_id, component_id: 1, sequence: 0 }, message);
            self.socket.send_to(raw.raw_bytes(), ("127.0.0.1", self.port)).unwrap();
            self.stage.step().unwrap();
        }
    }

    fn free_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[actix_rt::test]
    async fn a_clock_that_differs_from_the_vehicles_is_degraded_until_it_is_set() {
        let clock = HandClock::shared();
        let port = free_port();
        let mut bench = Bench::of(&format!("udpin:127.0.0.1:{port}"), &(clock.clone() as SharedClock));
        assert_eq!(bench.health.now().level(), Level::Ok, "nobody has told a time");
        let stage = (bench.stages[0].factory)().unwrap();
        let mut heard = Heard { socket: UdpSocket::bind("127.0.0.1:0").unwrap(), port, stage };
        heard.tell(7, &MavMessage::HEARTBEAT(HEARTBEAT_DATA::DEFAULT));
        let vehicle_us = clock.wall_us_now();
        let time = SYSTEM_TIME_DATA { time_unix_usec: vehicle_us as u64, time_boot_ms: 5_000 };
        for (ahead_h, level) in [(0, Level::Ok), (3, Level::Degraded), (0, Level::Ok)] {
            clock.set_wall_us(vehicle_us + ahead_h * 3_600_000_000);
            heard.tell(7, &MavMessage::SYSTEM_TIME(time.clone()));
            let health = bench.health.now();
            assert_eq!(health.level(), level, "{health:?}");
            let is_said =
                health.causes().iter().any(|cause| cause.starts_with("clock: the computer's clock is 3 h ahead"));
            assert_eq!(is_said, level == Level::Degraded, "{health:?}");
        }
    }

    #[actix_rt::test]
    async fn the_first_vehicle_heard_is_named_and_stays_ours_when_the_link_breaks_off() {
        let port = free_port();
        let mut bench = Bench::of(&format!("udpin:127.0.0.1:{port}"), &(HandClock::shared() as SharedClock));
        for system_id in [7, 9] {
            let stage = (bench.stages[0].factory)().unwrap();
            let mut heard = Heard { socket: UdpSocket::bind("127.0.0.1:0").unwrap(), port, stage };
            heard.tell(system_id, &MavMessage::HEARTBEAT(HEARTBEAT_DATA::DEFAULT));
            assert_eq!(*bench.vehicle.borrow(), Some(7));
        }
    }

    #[actix_rt::test]
    async fn a_link_whose_other_end_is_not_there_yet_starts_and_says_what_is_missing() {
        // No name server is asked for a label of more than 63 letters.
        let unknown = format!("udpout:{}:14550", "x".repeat(64));
        for address in ["serial:/dev/no-such-radio:57600", &unknown] {
            let mut bench = Bench::of(address, &(HandClock::shared() as SharedClock));
            let fault = (bench.stages[0].factory)().err().unwrap();
            assert_eq!(fault.verdict, Verdict::Restart);
            assert!(fault.to_string().contains(address), "{fault}");
        }
    }
}
