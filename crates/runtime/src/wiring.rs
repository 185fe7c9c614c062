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
mod counted;
mod inputs;
mod outputs;
mod stages;

pub use about::zoom;

use std::net::SocketAddr;
use std::sync::Arc;

use actix::{Actor, Addr};
use anyhow::anyhow;
use crossbeam_channel::bounded;
use smgeo_flow::{SharedClock, StopToken, latest};
use smgeo_geo::TileId;
use smgeo_messages::wire::Publisher;
use smgeo_messages::{Detection, Evidence, Followed, Frame, PromptSet, QueryBatch, SharedFrame, Telemetry, Track};
use tokio::sync::{broadcast, watch};

use crate::assemble;
use crate::backend;
use crate::config::Config;
use crate::control::{Conductor, ConductorParts, Ending, HealthBoard, Metrics, Systemd};
use crate::ingest::{IngestBoard, IngestView};
use crate::locate;
use crate::prompts::{FrameIndex, Prompts};
use crate::terrain::GroundSource;
use crate::tiles::{self, TileKeeper, TileSource};
use crate::web::{DroneView, HeatBoard, ShownTrack, TrackBoard, WebParts, WebServer};

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
        let package = Arc::new(config.engine.open_package()?);
        let store = tiles::open(&config.tiles, clock.clone())?;
        let zoom = about::zoom(&config, &package, store.info())?;
        let keeper = Arc::new(TileKeeper::start(store.clone(), TILE_LOADERS, clock.clone())?);
        let features = Arc::new(config.engine.features_in_flight()?);
        let publisher = Publisher { drone: config.drone.name.clone(), boot_id: about::boot_id(&*clock) };
        // The first backend is made here, so that a network that cannot run is an error of the start.
        let backend = backend::build(&config.engine, &package)?;
        let engine = backend.info().to_string();
        backend::check_windows(&engine, backend.window_tiles_max(), config.assemble.window_tiles_max)?;
        if features.is_of_others(backend.info().encoder()) {
            tracing::warn!(engine, "no tile in engine.features_file was encoded by this engine: encode them again");
        }
        let about = about::about(&publisher, &package, backend.info(), store.info());
        let lens = config.camera.build().map_err(|problem| anyhow!(problem))?;
        GroundSource::open(&config.ground())?;

        let metrics = Metrics::new();
        let health = HealthBoard::new(clock.clone());
        let frames_seen = FrameIndex::new();
        let heat = HeatBoard::default();
        let video = IngestBoard::default();
        let view = video.view();

        let (frames_put, frames_take) = latest::channel::<Frame>();
        let (followed_put, followed_take) = latest::channel::<Followed>();
        let (queries_put, queries_take) = latest::channel::<QueryBatch>();
        let superseded =
            Superseded { frames: frames_take.clone(), followed: followed_take.clone(), queries: queries_take.clone() };
        counted::source(&metrics, &view);
        counted::map(&metrics, &keeper, &features);
        counted::slot(&metrics, "frames", &frames_take);
        counted::slot(&metrics, "followed", &followed_take);
        counted::slot(&metrics, "queries", &queries_take);
        let (telemetry_sent, telemetry_taken) = bounded::<Telemetry>(TELEMETRY_MAX);
        let (evidence_sent, evidence_taken) = bounded::<Evidence>(EVIDENCE_MAX);
        let (re_anchors_sent, re_anchors_taken) = bounded(RE_ANCHORS_MAX);
        let (units, _) = broadcast::channel(BEHIND_MAX);
        let (tracks, _) = broadcast::channel::<Arc<Track>>(BEHIND_MAX);
        let (wire, _) = broadcast::channel::<ShownTrack>(BEHIND_MAX);
        let (controls, _) = broadcast::channel(BEHIND_MAX);
        let (prompts_set, prompts_seen) = watch::channel(PromptSet::default());
        let (picture_sent, picture_seen) = watch::channel::<Option<SharedFrame>>(None);
        let (drone_sent, drone_seen) = watch::channel::<Option<DroneView>>(None);
        let (vehicle_sent, vehicle_seen) = watch::channel::<Option<u8>>(None);
        let (ahead_sent, ahead_seen) = watch::channel::<Arc<[TileId]>>(Arc::new([]));

        let prompts =
            Prompts::new(config.prompts.clone(), clock.clone(), frames_seen.clone(), metrics.clone(), prompts_set)
                .start();
        let ingest = stages::ingest(&config, &clock, frames_put, units.clone(), video)?;
        let follow = stages::follow(&config, frames_take, prompts_seen.clone(), re_anchors_taken, followed_put);
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
            reports: assemble::Reports::of(&metrics, config.telemetry.is_some().then(|| health.part("pose"))),
        };
        let assemble = stages::assemble(&config, &clock, lens, zoom, ends);
        let ends = locate::Ends {
            queries: queries_take,
            ahead: ahead_seen,
            evidence: evidence_sent,
            controls: controls.clone(),
            heat: heat.clone(),
            counts: locate::Counts::of(&metrics),
        };
        let engine = stages::Engine { package, backend, features, keeper: keeper.clone() };
        let locate = stages::locate(&config, &clock, engine, ends);
        let latency = metrics.latency("capture_to_publish");
        let fuse = stages::fuse(&config, &clock, prompts_seen.clone(), evidence_taken, tracks.clone(), latency);
        let mut stages = vec![ingest, follow, assemble, locate, fuse];
        stages.extend(outputs::stages(&config, &clock, &publisher, &tracks, &wire, &metrics));
        let inputs = inputs::Ends {
            video: &view.state,
            samples: &telemetry_sent,
            tracks: &tracks,
            prompts: &prompts,
            frames: &frames_seen,
            metrics: &metrics,
            health: &health,
            vehicle: &vehicle_sent,
        };
        stages.extend(inputs::stages(&config, &clock, &inputs)?);

        actix::spawn(frames_seen.clone().note_all_shown(units.subscribe()));
        actix::spawn(about::report_video(view.state.clone(), health.part("video")));
        actix::spawn(about::report_map(Arc::downgrade(&keeper), health.part("map")));
        let track_board = TrackBoard::default();
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
            vehicle: vehicle_seen,
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
