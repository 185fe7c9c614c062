//! The runtime's own overhead: from a decoded frame to a published track, with an engine that answers at once.
//!
//! The stages are the real ones on threads of their own, joined as in `wiring.rs`; a 720p frame is put when the track of the
//! one before has been published. What is measured is following, pose, ray, crop, window, posterior, filter and every channel
//! and wake-up between them. What is not: decoding and the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_channel::{Sender, bounded};
use image::{Rgb, RgbImage};
use smgeo_engine::{
    Backend, BackendInfo, EncoderImage, EngineError, FeatureCache, Features, LocateRequest, Maps, Package, View,
};
use smgeo_flow::latest::{self, Put};
use smgeo_flow::{SharedClock, Stage, StopToken, SystemClock};
use smgeo_geo::{Altitude, Euler, LatLon, Pixel, TileWindow};
use smgeo_messages::{
    Frame, FrameId, GimbalAttitude, PixelFormat, Prompt, PromptSet, PromptSource, TargetId, Telemetry, TimeSource,
    Told, Track, TrackState, VehicleHeight, VehiclePosition, YawFrame,
};
use smgeo_runtime::assemble::{self, Assemble};
use smgeo_runtime::camera;
use smgeo_runtime::control::Metrics;
use smgeo_runtime::follow::Follow;
use smgeo_runtime::fuse::Fuse;
use smgeo_runtime::locate::{self, Locate};
use smgeo_runtime::prompts::FrameIndex;
use smgeo_runtime::telemetry::PoseBuffer;
use smgeo_runtime::terrain::{self, GroundSource};
use smgeo_runtime::tiles::{EncodedTile, MbTilesWriter, RamTiles, TileKeeper, TilesConfig, open_source};
use smgeo_runtime::web::HeatBoard;
use tokio::sync::{broadcast, watch};

const WIDTH_PX: u32 = 1280;
const HEIGHT_PX: u32 = 720;
const ZOOM: u8 = 18;
const HEIGHT_M: f64 = 100.0;
/// A track that takes longer has got lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// Frames whose times are sorted.
const FRAMES: usize = 1_000;
/// While tiles are read and encoded a frame is waited for no longer than this.
const WARM_UP: Duration = Duration::from_millis(100);

/// Encodes to zeros and finds everything equally everywhere, so that the ray decides.
struct AtOnce {
    info: BackendInfo,
}

impl Backend for AtOnce {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn encode_into(
        &mut self,
        images: &[(&EncoderImage, View)],
        features: &mut Vec<Features>,
    ) -> Result<(), EngineError> {
        features.clear();
        let (cells, channels) = (self.info.cells(), self.info.channels);
        for _ in images {
            features.push(Features::new(vec![0.0; cells * cells * channels].into(), cells, channels)?);
        }
        Ok(())
    }

    fn locate_into(&mut self, requests: &[LocateRequest], answers: &mut Vec<Maps>) -> Result<(), EngineError> {
        answers.clear();
        answers.extend(requests.iter().map(|request| {
            let (width, height) = (request.reference.width(), request.reference.height());
            let cells = width * height;
            Maps { width, height, heat: vec![4.0; cells], boxes: vec![1.0; 4 * cells], attention: vec![0.0; cells] }
        }));
        Ok(())
    }
}

/// The stages from frames to tracks, each on its thread, until it is dropped.
struct Path {
    clock: SharedClock,
    frames: Put<Frame>,
    telemetry: Sender<Telemetry>,
    prompts: watch::Sender<PromptSet>,
    tracks: broadcast::Receiver<Arc<Track>>,
    waiting: tokio::runtime::Runtime,
    seen: FrameIndex,
    picture: Bytes,
    frame: u64,
    stop: StopToken,
    threads: Vec<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Path {
    fn start() -> anyhow::Result<Self> {
        let clock = SystemClock::shared();
        let folder = tempfile::tempdir()?;
        let package = Arc::new(Package::open("crates/engine/tests/packages/matched")?);
        let map = open_source(&TilesConfig::of(&map(folder.path())?), clock.clone())?;
        let keeper = Arc::new(TileKeeper::start(Arc::new(RamTiles::new(map, 1 << 26)), 1, clock.clone())?);
        let (frames, frames_taken) = latest::channel();
        let (followed, followed_taken) = latest::channel();
        let (queries, queries_taken) = latest::channel();
        let (telemetry, telemetry_taken) = bounded(256);
        let (evidence, evidence_taken) = bounded(64);
        let (re_anchors, re_anchors_taken) = bounded(16);
        let (tracks_sent, tracks) = broadcast::channel(256);
        let (prompts, prompts_seen) = watch::channel(PromptSet::default());
        let (ahead, ahead_seen) = watch::channel(Arc::from([]));
        let (metrics, seen) = (Metrics::new(), FrameIndex::new());
        let lens = camera::Config::default().build().map_err(|problem| anyhow::anyhow!(problem))?;
        let ends = assemble::Ends {
            followed: followed_taken,
            telemetry: telemetry_taken,
            queries,
            ahead,
            drone: watch::channel(None).0,
            seen: seen.clone(),
            picture: watch::channel(None).0,
            tracks: tracks_sent.clone(),
            re_anchors,
            reports: assemble::Reports::of(&metrics, None),
        };
        let ground = GroundSource::open(&terrain::Config::Flat { height_m_msl: 0.0, sigma_m: 1.0 })?;
        let poses = PoseBuffer::new(Default::default());
        let follow = Follow::new(Default::default(), frames_taken, prompts_seen.clone(), re_anchors_taken, followed);
        let assemble = Assemble::new(Default::default(), clock.clone(), lens, ZOOM, poses, ground, ends);
        let ends = locate::Ends {
            queries: queries_taken,
            ahead: ahead_seen,
            evidence,
            controls: broadcast::channel(4).0,
            heat: HeatBoard::default(),
            counts: locate::Counts::of(&metrics),
        };
        let backend = Box::new(AtOnce { info: BackendInfo::of("at once", "none", 1, &package) });
        let features = Arc::new(FeatureCache::new(1 << 28));
        let locate = Locate::new(Default::default(), clock.clone(), backend, package, features, keeper, ends);
        let latency = metrics.latency("capture_to_publish");
        let fuse = Fuse::new(Default::default(), clock.clone(), prompts_seen, evidence_taken, tracks_sent, latency);
        let stop = StopToken::new();
        let threads = vec![run(follow, &stop), run(assemble, &stop), run(locate, &stop), run(fuse, &stop)];
        let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let picture = picture();
        Ok(Self {
            clock,
            frames,
            telemetry,
            prompts,
            tracks,
            waiting,
            seen,
            picture,
            frame: 0,
            stop,
            threads,
            _folder: folder,
        })
    }

    /// Wants this many targets, all clicked in the first frame.
    fn click(&self, targets: u32) {
        let prompt = |target: u32| Prompt {
            target: TargetId(target),
            revision: 1,
            frame: FrameId(1),
            frame_captured: self.clock.now(),
            click: Pixel::new(400.0 + 60.0 * f64::from(target), 360.0),
            sigma_px: 2.0,
            label: None,
            source: PromptSource::Exact,
            created: self.clock.now(),
        };
        let set = PromptSet { revision: u64::from(targets), targets: (0..targets).map(prompt).collect() };
        self.prompts.send_replace(set);
    }

    /// Puts a frame, waits at most `patience` for the tracks of all targets in it, and returns the time that took.
    fn fly(&mut self, targets: u32, patience: Duration) -> Option<Duration> {
        self.frame += 1;
        self.tell();
        let now = self.clock.now();
        let frame = Frame {
            id: FrameId(self.frame),
            captured: now,
            time_source: TimeSource::Ntp,
            time_sigma: Duration::ZERO,
            arrived: now,
            width_px: WIDTH_PX,
            height_px: HEIGHT_PX,
            format: PixelFormat::Rgb8,
            bytes: self.picture.clone(),
            frozen: false,
        };
        let begun = Instant::now();
        self.frames.put(frame);
        // Waiting, not asking again and again: on two cores that would take one from the stages.
        let all = async {
            let mut left = targets;
            while left > 0 {
                if self.tracks.recv().await.is_ok_and(|track| track.frame == FrameId(self.frame)) {
                    left -= 1;
                }
            }
        };
        self.waiting.block_on(async { tokio::time::timeout(patience, all).await }).ok()?;
        Some(begun.elapsed())
    }

    /// What a hovering vehicle says: where it is, and that its camera looks 45 degrees down.
    fn tell(&self) {
        let at = self.clock.now();
        let sample = |told| Telemetry { at, at_sigma: Duration::ZERO, told };
        let height = VehicleHeight::Msl(Altitude::from_m(HEIGHT_M));
        let position = VehiclePosition { at: place(), height, velocity_ned_mps: Some([0.0; 3]) };
        let turn = Euler::from_deg(0.0, -45.0, 0.0).ned_from_body();
        let gimbal = GimbalAttitude { frame_from_gimbal: turn, yaw_frame: YawFrame::Earth };
        for told in [Told::Position(position), Told::Gimbal(gimbal)] {
            self.telemetry.try_send(sample(told)).expect("telemetry is drained every frame");
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.stop.stop();
        for thread in self.threads.drain(..) {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn run(mut stage: impl Stage + 'static, stop: &StopToken) -> std::thread::JoinHandle<()> {
    let stop = stop.clone();
    // Named, so that a profile tells the stages apart.
    let thread = std::thread::Builder::new().name(stage.name().to_owned());
    let steps = move || {
        while !stop.is_stopped() {
            stage.step().expect("no stage fails in a bench");
        }
    };
    thread.spawn(steps).expect("a bench can start four threads")
}

fn place() -> LatLon {
    LatLon::new(25.0, 55.0).expect("on the Earth")
}

/// Texture that following can hold on to.
fn picture() -> Bytes {
    let level = |x: u32, y: u32| {
        let node = |x: u32, y: u32| {
            (x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35) >> 24
        };
        (node(x / 9, y / 9) / 2 + node(x / 31, y / 31) / 2) as u8
    };
    RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |x, y| Rgb([level(x, y), level(x, y) / 2, 90])).into_raw().into()
}

/// A map of one picture everywhere within reach of the camera.
fn map(folder: &std::path::Path) -> anyhow::Result<String> {
    let file = folder.join("map.mbtiles");
    let mut jpeg = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(256, 256, Rgb([90, 110, 70])).write_to(&mut jpeg, image::ImageFormat::Jpeg)?;
    let jpeg = Bytes::from(jpeg.into_inner());
    let mut writer = MbTilesWriter::open(&file)?;
    for tile in TileWindow::around(place(), ZOOM, 16, 16)?.tiles() {
        let encoded = EncodedTile::new(jpeg.clone(), tile, writer.name())?;
        writer.put([(tile, &encoded)])?;
    }
    Ok(file.to_string_lossy().into_owned())
}

fn frame_path(criterion: &mut Criterion) {
    for targets in [1, 8] {
        let mut path = Path::start().expect("the stages start");
        path.fly(0, PATIENCE);
        while path.seen.newest().is_none() {
            std::hint::spin_loop();
        }
        path.click(targets);
        // Until every tile of the windows is encoded the questions wait, and some frames have no answer.
        for _ in 0..50 {
            path.fly(targets, WARM_UP);
        }
        criterion.bench_function(&format!("frame to track, {targets} targets"), |bench| {
            let mut once = || path.fly(targets, PATIENCE).expect("a track follows its frame");
            bench.iter_custom(|rounds| (0..rounds).map(|_| once()).sum());
        });
        // Criterion gives the mean, which the frames that another program's turn fell into raise.
        let mut took: Vec<Duration> = (0..FRAMES).filter_map(|_| path.fly(targets, PATIENCE)).collect();
        took.sort_unstable();
        let part = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
        println!("of {} frames, ms: p50 {:.2}, p90 {:.2}, p99 {:.2}", took.len(), part(50), part(90), part(99));
        let mut latest = None;
        path.fly(targets, PATIENCE);
        while let Ok(track) = path.tracks.try_recv() {
            latest = Some(track.state);
        }
        assert!(latest.is_none_or(|state| state == TrackState::Locked), "{latest:?}");
    }
}

criterion_group!(benches, frame_path);
criterion_main!(benches);
