//! A simulated flight over fresh ground, with the stage that encodes its tiles.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use nalgebra::{Vector2, Vector3};
use smgeo_engine::{EncoderImage, EngineConfig, FeatureCache};
use smgeo_flow::{Clock, HandClock, Stage, latest};
use smgeo_geo::{Altitude, Covariance2, Geodetic, LatLon, LocalFrame, Pixel, RaySpread, TileId};
use smgeo_messages::{Evidence, FrameId, Query, QueryBatch, RayFix, TargetId};
use tokio::sync::{broadcast, watch};

use smgeo_runtime::assemble::{self, window::Windows};
use smgeo_runtime::control::Metrics;
use smgeo_runtime::locate::{Config, Counts, Ends, Locate};
use smgeo_runtime::tiles::{
    EncodedTile, RamTiles, TileError, TileKeeper, TilePicture, TileSource, TileState, TilesInfo,
};
use smgeo_runtime::web::HeatBoard;

const ZOOM: u8 = 18;
pub const SPEED_MPS: f64 = 20.0;
pub const FRAME: Duration = Duration::from_millis(200);
/// Half the edges of the picture on the ground, metres: 720p at a height of 120 m, looking steeply down.
pub const REACH_M: [f64; 2] = [110.0, 70.0];
const RAY_SIGMA_M: f64 = 10.0;
pub const EVIDENCE_MAX: usize = 16;

/// Makes a picture for any tile west of a column.
struct Ground {
    info: TilesInfo,
    columns_end: u32,
}

impl TileSource for Ground {
    fn info(&self) -> &TilesInfo {
        &self.info
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        unreachable!("{tile} is only asked for as a picture")
    }

    fn tile(&self, id: TileId) -> Result<TilePicture, TileError> {
        if id.x >= self.columns_end {
            return Err(TileError::Missing { tile: id, store: self.info.name.clone() });
        }
        let mut sha256 = [0; 32];
        sha256[..4].copy_from_slice(&id.x.to_le_bytes());
        sha256[4..8].copy_from_slice(&id.y.to_le_bytes());
        let rgb = (0..256 * 256 * 3u32).map(|at| (at.wrapping_mul(id.x ^ id.y) >> 7) as u8).collect();
        Ok(TilePicture { id, rgb, sha256, date: None })
    }
}

/// Is the flight, one frame after the other, as fast as the stage works.
pub struct Flight {
    frame: LocalFrame,
    windows: Windows,
    pub clock: Arc<HandClock>,
    keeper: Arc<TileKeeper>,
    ahead: watch::Sender<Arc<[TileId]>>,
    pub queries: latest::Put<QueryBatch>,
    pub answers: Receiver<Evidence>,
    pub counts: Counts,
    pub locate: Locate,
    frames: u64,
}

impl Flight {
    /// Begins a flight that asks the network of a package, a folder beside the crates.
    pub fn new(package: &str) -> Flight {
        Self::over(package, u32::MAX)
    }

    /// The same over a map that ends at a column of tiles.
    pub fn over(package: &str, columns_end: u32) -> Flight {
        let clock = HandClock::shared();
        let info = TilesInfo {
            name: "made ground".into(),
            imagery: "made".into(),
            date: None,
            attribution: None,
            bounds: None,
            zoom_min: ZOOM,
            zoom_max: ZOOM,
        };
        let tiles = Arc::new(RamTiles::new(Box::new(Ground { info, columns_end }), 1 << 28));
        let keeper = Arc::new(TileKeeper::start(tiles, 2, clock.clone()).unwrap());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(package);
        let package = Arc::new(smgeo_engine::Package::open(&folder).unwrap());
        let engine = EngineConfig { backend: smgeo_engine::BackendName::Rten, ..EngineConfig::of(folder) };
        let (ahead, ahead_seen) = watch::channel::<Arc<[TileId]>>(Arc::new([]));
        let (queries, queries_take) = latest::channel();
        let (evidence, answers) = bounded(EVIDENCE_MAX);
        let counts = Counts::of(&Metrics::new());
        let ends = Ends {
            queries: queries_take,
            ahead: ahead_seen,
            evidence,
            controls: broadcast::channel(1).0,
            heat: HeatBoard::default(),
            counts: counts.clone(),
        };
        let features = Arc::new(FeatureCache::new(1 << 28));
        let backend = engine.build(&package).unwrap();
        let locate = Locate::new(Config::default(), clock.clone(), backend, package, features, keeper.clone(), ends);
        let origin = Geodetic { at: LatLon::new(47.36, 8.53).unwrap(), height: Altitude::from_m(0.0) };
        let windows = Windows::new(&assemble::Config::default(), ZOOM);
        Flight {
            frame: LocalFrame::new(origin),
            windows,
            clock,
            keeper,
            ahead,
            queries,
            answers,
            counts,
            locate,
            frames: 0,
        }
    }

    fn place(&self, east_m: f64, north_m: f64) -> LatLon {
        self.frame.geodetic_from(Vector3::new(east_m, north_m, 0.0)).unwrap().at
    }

    fn ray(&self, east_m: f64, north_m: f64) -> RayFix {
        let covariance = Covariance2::new(RAY_SIGMA_M.powi(2), 0.0, RAY_SIGMA_M.powi(2)).unwrap();
        let spread = RaySpread { covariance, overshoot_ne: Vector2::zeros(), height_mean_m: 8.0 };
        RayFix { at: self.place(east_m, north_m), spread, range_m: 150.0 }
    }

    /// Flies on for one frame, with time for one tile: 5 tiles a second.
    pub fn fly(&mut self) {
        self.fly_on(Some(REACH_M));
        self.encode();
    }

    /// Takes one step of the stage.
    pub fn encode(&mut self) {
        self.locate.step().unwrap();
    }

    /// Flies on for one frame and says which tiles will be needed, none but the gaze's where the camera sees no ground.
    pub fn fly_on(&mut self, reach_m: Option<[f64; 2]>) {
        self.clock.advance(FRAME);
        self.frames += 1;
        let at = self.east_m();
        let corners =
            reach_m.map(|[across, along]| [(-across, -along), (across, -along), (across, along), (-across, along)]);
        let footprint: Vec<_> =
            corners.into_iter().flatten().map(|(east, north)| self.place(at + east, north)).collect();
        let config = assemble::Config::default();
        let ahead = self.windows.ahead(&self.ray(at, 0.0), &footprint, [0.0, SPEED_MPS, 0.0], config.ahead_s);
        self.ahead.send_replace(ahead.clone());
        self.keeper.want(&ahead);
        while ahead.iter().any(|tile| matches!(self.keeper.state(*tile), TileState::Loading)) {
            std::thread::yield_now();
        }
    }

    /// Says that one tile will be needed, the one below.
    #[allow(dead_code, reason = "the bench that flies over the same ground does not ask")]
    pub fn look_down(&mut self) {
        self.ahead.send_replace([TileId::containing(self.place(self.east_m(), 0.0), ZOOM)].into());
    }

    /// Counts tiles that could not be read in the window of a click, once none of them is being read.
    #[allow(dead_code, reason = "the bench that flies over the same ground does not ask")]
    pub fn unreadable(&self, across: f64, along: f64) -> usize {
        let ray = self.ray(self.east_m() + across * REACH_M[0], along * REACH_M[1]);
        let window = self.windows.around(&ray).unwrap();
        let states = || window.tiles().map(|tile| self.keeper.state(tile));
        while states().any(|state| matches!(state, TileState::Loading)) {
            std::thread::yield_now();
        }
        states().filter(|state| matches!(state, TileState::Failed(_))).count()
    }

    fn east_m(&self) -> f64 {
        self.frames as f64 * FRAME.as_secs_f64() * SPEED_MPS
    }

    /// Clicks on a place of the picture, given as parts of its half edges.
    pub fn click(&mut self, across: f64, along: f64) {
        let ray = self.ray(self.east_m() + across * REACH_M[0], along * REACH_M[1]);
        let centre = Pixel::new(128.0, 128.0);
        let query = Query {
            target: TargetId(self.frames as u32),
            revision: 0,
            frame: FrameId(self.frames),
            captured: self.clock.now(),
            pixel: Pixel::new(0.0, 0.0),
            image: EncoderImage::query_from((128.0, 128.0), |x, y| [x as u8, y as u8, 0]).unwrap(),
            click: centre,
            rectified: true,
            pixel_sigma_m: 0.0,
            window: self.windows.around(&ray).unwrap(),
            pose: None,
            ray: Some(ray),
            clicked: Some(ray),
        };
        let captured = self.clock.now();
        let frame = FrameId(self.frames);
        let (queries, unseen) = (vec![query], Vec::new());
        self.queries.put(QueryBatch { frame, captured, queries, unseen, telemetry_age: None });
        self.locate.step().unwrap();
        assert_eq!(self.answers.try_iter().count(), 1);
    }
}
