//! The question to the network: queries in one batch, missing tiles with spare capacity, answers as places on the Earth.
//!
//! Tiles never depend on a query, so each is encoded once and its features are kept. A query whose window is not
//! encoded yet waits some frames: its tiles are encoded first, nearest to the ray first, a few a step. While no query waits,
//! the tiles that the next queries will need are encoded; where queries never stop coming, one such tile goes beside them
//! now and then, because a flight needs about one a second.
//!
//! The ray is a prior for *which* of several look-alikes is meant, so it is taken wider than the telemetry claims; the place
//! itself is the network's. Taking the ray at its word in every frame would count one compass error as many measurements.

mod answer;
mod area;
mod atlas;
mod config;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use smgeo_engine::witness::{self, Witnesses};
use smgeo_engine::{Backend, EncoderImage, FeatureCache, Features, LocateRequest, Maps, Package, View};
use smgeo_flow::latest::Take;
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_geo::TileId;
use smgeo_messages::{Detection, Evidence, Outcome, Provenance, Query, QueryBatch};
use tokio::sync::{broadcast, watch};

use crate::backend;
use crate::control::{Count, Metrics};
use crate::tiles::{TileKeeper, TilePicture, TileSource};
use crate::web::HeatBoard;

use answer::Reading;
use atlas::{Atlas, Gathered};

pub use area::{AreaReport, encode_area};
use atlas::feature_key;
pub use config::Config;

/// Is how long one step waits for queries before it turns to the tiles ahead.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Tiles encoded beside the queries of one step: enough to fill a window in a few frames, few enough that other targets
/// keep their rate meanwhile.
const TILES_A_STEP: usize = 4;

/// How long the tiles ahead may go without one being encoded. Four tiles a second are several times what a flight at 20 m/s
/// needs, and cost a query in six.
const AHEAD_PAUSE_MAX: Duration = Duration::from_millis(250);

/// Is what the stage is connected to.
#[derive(Clone)]
pub struct Ends {
    /// Questions in.
    pub queries: Take<QueryBatch>,
    /// The tiles that will be needed soon, nearest first.
    pub ahead: watch::Receiver<Arc<[TileId]>>,
    /// Answers out. Each counts, so a full channel is a fault.
    pub evidence: Sender<Evidence>,
    /// Answers to shuffled questions, for evaluations.
    pub controls: broadcast::Sender<Arc<Detection>>,
    /// The last answer about each target, for the page.
    pub heat: HeatBoard,
    /// What is counted.
    pub counts: Counts,
}

/// Counts what was asked and what was encoded for it.
#[derive(Clone)]
pub struct Counts {
    /// Questions that were answered.
    pub answered: Count,
    /// Questions that could not be answered yet, because a tile of their window was not encoded.
    pub waited: Count,
    /// Tiles that a waiting question needed.
    pub tiles_late: Count,
    /// Tiles that were encoded before a question needed them.
    pub tiles_ahead: Count,
    /// Evidence that the fusion had no room for.
    pub evidence_lost: Count,
}

impl Counts {
    /// Makes the counts, all zero the first time.
    pub fn of(metrics: &Metrics) -> Self {
        let count = |item| metrics.items("locate", item);
        Self {
            answered: count("answered"),
            waited: count("waited_for_tiles"),
            tiles_late: count("tiles_late"),
            tiles_ahead: count("tiles_ahead"),
            evidence_lost: metrics.drops("evidence", "channel_full"),
        }
    }
}

/// Is the stage: questions in, evidence out.
pub struct Locate {
    config: Config,
    clock: SharedClock,
    backend: Box<dyn Backend>,
    package: Arc<Package>,
    atlas: Atlas,
    provenance: Arc<Provenance>,
    ends: Ends,
    // The tiles that the last queries asked for: until others are, they come before those ahead.
    wanted: Vec<TileId>,
    // When a tile ahead was last encoded, or there was none to encode.
    looked_ahead: Stamp,
    // Whether evidence was lost in this step.
    was_full: bool,
    // Kept from step to step, so that their memory is used again.
    features: Vec<Features>,
    maps: Vec<Maps>,
}

#[derive(Debug, thiserror::Error)]
enum LocateError {
    #[error("the fusion takes no evidence: its channel is full")]
    EvidenceFull,
    #[error("the fusion is gone")]
    EvidenceClosed,
}

impl Locate {
    /// Makes the stage.
    pub fn new(
        config: Config,
        clock: SharedClock,
        backend: Box<dyn Backend>,
        package: Arc<Package>,
        features: Arc<FeatureCache>,
        keeper: Arc<TileKeeper>,
        ends: Ends,
    ) -> Self {
        let info = keeper.tiles().info();
        let provenance = Arc::new(Provenance {
            imagery: info.name.to_string(),
            imagery_date: info.date.as_deref().map(str::to_owned),
            imagery_hash: info.imagery.to_string(),
            model: package.manifest().name.clone(),
            model_hash: package.hash().to_string(),
            backend: backend.info().to_string(),
        });
        let atlas = Atlas::new(keeper, features, backend.info().encoder());
        let looked_ahead = clock.now();
        Self {
            config,
            clock,
            backend,
            package,
            atlas,
            provenance,
            ends,
            wanted: Vec::new(),
            looked_ahead,
            was_full: false,
            features: Vec::new(),
            maps: Vec::new(),
        }
    }

    fn answer(&mut self, batch: QueryBatch) -> Result<(), Fault> {
        for (target, reason) in &batch.unseen {
            let (frame, captured) = (batch.frame, batch.captured);
            let telemetry_age = batch.telemetry_age;
            self.send(Evidence::Unseen { target: *target, frame, captured, telemetry_age, reason })?;
        }
        if batch.queries.is_empty() {
            return Ok(());
        }
        self.wanted = nearest_first(&batch.queries);
        let ahead = self.ends.ahead.borrow().clone();
        self.atlas.want(&self.wanted, &ahead);
        self.encode(&batch.queries, &ahead)?;
        let windows = batch.queries.iter().map(|query| query.window);
        let gathered = self.atlas.gather(windows).map_err(Fault::restart)?;
        let answers = self.locate(&batch.queries, &gathered)?;
        for (query, outcome) in batch.queries.iter().zip(answers) {
            let detection = self.detection(query, outcome);
            self.ends.heat.take(&detection);
            self.send(Evidence::Answered(Box::new(detection)))?;
        }
        let waited = gathered.iter().filter(|gathered| matches!(gathered, Gathered::Pending)).count();
        self.ends.counts.waited.inc_by(waited as u64);
        self.ends.counts.answered.inc_by((gathered.len() - waited) as u64);
        if self.config.shuffled_control {
            self.control(&batch.queries, &gathered)?;
        }
        Ok(())
    }

    /// Encodes the queries into `self.features`, and beside them a few of the tiles they need, or one of those ahead if none of
    /// them has been encoded for a while.
    fn encode(&mut self, queries: &[Query], ahead: &[TileId]) -> Result<(), Fault> {
        let mut fresh = self.atlas.fresh(&self.wanted, TILES_A_STEP);
        let is_late = !fresh.is_empty();
        if !is_late && self.clock.now().since(self.looked_ahead) >= AHEAD_PAUSE_MAX {
            fresh = self.atlas.fresh(ahead, 1);
            self.looked_ahead = self.clock.now();
        }
        let tiles = tile_images(&fresh)?;
        let images: Vec<(&EncoderImage, View)> = queries
            .iter()
            .map(|query| (&query.image, View::Query))
            .chain(tiles.iter().map(|tile| (tile, View::Tile)))
            .collect();
        self.backend.encode_into(&images, &mut self.features).map_err(backend::fault)?;
        for (picture, features) in fresh.iter().zip(self.features.drain(queries.len()..)) {
            self.atlas.put(picture, features);
        }
        let counts = &self.ends.counts;
        let count = if is_late { &counts.tiles_late } else { &counts.tiles_ahead };
        count.inc_by(fresh.len() as u64);
        Ok(())
    }

    /// Matches every query whose window is ready and its witnesses, in one run, each with its place in `self.features`.
    fn locate(&mut self, queries: &[Query], gathered: &[Gathered]) -> Result<Vec<Outcome>, Fault> {
        let clicks: Vec<Vec<[f32; 2]>> = queries.iter().map(|query| self.clicks(query)).collect();
        let mut requests = Vec::new();
        for ((clicks, features), gathered) in clicks.iter().zip(&self.features).zip(gathered) {
            if let Gathered::Ready { mosaic, .. } = gathered {
                let request = |click: &[f32; 2]| LocateRequest { query: features, click: *click, reference: mosaic };
                requests.extend(clicks.iter().map(request));
            }
        }
        self.backend.locate_into(&requests, &mut self.maps).map_err(backend::fault)?;
        let mut maps = &mut self.maps[..];
        let manifest = self.package.manifest();
        let reading =
            Reading { config: &self.config, stride_px: manifest.stride_px, temperature: manifest.temperature };
        let outcome = |((query, clicks), gathered): ((&Query, &Vec<[f32; 2]>), &Gathered)| match gathered {
            Gathered::Pending => Outcome::NotFound("the map around it is being encoded"),
            Gathered::Empty { unread } => {
                let of = query.window.tiles().count();
                Outcome::NoMap { missing: of, unread: *unread, of }
            }
            Gathered::Ready { missing, unread, .. } => {
                let own = maps.split_off_mut(..clicks.len()).expect("one map for each click into a ready window");
                witness::hear(own, clicks, manifest.stride_px);
                reading.outcome(query, &own[0], missing, *unread)
            }
        };
        Ok(queries.iter().zip(&clicks).zip(gathered).map(outcome).collect())
    }

    /// Where a query is clicked. Only what is laid out like the map has witnesses.
    fn clicks(&self, query: &Query) -> Vec<[f32; 2]> {
        let object = [query.click.x as f32, query.click.y as f32];
        let witnesses = match self.config.witnesses && query.rectified {
            true => Witnesses::of(self.package.manifest().fusion),
            false => Witnesses::NotHeard,
        };
        witness::clicks(witnesses, &query.image, object)
    }

    /// Asks again with each target's picture replaced by its neighbour's, and reports the answers apart.
    fn control(&mut self, queries: &[Query], gathered: &[Gathered]) -> Result<(), Fault> {
        if queries.len() < 2 {
            return Ok(());
        }
        self.features.rotate_left(1);
        for (query, outcome) in queries.iter().zip(self.locate(queries, gathered)?) {
            let _ = self.ends.controls.send(Arc::new(self.detection(query, outcome)));
        }
        Ok(())
    }

    fn detection(&self, query: &Query, outcome: Outcome) -> Detection {
        Detection {
            target: query.target,
            revision: query.revision,
            frame: query.frame,
            captured: query.captured,
            answered: self.clock.now(),
            outcome,
            ray: query.ray,
            clicked: query.clicked,
            pixel: query.pixel,
            telemetry_age: query.pose.as_ref().map(|pose| pose.telemetry_age),
            provenance: self.provenance.clone(),
        }
    }

    /// Encodes one tile of those that will be needed soon, if one is read and not encoded.
    fn look_ahead(&mut self) -> Result<(), Fault> {
        if self.ends.ahead.has_changed().unwrap_or(false) {
            let ahead = self.ends.ahead.borrow_and_update().clone();
            self.atlas.want(&self.wanted, &ahead);
        }
        self.looked_ahead = self.clock.now();
        let ahead = self.ends.ahead.borrow().clone();
        let fresh = self.atlas.fresh(&ahead, 1);
        let tiles = tile_images(&fresh)?;
        let images: Vec<(&EncoderImage, View)> = tiles.iter().map(|tile| (tile, View::Tile)).collect();
        let features = self.backend.encode(&images).map_err(backend::fault)?;
        for (picture, features) in fresh.iter().zip(features) {
            self.atlas.put(picture, features);
            self.ends.counts.tiles_ahead.inc();
        }
        Ok(())
    }

    /// Sends one item. One that finds the channel full is lost and counted; those after it may still find room.
    fn send(&mut self, evidence: Evidence) -> Result<(), Fault> {
        match self.ends.evidence.try_send(evidence) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.ends.counts.evidence_lost.inc();
                self.was_full = true;
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Fault::escalate(LocateError::EvidenceClosed)),
        }
    }
}

impl Stage for Locate {
    fn name(&self) -> &'static str {
        "locate"
    }

    fn step(&mut self) -> Result<(), Fault> {
        match self.ends.queries.take(POLL_INTERVAL) {
            Some(batch) => self.answer(batch)?,
            None => self.look_ahead()?,
        }
        match std::mem::take(&mut self.was_full) {
            true => Err(Fault::skip(LocateError::EvidenceFull)),
            false => Ok(()),
        }
    }
}

fn tile_images(pictures: &[TilePicture]) -> Result<Vec<EncoderImage>, Fault> {
    pictures.iter().map(|picture| EncoderImage::tile(&picture.rgb)).collect::<Result<_, _>>().map_err(Fault::skip)
}

/// Lists the tiles of all windows once each, those nearest to a ray, or to the middle of their window, first.
fn nearest_first(queries: &[Query]) -> Vec<TileId> {
    let mut distances = HashMap::<TileId, f64>::new();
    for query in queries {
        let middle = query.ray.as_ref().map_or_else(|| query.window.centre(), |ray| ray.at);
        let (x, y) = smgeo_geo::mercator::world_px(middle, query.window.z());
        for tile in query.window.tiles() {
            let (left, top) = tile.origin_px();
            let half = f64::from(smgeo_engine::TILE_PX as u32) / 2.0;
            let distance = (left + half - x).hypot(top + half - y);
            let nearest = distances.entry(tile).or_insert(distance);
            *nearest = nearest.min(distance);
        }
    }
    let mut tiles: Vec<(TileId, f64)> = distances.into_iter().collect();
    tiles.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(&other.0)));
    tiles.into_iter().map(|(tile, _)| tile).collect()
}
