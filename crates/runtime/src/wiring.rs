//! The whole machine on one screen: every channel made, every stage given its two ends.
//!
//! ```text
//! ingest ==frames==> follow ==followed==> assemble ==queries==> locate --evidence--> fuse --tracks--> sinks, page
//!                      ^                     ^                     ^
//!                   prompts               telemetry          tiles (keeper)
//!
//! ==  latest wins, the loss is counted        --  each item counts
//! ```
//!
//! The graph is code; configuration chooses variants and numbers, never edges. Each stage runs on a thread of its own under the
//! [`Conductor`], which builds it anew from its factory when it fails, so a factory holds clones of the ends.

mod about;
mod inputs;
mod outputs;

pub use about::zoom;

use std::net::SocketAddr;
use std::sync::Arc;

use actix::{Actor, Addr};
use anyhow::anyhow;
use crossbeam_channel::bounded;
use smgeo_engine::Package;
use smgeo_flow::{Fault, SharedClock, Stage, StopToken, latest};
use smgeo_geo::TileId;
use smgeo_messages::wire::{Publisher, TrackV1};
use smgeo_messages::{Detection, Evidence, Followed, Frame, PromptSet, QueryBatch, SharedFrame, Telemetry, Track};
use tokio::sync::{broadcast, watch};

use crate::assemble::{self, Assemble};
use crate::config::Config;
use crate::control::{Conductor, ConductorParts, Ending, HealthBoard, Metrics, StageSpec, Systemd};
use crate::follow::Follow;
use crate::fuse::Fuse;
use crate::ingest::IngestView;
use crate::locate::{self, Locate};
use crate::prompts::{FrameIndex, Prompts};
use crate::telemetry::PoseBuffer;
use crate::terrain::GroundSource;
use crate::tiles::{self, TileKeeper, TileSource};
use crate::web::{DroneView, HeatBoard, TrackBoard, WebParts, WebServer};

/// Detections are evidence: room for several seconds of every target.
const EVIDENCE_MAX: usize = 64;

/// Telemetry of some seconds at the rates autopilots send.
const TELEMETRY_MAX: usize = 256;

/// Targets found again that following has not taken up yet.
const RE_ANCHORS_MAX: usize = 16;

/// Tracks and access units that a slow reader may be behind.
const BEHIND_MAX: usize = 256;

/// Threads that read tiles: more than one only helps over a network.
const TILE_LOADERS: usize = 2;

/// Is the running machine, as whoever started it sees it.
pub struct Machine {
    /// Where the page is served.
    pub listen: SocketAddr,
    /// Every track.
    pub tracks: broadcast::Sender<Arc<Track>>,
    /// Answers to shuffled questions, if the configuration asks for them.
    pub controls: broadcast::Sender<Arc<Detection>>,
    /// Takes clicks.
    pub prompts: Addr<Prompts>,
    /// Which frames were shown.
    pub frames: FrameIndex,
    /// What the video source does.
    pub video: IngestView,
    /// What was counted.
    pub metrics: Metrics,
    /// How every part is.
    pub health: HealthBoard,
    /// Why the machine has to end, as soon as it has to.
    pub ending: watch::Receiver<Option<Ending>>,
    /// Owns the stages.
    pub conductor: Addr<Conductor>,
    superseded: Superseded,
}

/// Counts what newer items replaced, by edge.
#[derive(Clone)]
struct Superseded {
    frames: latest::Take<Frame>,
    followed: latest::Take<Followed>,
    queries: latest::Take<QueryBatch>,
}

impl Machine {
    /// Opens everything the configuration names, makes every channel, and starts every stage. Must be called in an actix
    /// system. What cannot be opened is an error that names it; once started, no loss of an input ends the machine.
    pub fn start(config: Config, clock: SharedClock, stop: StopToken) -> anyhow::Result<Self> {
        let package = Arc::new(Package::open(&config.engine.package)?);
        let store = tiles::open(&config.tiles, clock.clone())?;
        let zoom = about::zoom(&config, &package, store.info())?;
        let keeper = Arc::new(TileKeeper::start(store.clone(), TILE_LOADERS, clock.clone())?);
        let features = Arc::new(config.engine.features()?);
        let publisher = Publisher { drone: config.drone.name.clone(), boot_id: about::boot_id(&*clock) };
        // The first backend is made here, so that a network that cannot run is an error of the start.
        let backend = config.engine.build(&package)?;
        let about = about::about(&publisher, &package, backend.info(), store.info());
        let mut backend = Some(backend);
        let lens = config.camera.build().map_err(|problem| anyhow!(problem))?;
        GroundSource::open(&config.terrain)?;

        let metrics = Metrics::new();
        let health = HealthBoard::new(clock.clone());
        let frames_seen = FrameIndex::new();
        let heat = HeatBoard::default();

        let (frames_put, frames_take) = latest::channel::<Frame>();
        let (followed_put, followed_take) = latest::channel::<Followed>();
        let (queries_put, queries_take) = latest::channel::<QueryBatch>();
        let superseded =
            Superseded { frames: frames_take.clone(), followed: followed_take.clone(), queries: queries_take.clone() };
        let (telemetry_sent, telemetry_taken) = bounded::<Telemetry>(TELEMETRY_MAX);
        let (evidence_sent, evidence_taken) = bounded::<Evidence>(EVIDENCE_MAX);
        let (re_anchors_sent, re_anchors_taken) = bounded(RE_ANCHORS_MAX);
        let (units, _) = broadcast::channel(BEHIND_MAX);
        let (tracks, _) = broadcast::channel::<Arc<Track>>(BEHIND_MAX);
        let (wire, _) = broadcast::channel::<Arc<TrackV1>>(BEHIND_MAX);
        let (controls, _) = broadcast::channel(BEHIND_MAX);
        let (prompts_set, prompts_seen) = watch::channel(PromptSet::default());
        let (picture_sent, picture_seen) = watch::channel::<Option<SharedFrame>>(None);
        let (drone_sent, drone_seen) = watch::channel::<Option<DroneView>>(None);
        let (ahead_sent, ahead_seen) = watch::channel::<Arc<[TileId]>>(Arc::new([]));

        let prompts =
            Prompts::new(config.prompts.clone(), clock.clone(), frames_seen.clone(), metrics.clone(), prompts_set)
                .start();
        let mut stages = Vec::new();
        let (mut first, view) =
            config.ingest.clone().build(clock.clone(), frames_put.clone(), units.clone()).map(|(i, v)| (Some(i), v))?;
        stages.push({
            let (config, clock, units) = (config.ingest.clone(), clock.clone(), units.clone());
            StageSpec::new("ingest", move || match first.take() {
                Some(ingest) => Ok(Box::new(ingest) as Box<dyn Stage>),
                None => {
                    let built = config.clone().build(clock.clone(), frames_put.clone(), units.clone());
                    Ok(Box::new(built.map_err(Fault::restart)?.0))
                }
            })
        });
        stages.push({
            let (settings, prompts) = (config.follow, prompts_seen.clone());
            StageSpec::new("follow", move || {
                let (frames, prompts) = (frames_take.clone(), prompts.clone());
                let (re_anchors, followed) = (re_anchors_taken.clone(), followed_put.clone());
                Ok(Box::new(Follow::new(settings, frames, prompts, re_anchors, followed)) as Box<dyn Stage>)
            })
        });
        stages.push({
            let (config, clock) = (config.clone(), clock.clone());
            let ends = assemble::Ends {
                followed: followed_take,
                telemetry: telemetry_taken,
                queries: queries_put,
                ahead: ahead_sent,
                drone: drone_sent,
                seen: frames_seen.clone(),
                picture: picture_sent,
                tracks: tracks.clone(),
                re_anchors: re_anchors_sent,
            };
            StageSpec::new("assemble", move || {
                let poses = PoseBuffer::new(config.pose.clone());
                let ground = GroundSource::open(&config.terrain).map_err(Fault::restart)?;
                let (settings, clock) = (config.assemble.clone(), clock.clone());
                let stage = Assemble::new(settings, clock, lens.clone(), zoom, poses, ground, ends.clone());
                Ok(Box::new(stage) as Box<dyn Stage>)
            })
        });
        stages.push({
            let (config, clock, package) = (config.clone(), clock.clone(), package.clone());
            let ends = locate::Ends {
                queries: queries_take,
                ahead: ahead_seen,
                evidence: evidence_sent,
                controls: controls.clone(),
                heat: heat.clone(),
                counts: locate::Counts::of(&metrics),
            };
            StageSpec::new("locate", move || {
                let backend = backend.take().map_or_else(|| config.engine.build(&package), Ok).map_err(Fault::restart)?;
                let (settings, clock, package) = (config.locate.clone(), clock.clone(), package.clone());
                let (features, keeper) = (features.clone(), keeper.clone());
                let stage = Locate::new(settings, clock, backend, package, features, keeper, ends.clone());
                Ok(Box::new(stage) as Box<dyn Stage>)
            })
        });
        stages.push({
            let (config, clock, tracks) = (config.fuse.clone(), clock.clone(), tracks.clone());
            let prompts = prompts_seen.clone();
            StageSpec::new("fuse", move || {
                let (prompts, evidence) = (prompts.clone(), evidence_taken.clone());
                let stage = Fuse::new(config.clone(), clock.clone(), prompts, evidence, tracks.clone());
                Ok(Box::new(stage) as Box<dyn Stage>)
            })
        });
        stages.extend(outputs::stages(&config, &clock, &publisher, &tracks, &wire));
        let inputs = inputs::Ends {
            video: &view.state,
            samples: &telemetry_sent,
            tracks: &tracks,
            prompts: &prompts,
            frames: &frames_seen,
        };
        stages.extend(inputs::stages(&config, &clock, &inputs)?);

        actix::spawn(frames_seen.clone().note_all_shown(units.subscribe()));
        let track_board = TrackBoard::new(clock.clone());
        let server = WebServer::start(WebParts {
            config: config.web.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            about: Arc::new(about),
            prompts: prompts.clone(),
            prompt_set: prompts_seen,
            tracks: wire,
            track_board,
            heat,
            units,
            frames: frames_seen.clone(),
            picture: picture_seen,
            drone: drone_seen,
            tiles: Arc::new(about::Served(store)),
        })?;
        let listen = server.listen;
        actix::spawn(server.server);
        let parts = ConductorParts {
            clock,
            stop,
            health: health.clone(),
            metrics: metrics.clone(),
            service: Box::new(Systemd::from_env()),
        };
        let conductor = Conductor::new(parts, stages);
        let ending = conductor.ending();
        let conductor = conductor.start_alone();
        let frames = frames_seen;
        Ok(Self {
            listen,
            tracks,
            controls,
            prompts,
            frames,
            video: view,
            metrics,
            health,
            ending,
            conductor,
            superseded,
        })
    }

    /// Counts the items that newer ones replaced before anyone took them, by edge.
    pub fn superseded(&self) -> [(String, u64); 3] {
        let Superseded { frames, followed, queries } = &self.superseded;
        [
            ("superseded_before_follow".to_owned(), frames.superseded()),
            ("superseded_before_assemble".to_owned(), followed.superseded()),
            ("superseded_before_locate".to_owned(), queries.superseded()),
        ]
    }
}
