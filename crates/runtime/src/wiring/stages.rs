//! How each stage of the frame path is built, the first time and again after a fault: its ends stay, it is made anew.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use smgeo_engine::{Backend, FeatureCache, Package};
use smgeo_flow::latest::{Put, Take};
use smgeo_flow::{Fault, SharedClock, Stage};
use smgeo_messages::{AccessUnit, Evidence, Followed, Frame, PromptSet, Track};
use tokio::sync::{broadcast, watch};

use crate::assemble::{self, Assemble};
use crate::backend;
use crate::camera::Lens;
use crate::config::Config;
use crate::control::{Latency, StageSpec};
use crate::follow::{Follow, ReAnchor};
use crate::fuse::Fuse;
use crate::ingest::{IngestBoard, IngestError};
use crate::locate::{self, Locate};
use crate::telemetry::PoseBuffer;
use crate::terrain::GroundSource;
use crate::tiles::TileKeeper;

/// Video in, frames and the camera's own access units out. The first source is built here, so that one that cannot be is an
/// error of the start.
pub fn ingest(
    config: &Config,
    clock: &SharedClock,
    frames: Put<Frame>,
    units: broadcast::Sender<AccessUnit>,
    board: IngestBoard,
) -> Result<StageSpec, IngestError> {
    let (config, clock) = (config.ingest.clone(), clock.clone());
    let build = move || config.clone().build(clock.clone(), frames.clone(), units.clone(), &board);
    let mut first = Some(build()?);
    Ok(StageSpec::new("ingest", move || {
        let ingest = first.take().map_or_else(&build, Ok).map_err(Fault::restart)?;
        Ok(Box::new(ingest) as Box<dyn Stage>)
    }))
}

/// Frames in, frames with the pixel of every target out.
pub fn follow(
    config: &Config,
    frames: Take<Frame>,
    prompts: watch::Receiver<PromptSet>,
    re_anchors: Receiver<ReAnchor>,
    followed: Put<Followed>,
) -> StageSpec {
    let settings = config.follow;
    StageSpec::new("follow", move || {
        let (frames, prompts) = (frames.clone(), prompts.clone());
        let (re_anchors, followed) = (re_anchors.clone(), followed.clone());
        Ok(Box::new(Follow::new(settings, frames, prompts, re_anchors, followed)) as Box<dyn Stage>)
    })
}

/// Followed frames and telemetry in, questions out. `zoom` is that of the map.
pub fn assemble(config: &Config, clock: &SharedClock, lens: Lens, zoom: u8, ends: assemble::Ends) -> StageSpec {
    let (config, clock) = (config.clone(), clock.clone());
    StageSpec::new("assemble", move || {
        let poses = PoseBuffer::new(config.pose.clone());
        let ground = GroundSource::open(&config.ground()).map_err(Fault::restart)?;
        let (settings, clock) = (config.assemble.clone(), clock.clone());
        let stage = Assemble::new(settings, clock, lens.clone(), zoom, poses, ground, ends.clone());
        Ok(Box::new(stage) as Box<dyn Stage>)
    })
}

/// What answers questions: the network, its first backend made at the start, and the map with what is known of its tiles.
pub struct Engine {
    /// The network.
    pub package: Arc<Package>,
    /// What runs it first.
    pub backend: Box<dyn Backend>,
    /// Features of tiles, kept over restarts of the stage.
    pub features: Arc<FeatureCache>,
    /// Reads tiles.
    pub keeper: Arc<TileKeeper>,
}

/// Questions in, evidence out.
pub fn locate(config: &Config, clock: &SharedClock, engine: Engine, ends: locate::Ends) -> StageSpec {
    let (config, clock) = (config.clone(), clock.clone());
    let Engine { package, backend, features, keeper } = engine;
    let mut first = Some(backend);
    StageSpec::new("locate", move || {
        let backend =
            first.take().map_or_else(|| backend::build(&config.engine, &package), Ok).map_err(backend::fault)?;
        let (settings, clock, package) = (config.locate.clone(), clock.clone(), package.clone());
        let (features, keeper) = (features.clone(), keeper.clone());
        let stage = Locate::new(settings, clock, backend, package, features, keeper, ends.clone());
        Ok(Box::new(stage) as Box<dyn Stage>)
    })
}

/// Evidence in, tracks out.
pub fn fuse(
    config: &Config,
    clock: &SharedClock,
    prompts: watch::Receiver<PromptSet>,
    evidence: Receiver<Evidence>,
    tracks: broadcast::Sender<Arc<Track>>,
    latency: Latency,
) -> StageSpec {
    let (config, clock) = (config.fuse.clone(), clock.clone());
    StageSpec::new("fuse", move || {
        let (clock, prompts, evidence) = (clock.clone(), prompts.clone(), evidence.clone());
        let stage = Fuse::new(config.clone(), clock, prompts, evidence, tracks.clone(), latency.clone());
        Ok(Box::new(stage) as Box<dyn Stage>)
    })
}
