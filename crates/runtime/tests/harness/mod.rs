//! A server on a loopback port with everything behind it real, except that no camera and no network feed it: tests do.

// Each test program uses its part of this.
#![allow(dead_code)]

pub mod client;

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Actor;
use actix_web::dev::ServerHandle;
use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use smgeo_engine::{Maps, Posterior};
use smgeo_flow::{SharedClock, SystemClock};
use smgeo_geo::{LatLon, TileId, TileWindow};
use smgeo_messages::wire::{BasisV1, PositionV1, StateV1, TrackV1};
use smgeo_messages::{AccessUnit, Frame, FrameId, PixelFormat, Prompt, PromptSet, SharedFrame, TargetId, TimeSource};
use smgeo_runtime::control::{HealthBoard, Metrics};
use smgeo_runtime::prompts::{FrameIndex, Prompts, PromptsConfig, SeenFrame};
use smgeo_runtime::web::{
    About, DroneView, HeatBoard, HeatMap, ImageryAbout, ModelAbout, ServedTile, ShownTrack, TileServer, TrackBoard,
    WebConfig, WebError, WebParts, WebServer,
};
use tokio::sync::{broadcast, watch};

pub const WIDTH_PX: u32 = 640;
pub const HEIGHT_PX: u32 = 360;
/// The middle of the made map.
pub const LAT_DEG: f64 = 47.3769;
pub const LON_DEG: f64 = 8.5417;

pub struct Harness {
    pub address: String,
    pub clock: SharedClock,
    pub metrics: Metrics,
    pub health: HealthBoard,
    pub frames: FrameIndex,
    pub units: broadcast::Sender<AccessUnit>,
    pub tracks: broadcast::Sender<ShownTrack>,
    pub heat: HeatBoard,
    pub prompt_set: watch::Receiver<PromptSet>,
    pub picture: watch::Sender<Option<SharedFrame>>,
    pub drone: watch::Sender<Option<DroneView>>,
    pub vehicle: watch::Sender<Option<u8>>,
    pub handle: ServerHandle,
    parts: WebParts,
    tiles: Arc<Squares>,
}

/// A town of squares: a tile for every place at zoom 14 to 18, one that is broken, none elsewhere.
#[derive(Default)]
struct Squares {
    served: AtomicUsize,
}

impl TileServer for Squares {
    fn tile_bytes(&self, tile: TileId) -> Result<Option<ServedTile>, String> {
        match tile.z {
            13 => Err(format!("tile {tile} is corrupt")),
            14..=18 => {
                let picture =
                    RgbImage::from_fn(256, 256, |x, y| match (x % 64 < 3 || y % 64 < 3, (x / 64 + y / 64) % 2) {
                        (true, _) => Rgb([118, 118, 112]),
                        (false, 0) => Rgb([74, 94, 60]),
                        (false, _) => Rgb([86, 104, 66]),
                    });
                let mut png = Cursor::new(Vec::new());
                picture.write_to(&mut png, ImageFormat::Png).map_err(|error| error.to_string())?;
                self.served.fetch_add(1, Ordering::SeqCst);
                Ok(Some(ServedTile { media_type: "image/png", bytes: Bytes::from(png.into_inner()) }))
            }
            _ => Ok(None),
        }
    }
}

impl Harness {
    /// Starts a server on a port of the system's choice.
    pub fn start() -> Self {
        Self::start_with(WebConfig { listen: ([127, 0, 0, 1], 0).into(), ..WebConfig::default() })
    }

    pub fn start_with(config: WebConfig) -> Self {
        let clock = SystemClock::shared();
        let (metrics, health, frames) = (Metrics::new(), HealthBoard::new(clock.clone()), FrameIndex::new());
        let (set, prompt_set) = watch::channel(PromptSet::default());
        let limits = PromptsConfig::default();
        let prompts = Prompts::new(limits, clock.clone(), frames.clone(), metrics.clone(), set).start();
        let (units, tracks) = (broadcast::Sender::new(64), broadcast::Sender::new(64));
        let (picture, drone, vehicle) = (watch::Sender::new(None), watch::Sender::new(None), watch::Sender::new(None));
        let (heat, tiles) = (HeatBoard::default(), Arc::new(Squares::default()));
        let parts = WebParts {
            config,
            clock: clock.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            about: Arc::new(about()),
            prompts,
            prompt_set: prompt_set.clone(),
            tracks: tracks.clone(),
            track_board: TrackBoard::default(),
            heat: heat.clone(),
            units: units.clone(),
            frames: frames.clone(),
            picture: picture.subscribe(),
            drone: drone.subscribe(),
            vehicle: vehicle.subscribe(),
            tiles: tiles.clone(),
        };
        let server = WebServer::start(parts.clone()).unwrap();
        let (address, handle) = (server.listen.to_string(), server.handle);
        actix_rt::spawn(server.server);
        Self {
            address,
            parts,
            tiles,
            clock,
            metrics,
            health,
            frames,
            units,
            tracks,
            heat,
            prompt_set,
            picture,
            drone,
            vehicle,
            handle,
        }
    }

    /// Starts a second server on the same parts.
    pub fn second(&self, config: WebConfig) -> Result<WebServer, WebError> {
        WebServer::start(WebParts { config, ..self.parts.clone() })
    }

    /// Starts the server once more, after its end, as another run of the daemon with another map.
    pub fn again(&self, map: &str) -> WebServer {
        let mut about = About { boot_id: "run-2".to_owned(), ..about() };
        about.imagery =
            about.imagery.map(|imagery| ImageryAbout { name: map.to_owned(), attribution: None, ..imagery });
        let config = WebConfig { listen: self.address.parse().unwrap(), ..self.parts.config.clone() };
        WebServer::start(WebParts { config, about: Arc::new(about), ..self.parts.clone() }).unwrap()
    }

    /// Counts the tiles that were served.
    pub fn tiles_served(&self) -> usize {
        self.tiles.served.load(Ordering::SeqCst)
    }

    /// Returns the number of the newest track of a target, if one is kept.
    pub fn newest_track(&self, target: u32) -> Option<u64> {
        let newest = self.parts.track_board.newest();
        newest.iter().find(|shown| shown.track.target == target).map(|shown| shown.track.sequence)
    }

    /// Looks again and again until something has come true.
    pub async fn until(&self, what: &str, mut has_come: impl FnMut() -> bool) {
        self.until_async(what, async || has_come()).await;
    }

    /// Asks again and again until something has come true.
    pub async fn until_async(&self, what: &str, mut has_come: impl AsyncFnMut() -> bool) {
        for _ in 0..500 {
            if has_come().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came true: {what}");
    }

    /// Shows one frame: notes it, and sends its access unit.
    pub fn show(&self, id: u64, key: bool, bytes: Bytes) {
        let captured = self.clock.now();
        let (id, width_px, height_px) = (FrameId(id), WIDTH_PX, HEIGHT_PX);
        self.frames.note(SeenFrame { id, captured, width_px, height_px, frozen: false });
        // Nobody watching is no error.
        let _ = self.units.send(AccessUnit { frame: id, captured, key, bytes });
    }

    /// Shows a grey picture as the newest decoded frame.
    pub fn show_picture(&self, id: u64) {
        let captured = self.clock.now();
        let bytes = Bytes::from(vec![128; (WIDTH_PX * HEIGHT_PX * 3) as usize]);
        self.frames.note(SeenFrame {
            id: FrameId(id),
            captured,
            width_px: WIDTH_PX,
            height_px: HEIGHT_PX,
            frozen: false,
        });
        self.picture.send_replace(Some(Arc::new(Frame {
            id: FrameId(id),
            captured,
            time_source: TimeSource::PtsArrival,
            time_sigma: Duration::from_millis(10),
            arrived: captured,
            width_px: WIDTH_PX,
            height_px: HEIGHT_PX,
            format: PixelFormat::Rgb8,
            bytes,
            frozen: false,
        })));
    }

    /// Publishes a locked track for a prompt, at the place that its pixel has on the made map.
    pub fn publish(&self, prompt: &Prompt, sequence: u64) {
        self.publish_late(prompt, sequence, Duration::ZERO);
    }

    /// The same of a track that has waited for its turn.
    pub fn publish_late(&self, prompt: &Prompt, sequence: u64, waited: Duration) {
        let now_us = self.clock.wall_us_now();
        let [lat_deg, lon_deg] = place_of(prompt.click.x, prompt.click.y);
        let newest = self.frames.newest().map_or(prompt.frame, |frame| frame.id);
        let position = PositionV1 {
            lat_deg,
            lon_deg,
            mgrs: Some("32T MT 65432 47190".to_owned()),
            ce90_m: 3.2,
            covariance_ne_m2: [3.0, 0.8, 2.0],
            velocity_ne_mps: [0.0, 0.0],
            basis: BasisV1::Map,
            bounds_deg: Some([lon_deg - 8e-5, lat_deg - 5e-5, lon_deg + 8e-5, lat_deg + 5e-5]),
            score: Some(0.93),
        };
        let track = TrackV1 {
            version: 1,
            drone: "kestrel-1".to_owned(),
            boot_id: "run-1".to_owned(),
            sequence,
            target: prompt.target.0,
            revision: prompt.revision,
            label: prompt.label.as_deref().map(str::to_owned),
            click: None,
            state: StateV1::Locked,
            reason: None,
            frame: newest.0,
            captured_us: now_us - 80_000,
            published_us: now_us,
            latency_ms: 80.0,
            position: Some(position),
            confirmation_age_ms: Some(120.0),
            telemetry_age_ms: Some(40.0),
            fixes: sequence,
            pixel: Some([prompt.click.x, prompt.click.y]),
            ray: None,
            provenance: None,
        };
        // Nobody listening is no error.
        let captured = self.clock.now().minus(Duration::from_millis(80) + waited);
        let _ = self.tracks.send(ShownTrack { track: Arc::new(track), captured });
    }

    /// Keeps a heat map of a target as the network's answer about a frame of some time ago: column 3 of row 3 is the likeliest.
    pub fn answer(&self, target: u32, ago: Duration) {
        let mut heat = vec![0.0; 64];
        heat[27] = 9.0;
        let maps = Maps { width: 8, height: 8, heat, boxes: vec![0.0; 256], attention: vec![0.0; 64] };
        let window = TileWindow::around(LatLon::new(LAT_DEG, LON_DEG).unwrap(), 17, 1, 1).unwrap();
        let posterior = Arc::new(Posterior::new(&maps, 32, 1.0).unwrap());
        let (frame, captured) = (FrameId(100), self.clock.now().minus(ago));
        self.heat.put(TargetId(target), HeatMap { frame, captured, posterior, window });
    }

    /// Puts the drone over the map, looking north.
    pub fn fly(&self) {
        let at = |north: f64, east: f64| LatLon::new(LAT_DEG + north, LON_DEG + east).unwrap();
        self.drone.send_replace(Some(DroneView {
            captured: self.clock.now(),
            at: at(-0.0010, 0.0),
            altitude_msl_m: 530.0,
            height_ground_m: Some(121.0),
            heading_rad: Some(0.2),
            camera_azimuth_rad: 0.1,
            camera_depression_rad: 0.9,
            footprint: vec![at(0.0009, -0.0013), at(0.0009, 0.0013), at(-0.0004, 0.0008), at(-0.0004, -0.0008)],
            telemetry_age: Duration::from_millis(40),
        }));
    }
}

/// Says which place a pixel has on the made map.
pub fn place_of(x: f64, y: f64) -> [f64; 2] {
    let (right, down) = (x / f64::from(WIDTH_PX) - 0.5, y / f64::from(HEIGHT_PX) - 0.5);
    [LAT_DEG - down * 0.0010, LON_DEG + right * 0.0018]
}

fn about() -> About {
    About {
        drone: "kestrel-1".to_owned(),
        boot_id: "run-1".to_owned(),
        model: Some(ModelAbout { name: "nano-town".into(), hash: "3f8a12bc99d0".into(), backend: "rten".into() }),
        imagery: Some(ImageryAbout {
            name: "squares.mbtiles".to_owned(),
            date: Some("2025-06-14".to_owned()),
            attribution: Some("<a href=\"https://squares.example\">Squares</a> &amp; Sons".to_owned()),
            bounds_deg: Some([LON_DEG - 0.006, LAT_DEG - 0.004, LON_DEG + 0.006, LAT_DEG + 0.004]),
            zoom_min: 14,
            zoom_max: 18,
        }),
    }
}
