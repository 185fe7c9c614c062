//! The whole machine at work: a drone on an RTSP server and a MAVLink link, a map in an MBTiles file, an operator's click,
//! and a package that localises by matching colours. What is published must be right, and must say so when it cannot be.
//!
//! The ground is a plane with a smooth pattern known by formula, so map and video show the same place and the truth is exact.

#[path = "page/browser.rs"]
mod browser;
mod harness;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use browser::Browser;
use bytes::Bytes;
use nalgebra::Vector3;
use smgeo_flow::{SharedClock, Stamp, StopToken, SystemClock};
use smgeo_geo::{
    Altitude, Camera, Euler, Geodetic, LatLon, LocalFrame, Msl, Pixel, Pose, PoseSigma, TileBounds, TileId, TileWindow,
    mercator,
};
use smgeo_messages::{Basis, Prompt, Track, TrackState};
use smgeo_runtime::config::Config;
use smgeo_runtime::control::{Level, Shutdown};
use smgeo_runtime::prompts::{Follow, List, SeenFrame};
use smgeo_runtime::rtsp_server::{RtspConfig, RtspServer};
use smgeo_runtime::tiles::{EncodedTile, MbTilesWriter};
use smgeo_runtime::vehicle::{Report, Vehicle};
use smgeo_runtime::wiring::Machine;

const ZOOM: u8 = 18;
const GROUND_M_MSL: f64 = 100.0;
const HEIGHT_M: f64 = 110.0;
const FPS: u32 = 8;
const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 360;
/// The machine under test has this long to do what it must.
const PATIENCE: Duration = Duration::from_secs(40);
/// From a click on the page to its position there.
const TRACK_MAX: Duration = Duration::from_secs(3);

/// Half the edge and the grain of the ground that the drone sees, metres.
const SEEN_M: f64 = 250.0;
const GRAIN_M: f64 = 0.25;

/// Where everything happens.
struct Field {
    frame: LocalFrame,
    /// What the drone sees of it, row by row from the south-west: looked up, so that a picture takes little time.
    seen: Vec<[u8; 3]>,
}

impl Field {
    fn new() -> Self {
        let at = LatLon::new(34.05, -117.2).unwrap();
        let height = Altitude::<Msl>::from_m(GROUND_M_MSL).to_ellipsoid(at);
        let edge = (2.0 * SEEN_M / GRAIN_M) as usize;
        let place_m = |step: usize| (step as f64 + 0.5) * GRAIN_M - SEEN_M;
        let seen = (0..edge * edge).map(|at| Self::colour(place_m(at % edge), place_m(at / edge))).collect();
        Self { frame: LocalFrame::new(Geodetic { at, height }), seen }
    }

    fn seen(&self, east_m: f64, north_m: f64) -> [u8; 3] {
        let edge = (2.0 * SEEN_M / GRAIN_M) as usize;
        let step = |place_m: f64| (((place_m + SEEN_M) / GRAIN_M) as usize).min(edge - 1);
        self.seen[step(north_m) * edge + step(east_m)]
    }

    /// The ground's colour: patches of about 15 m for the network, and smaller ones on them for following.
    fn colour(east_m: f64, north_m: f64) -> [u8; 3] {
        let noise = |channel: i64, size_m: f64| {
            let (x, y) = (east_m / size_m, north_m / size_m);
            let (i, j) = (x.floor(), y.floor());
            let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
            let (u, v) = (smooth(x - i), smooth(y - j));
            let node = |di: f64, dj: f64| {
                let mut z = ((i + di) as i64).wrapping_mul(0x9E37_79B9) ^ ((j + dj) as i64).wrapping_mul(0x85EB_CA6B);
                z = (z ^ channel.wrapping_mul(0xC2B2_AE35)).wrapping_mul(0x27D4_EB2F_1656_67C5);
                ((z >> 33) & 0xFF) as f64
            };
            let south = node(0.0, 0.0) + (node(1.0, 0.0) - node(0.0, 0.0)) * u;
            let north = node(0.0, 1.0) + (node(1.0, 1.0) - node(0.0, 1.0)) * u;
            south + (north - south) * v
        };
        let detail = noise(4, 3.0);
        [1, 2, 3].map(|channel| (0.75 * noise(channel, 15.0) + 0.25 * detail) as u8)
    }

    fn colour_at(&self, at: LatLon) -> [u8; 3] {
        let place = self.frame.enu_from(Geodetic { at, height: self.frame.origin().height });
        Self::colour(place.x, place.y)
    }

    fn write_map(&self, file: &Path) {
        let window = TileWindow::around(self.frame.origin().at, ZOOM, 8, 8).unwrap();
        let tiles: Vec<(TileId, EncodedTile)> = window.tiles().map(|tile| (tile, self.tile(tile))).collect();
        let mut writer = MbTilesWriter::open(file).unwrap();
        let (first, last) = (tiles[0].0.bounds(), tiles[tiles.len() - 1].0.bounds());
        let bounds = TileBounds {
            west_deg: first.west_deg,
            south_deg: last.south_deg,
            east_deg: last.east_deg,
            north_deg: first.north_deg,
        };
        writer.describe("test field", "image/png", &bounds, ZOOM).unwrap();
        writer.put(tiles.iter().map(|(id, tile)| (*id, tile))).unwrap();
    }

    fn tile(&self, tile: TileId) -> EncodedTile {
        let (left, top) = tile.origin_px();
        let picture = image::RgbImage::from_fn(256, 256, |x, y| {
            let at = mercator::lat_lon(left + f64::from(x) + 0.5, top + f64::from(y) + 0.5, ZOOM).unwrap();
            image::Rgb(self.colour_at(at))
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        EncodedTile { bytes: bytes.into_inner().into(), media_type: "image/png" }
    }

    /// The drone circles slowly and looks down at 60 degrees.
    fn pose(&self, t_s: f64) -> Pose {
        let angle = 0.02 * t_s;
        let place = Vector3::new(40.0 * angle.sin(), -60.0 + 10.0 * angle, HEIGHT_M);
        let position = self.frame.geodetic_from(place).unwrap();
        Pose::from_euler(position, Euler::from_deg(10.0 + 20.0 * angle, -60.0, 0.0))
    }

    fn picture(&self, camera: &Camera, pose: &Pose) -> Bytes {
        let view = pose.view(&self.frame);
        let mut rgb = Vec::with_capacity((WIDTH_PX * HEIGHT_PX * 3) as usize);
        for row in 0..HEIGHT_PX {
            for column in 0..WIDTH_PX {
                let ray = view.ray_enu(camera, Pixel::new(f64::from(column) + 0.5, f64::from(row) + 0.5));
                let reach = -view.eye_enu_m.z / ray.z;
                let ground = view.eye_enu_m + ray * reach;
                rgb.extend_from_slice(&self.seen(ground.x, ground.y));
            }
        }
        rgb.into()
    }

    /// Where the middle of the picture lies on the ground at a time.
    fn centre(&self, camera: &Camera, t_s: f64) -> Vector3<f64> {
        let view = self.pose(t_s).view(&self.frame);
        let middle = Pixel::new(f64::from(WIDTH_PX) / 2.0, f64::from(HEIGHT_PX) / 2.0);
        let ray = view.ray_enu(camera, middle);
        view.eye_enu_m - ray * (view.eye_enu_m.z / ray.z)
    }
}

fn camera() -> Camera {
    Camera::from_hfov(WIDTH_PX, HEIGHT_PX, 60_f64.to_radians())
}

/// Streams and tells until it is stopped.
fn fly(field: Arc<Field>, server: RtspServer, vehicle: Vehicle, clock: SharedClock, start: Stamp, stop: StopToken) {
    let camera = camera();
    let sigma = PoseSigma { yaw_rad: 0.02, pitch_rad: 0.01, roll_rad: 0.01, horizontal_m: 1.0, vertical_m: 1.0 };
    for index in 0_u64.. {
        let t_s = index as f64 / f64::from(FPS);
        let due = start.plus(Duration::from_secs_f64(t_s));
        while clock.now() < due {
            std::thread::park_timeout(due.since(clock.now()));
        }
        if stop.is_stopped() {
            return;
        }
        let pose = field.pose(t_s);
        let report = Report { boot_ms: (t_s * 1e3) as u32, pose, velocity_ned_mps: [0.2, 0.8, 0.0] };
        vehicle.report(&report);
        if index.is_multiple_of(u64::from(FPS)) {
            vehicle.report_slowly(&report, clock.wall_us(due), &sigma, camera.hfov_rad(), 0.6);
        }
        server.push_frame(field.picture(&camera, &pose), clock.wall_us(due));
    }
}

fn config(folder: &Path, rtsp: &str, mavlink_port: u16) -> Config {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/packages/matched");
    let text = format!(
        r#"
        ingest = {{ source = {{ uri = "{rtsp}" }} }}
        terrain = {{ kind = "flat", height_m_msl = {GROUND_M_MSL}, sigma_m = 1.0 }}
        tiles = {{ source = "map.mbtiles" }}
        engine = {{ package = {package:?}, threads = 1 }}
        fuse = {{ coasting_s = 4.0, locked_age_s_max = 1.5 }}
        web = {{ listen = "127.0.0.1:0" }}
        telemetry = {{ mavlink = {{ address = "udpin:127.0.0.1:{mavlink_port}", delay_ms = 1, delay_sigma_ms = 5 }} }}
        "#
    );
    let file = folder.join("machine.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

fn free_udp_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Is a field with a drone over it that streams and tells, and the configuration of a machine that hears it.
struct Flight {
    field: Arc<Field>,
    clock: SharedClock,
    start: Stamp,
    config: Config,
    landed: StopToken,
    drone: std::thread::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Flight {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let field = Arc::new(Field::new());
        field.write_map(&folder.path().join("map.mbtiles"));
        let clock = SystemClock::shared();
        let server = RtspServer::start(RtspConfig::loopback(WIDTH_PX, HEIGHT_PX, FPS), clock.clone()).unwrap();
        let port = free_udp_port();
        let config = config(folder.path(), &server.uri(), port);
        let vehicle = Vehicle::open(&format!("udpout:127.0.0.1:{port}"), clock.clone()).unwrap();
        let (start, landed) = (clock.now(), StopToken::new());
        let drone = {
            let (field, clock, landed) = (field.clone(), clock.clone(), landed.clone());
            std::thread::spawn(move || fly(field, server, vehicle, clock, start, landed))
        };
        Self { field, clock, start, config, landed, drone, _folder: folder }
    }

    /// How far a place is from what the middle of the picture showed at a time, metres.
    fn off_m(&self, at: LatLon, captured: Stamp) -> f64 {
        let place = self.field.frame.enu_from(Geodetic { at, height: self.field.frame.origin().height });
        let truth = self.field.centre(&camera(), captured.since(self.start).as_secs_f64());
        (place - truth).xy().norm()
    }

    fn land(self) {
        self.landed.stop();
        self.drone.join().unwrap();
    }
}

#[test]
fn a_click_on_a_live_stream_becomes_a_right_position_and_a_lost_stream_takes_it_back() {
    let flight = Flight::begin();
    smgeo_runtime::system().block_on(async {
        let machine = Machine::start(flight.config.clone(), flight.clock.clone(), StopToken::new()).unwrap();
        let mut tracks = machine.tracks.subscribe();
        let (captured, locked) = clicked_until_locked(&machine, &mut tracks, flight.start).await;
        let estimate = locked.estimate.as_ref().expect("a locked track has a position");
        let off_m = flight.off_m(estimate.at, captured);
        assert_eq!(estimate.basis, Basis::Map);
        assert!(off_m < 8.0 && off_m < 2.0 * estimate.ce90_m, "{off_m} m off, CE90 {} m", estimate.ce90_m);
        assert!(locked.provenance.is_some() && locked.telemetry_age.is_some() && locked.ray.is_some());

        flight.landed.stop();
        let lost = wait_for(&mut tracks, |track| track.state == TrackState::Lost).await;
        assert!(lost.estimate.is_none(), "a lost target has no position");
        machine.conductor.send(Shutdown).await.unwrap();
    });
    flight.land();
}

#[test]
fn a_click_on_the_page_of_a_flying_machine_shows_the_right_position_within_three_seconds() {
    let flight = Flight::begin();
    smgeo_runtime::system().block_on(async {
        let Some(browser) = Browser::launch().await else {
            println!("skipped: the page test needs chromium (apt install chromium)");
            return;
        };
        let machine = Machine::start(flight.config.clone(), flight.clock.clone(), StopToken::new()).unwrap();
        let mut tab = browser.open(&format!("http://{}/", machine.listen), "").await;
        tab.until("window.smgeo && window.smgeo.shown()", PATIENCE).await;
        newest(&machine, flight.start).await;
        let ready = async {
            while machine.health.now().level() != Level::Ok {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap_or_else(|_| panic!("{:?}", machine.health.now().causes()));

        // A starved browser shows frames that are too old to be clicked, and says so; an operator clicks again.
        let begun = tokio::time::Instant::now();
        let found = "smgeo.targets().find((target) => target.state === 'locked' && target.place)";
        let took = loop {
            assert!(begun.elapsed() < PATIENCE, "nothing was locked within {TRACK_MAX:?} of a click");
            let middle = tab.point("#overlay", [0.5, 0.5]).await;
            tab.click(middle).await;
            if let Some(took) = tab.within(TRACK_MAX, found).await {
                break took;
            }
        };
        println!("click to locked on the page: {took:?}");
        let found = tab.eval(found).await;
        let place: Vec<f64> =
            found["place"].as_str().unwrap().split(", ").map(|angle| angle.parse().unwrap()).collect();
        let prompts = machine.prompts.send(List).await.unwrap().targets;
        let clicked = prompts.iter().find(|prompt| found["target"] == prompt.target.0).unwrap().frame_captured;
        let off_m = flight.off_m(LatLon::new(place[0], place[1]).unwrap(), clicked);
        assert!(off_m < 8.0, "{off_m} m off");
        machine.conductor.send(Shutdown).await.unwrap();
    });
    flight.land();
}

/// Clicks until what was clicked is locked, and returns when the last click's picture was captured, with the track. On a starved machine
/// an object moves too far from picture to picture to be followed; an operator clicks again.
async fn clicked_until_locked(
    machine: &Machine,
    tracks: &mut tokio::sync::broadcast::Receiver<Arc<Track>>,
    start: Stamp,
) -> (Stamp, Arc<Track>) {
    for _ in 0..5 {
        let prompt = click(machine, start).await;
        let is_settled = |track: &Track| matches!(track.state, TrackState::Locked | TrackState::Lost);
        let track = wait_for(tracks, |track| track.target == prompt.target && is_settled(track)).await;
        if track.state == TrackState::Locked {
            return (prompt.frame_captured, track);
        }
    }
    panic!("five objects were clicked, and each was lost before it was locked");
}

/// Clicks on the middle of the newest picture.
async fn click(machine: &Machine, start: Stamp) -> Prompt {
    let frame = newest(machine, start).await;
    let click = Pixel::new(f64::from(WIDTH_PX) / 2.0, f64::from(HEIGHT_PX) / 2.0);
    machine.prompts.send(Follow { frame: frame.id, click, label: None }).await.unwrap().unwrap()
}

/// Returns the newest frame, as soon as some sender reports must have come, so that its capture time is the sender's.
async fn newest(machine: &Machine, start: Stamp) -> SeenFrame {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < patience, "no frame came: {:?}", machine.video.state.borrow());
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(frame) =
            machine.frames.newest().filter(|frame| frame.captured.since(start) > Duration::from_secs(4))
        {
            return frame;
        }
    }
}

async fn wait_for(
    tracks: &mut tokio::sync::broadcast::Receiver<Arc<Track>>,
    wanted: impl Fn(&Track) -> bool,
) -> Arc<Track> {
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            match tracks.recv().await {
                Ok(track) if wanted(&track) => return track,
                Ok(track) => last = Some(track),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    found.unwrap_or_else(|_| panic!("it did not come; the last track was {last:?}"))
}
