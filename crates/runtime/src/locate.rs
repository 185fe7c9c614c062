//! The question to the network: queries in one batch, missing tiles with spare capacity, answers as places on the Earth.
//!
//! Tiles never depend on a query, so each is encoded once and its features are kept. A query whose window is not
//! encoded yet waits some frames: its tiles are encoded first, nearest to the ray first, a few a step. While no query waits,
//! the tiles that the next queries will need are encoded.
//!
//! The ray is a prior for *which* of several look-alikes is meant, so it is taken wider than the telemetry claims; the place
//! itself is the network's. Taking the ray at its word in every frame would count one compass error as many measurements.

mod answer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use serde::{Deserialize, Serialize};
use smgeo_engine::{
    Backend, EncoderHash, EncoderImage, FeatureCache, FeatureKey, Features, ImageryHash, LocateRequest, Mosaic, Package, View,
};
use smgeo_flow::latest::Take;
use smgeo_flow::{Fault, SharedClock, Stage};
use smgeo_geo::{TileId, TileWindow};
use smgeo_messages::{Detection, Evidence, Outcome, Provenance, Query, QueryBatch};
use tokio::sync::{broadcast, watch};

use crate::tiles::{TileKeeper, TilePicture, TileSource, TileState};
use crate::web::HeatBoard;

use answer::Reading;

/// Is how long one step waits for queries before it turns to the tiles ahead.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Tiles encoded beside the queries of one step: enough to fill a window in a few frames, few enough that other targets
/// keep their rate meanwhile.
const TILES_A_STEP: usize = 4;

/// Sets the search.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The ray's standard deviation is taken as this many times what telemetry claims.
    pub prior_widening: f64,
    /// The probability that the ray is wrong altogether, 0 to 1: it keeps an answer far from the ray possible.
    pub prior_outlier: f64,
    /// Added to every answer's standard deviation, metres: relief and pose distort the crop.
    pub rectification_sigma_m: f64,
    /// Asks each question with another target's picture as well and reports those answers apart. A control for
    /// evaluations: a network that looks at its query must fail at it.
    pub shuffled_control: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prior_widening: 2.0,
            prior_outlier: 0.01,
            rectification_sigma_m: 1.0,
            shuffled_control: false,
        }
    }
}

impl Config {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        if !(self.prior_widening.is_finite() && self.prior_widening >= 1.0) {
            return Err(format!("locate.prior_widening is {}; it must be 1 or more", self.prior_widening));
        }
        if !(0.0..1.0).contains(&self.prior_outlier) {
            return Err(format!("locate.prior_outlier is {}; it must be from 0 to less than 1", self.prior_outlier));
        }
        if !(self.rectification_sigma_m.is_finite() && self.rectification_sigma_m >= 0.0) {
            return Err(format!(
                "locate.rectification_sigma_m is {}; it must be 0 or more",
                self.rectification_sigma_m
            ));
        }
        Ok(())
    }
}

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
}

/// Is the stage: questions in, evidence out.
pub struct Locate {
    config: Config,
    clock: SharedClock,
    backend: Box<dyn Backend>,
    encoder: EncoderHash,
    package: Arc<Package>,
    features: Arc<FeatureCache>,
    keeper: Arc<TileKeeper>,
    provenance: Arc<Provenance>,
    ends: Ends,
}

/// Is the state of a query's window.
enum Gathered {
    /// Every tile that the map has is encoded.
    Ready { mosaic: Mosaic, missing: Vec<TileId> },
    /// Some of its tiles are still to be read or encoded.
    Pending,
    /// The map has none of its tiles.
    Empty,
}

/// Is what is known of one tile.
enum Known {
    Encoded(Features),
    Picture(TilePicture),
    Pending,
    Missing,
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
            model: package.manifest().name.clone(),
            model_hash: package.hash().to_string(),
            backend: backend.info().to_string(),
        });
        let encoder = backend.info().encoder();
        Self { config, clock, backend, encoder, package, features, keeper, provenance, ends }
    }

    fn answer(&mut self, batch: QueryBatch) -> Result<(), Fault> {
        for (target, reason) in &batch.unseen {
            let (frame, captured) = (batch.frame, batch.captured);
            self.send(Evidence::Unseen { target: *target, frame, captured, reason })?;
        }
        if batch.queries.is_empty() {
            return Ok(());
        }
        let wanted = nearest_first(&batch.queries);
        self.want(&wanted);
        let query_features = self.encode(&batch.queries, &wanted)?;
        let gathered = self.gather(&batch.queries)?;
        let answers = self.locate(&batch.queries, &query_features, &gathered)?;
        for (query, outcome) in batch.queries.iter().zip(answers) {
            let detection = self.detection(query, outcome);
            self.ends.heat.take(&detection);
            self.send(Evidence::Answered(detection))?;
        }
        if self.config.shuffled_control {
            self.control(&batch.queries, query_features, &gathered)?;
        }
        Ok(())
    }

    /// Encodes the queries, and beside them a few of the tiles that are read but not encoded; returns the queries' features.
    fn encode(&mut self, queries: &[Query], wanted: &[TileId]) -> Result<Vec<Features>, Fault> {
        let fresh: Vec<TilePicture> = wanted
            .iter()
            .filter_map(|tile| match self.known(*tile) {
                Known::Picture(picture) => Some(picture),
                _ => None,
            })
            .take(TILES_A_STEP)
            .collect();
        let tiles = fresh.iter().map(|picture| EncoderImage::tile(&picture.rgb)).collect::<Result<Vec<_>, _>>();
        let tiles = tiles.map_err(Fault::skip)?;
        let images: Vec<(&EncoderImage, View)> = queries
            .iter()
            .map(|query| (&query.image, View::Query))
            .chain(tiles.iter().map(|tile| (tile, View::Tile)))
            .collect();
        let mut features = self.backend.encode(&images).map_err(Fault::restart)?;
        let of_tiles = features.split_off(queries.len());
        for (picture, features) in fresh.iter().zip(of_tiles) {
            self.features.put(self.key(picture), features);
        }
        Ok(features)
    }

    fn gather(&self, queries: &[Query]) -> Result<Vec<Gathered>, Fault> {
        let mut by_window = HashMap::<TileWindow, Mosaic>::new();
        queries.iter().map(|query| self.gather_window(&query.window, &mut by_window)).collect()
    }

    /// Puts a window together. Queries with the same window share one mosaic, and so one run of the locator.
    fn gather_window(&self, window: &TileWindow, made: &mut HashMap<TileWindow, Mosaic>) -> Result<Gathered, Fault> {
        let known: Vec<(TileId, Known)> = window.tiles().map(|tile| (tile, self.known(tile))).collect();
        if known.iter().any(|(_, known)| matches!(known, Known::Pending | Known::Picture(_))) {
            return Ok(Gathered::Pending);
        }
        let missing: Vec<TileId> =
            known.iter().filter(|(_, known)| matches!(known, Known::Missing)).map(|(tile, _)| *tile).collect();
        if missing.len() == known.len() {
            return Ok(Gathered::Empty);
        }
        if let Some(mosaic) = made.get(window) {
            return Ok(Gathered::Ready { mosaic: mosaic.clone(), missing });
        }
        let features: Vec<Option<&Features>> = known
            .iter()
            .map(|(_, known)| match known {
                Known::Encoded(features) => Some(features),
                _ => None,
            })
            .collect();
        let mosaic = Mosaic::assemble(window.rows() as usize, window.columns() as usize, &features);
        let mosaic = mosaic.map_err(Fault::restart)?;
        made.insert(*window, mosaic.clone());
        Ok(Gathered::Ready { mosaic, missing })
    }

    /// Matches every query whose window is ready, in one run.
    fn locate(
        &mut self,
        queries: &[Query],
        features: &[Features],
        gathered: &[Gathered],
    ) -> Result<Vec<Outcome>, Fault> {
        let mut requests = Vec::with_capacity(queries.len());
        for ((query, features), gathered) in queries.iter().zip(features).zip(gathered) {
            if let Gathered::Ready { mosaic, .. } = gathered {
                let click = [query.click.x as f32, query.click.y as f32];
                requests.push(LocateRequest { query: features, click, reference: mosaic });
            }
        }
        let mut maps = self.backend.locate(&requests).map_err(Fault::restart)?.into_iter();
        let manifest = self.package.manifest();
        let reading =
            Reading { config: &self.config, stride_px: manifest.stride_px, temperature: manifest.temperature };
        let outcome = |(query, gathered): (&Query, &Gathered)| match gathered {
            Gathered::Pending => Outcome::NotFound("the map around it is being encoded"),
            Gathered::Empty => {
                let of = query.window.tiles().count();
                Outcome::NoMap { missing: of, of }
            }
            Gathered::Ready { missing, .. } => {
                let maps = maps.next().expect("one map for each request, one request for each ready window");
                reading.outcome(query, &maps, missing)
            }
        };
        Ok(queries.iter().zip(gathered).map(outcome).collect())
    }

    /// Asks again with each target's picture replaced by its neighbour's, and reports the answers apart.
    fn control(&mut self, queries: &[Query], mut features: Vec<Features>, gathered: &[Gathered]) -> Result<(), Fault> {
        if queries.len() < 2 {
            return Ok(());
        }
        features.rotate_left(1);
        for (query, outcome) in queries.iter().zip(self.locate(queries, &features, gathered)?) {
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
            ray: query.ray.clone(),
            pixel: query.pixel,
            telemetry_age: query.pose.as_ref().map(|pose| pose.telemetry_age),
            provenance: self.provenance.clone(),
        }
    }

    /// Asks for tiles: those of the queries first, then those ahead.
    fn want(&self, wanted: &[TileId]) {
        let ahead = self.ends.ahead.borrow().clone();
        let all: Vec<TileId> = wanted.iter().chain(ahead.iter()).copied().collect();
        self.keeper.want(&all);
    }

    /// Encodes one tile of those that will be needed soon, if one is read and not encoded.
    fn look_ahead(&mut self) -> Result<(), Fault> {
        if self.ends.ahead.has_changed().unwrap_or(false) {
            let ahead = self.ends.ahead.borrow_and_update().clone();
            self.keeper.want(&ahead);
        }
        let ahead = self.ends.ahead.borrow().clone();
        let next = ahead.iter().find_map(|tile| match self.known(*tile) {
            Known::Picture(picture) => Some(picture),
            _ => None,
        });
        let Some(picture) = next else { return Ok(()) };
        let image = EncoderImage::tile(&picture.rgb).map_err(Fault::skip)?;
        let mut features = self.backend.encode(&[(&image, View::Tile)]).map_err(Fault::restart)?;
        if let Some(features) = features.pop() {
            self.features.put(self.key(&picture), features);
        }
        Ok(())
    }

    fn known(&self, tile: TileId) -> Known {
        match self.keeper.state(tile) {
            TileState::Ready(picture) => match self.features.get(&self.key(&picture)) {
                Some(features) => Known::Encoded(features),
                None => Known::Picture(picture),
            },
            TileState::Loading | TileState::Unwanted => Known::Pending,
            TileState::Failed(_) => Known::Missing,
        }
    }

    fn key(&self, picture: &TilePicture) -> FeatureKey {
        let TileId { z, x, y } = picture.id;
        // Zoom in the upper bits, then column and row: one number for each tile of the pyramid.
        let tile = u64::from(z) << 58 | u64::from(x) << 29 | u64::from(y);
        FeatureKey { tile, imagery: ImageryHash(picture.sha256), encoder: self.encoder }
    }

    fn send(&self, evidence: Evidence) -> Result<(), Fault> {
        self.ends.evidence.try_send(evidence).map_err(|error| match error {
            TrySendError::Full(_) => Fault::skip(LocateError::EvidenceFull),
            TrySendError::Disconnected(_) => Fault::escalate(LocateError::EvidenceClosed),
        })
    }
}

impl Stage for Locate {
    fn name(&self) -> &'static str {
        "locate"
    }

    fn step(&mut self) -> Result<(), Fault> {
        match self.ends.queries.take(POLL_INTERVAL) {
            Some(batch) => self.answer(batch),
            None => self.look_ahead(),
        }
    }
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
