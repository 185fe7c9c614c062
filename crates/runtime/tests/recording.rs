//! A recorded flight over a real place: satellite imagery of a town in the desert, filmed by a made flight over it, and run as any
//! recording is: a video file, a telemetry log, a map, the package that ships.
//!
//! The imagery carries no georeference, so one is invented: the scene's middle lies at [`MIDDLE`], north up, [`GSD_M`] metres a
//! pixel, on flat ground 10 m above the sea. The scene was never trained on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use image::{Rgb, RgbImage};
use nalgebra::{Vector2, Vector3};
use smgeo_flow::{Stamp, StopToken, SystemClock};
use smgeo_geo::{
    Altitude, Camera, Euler, Geodetic, LatLon, LocalFrame, Msl, Pixel, Pose, TileId, TileWindow, mercator,
};
use smgeo_messages::{Basis, Track, TrackState};
use smgeo_runtime::config::Config;
use smgeo_runtime::control::Shutdown;
use smgeo_runtime::ingest::SourceState;
use smgeo_runtime::prompts::Follow;
use smgeo_runtime::tiles::{EncodedTile, MbTilesWriter};
use smgeo_runtime::wiring::Machine;

const MIDDLE: (f64, f64) = (25.2, 55.3);
const GSD_M: f64 = 0.85;
const GROUND_M_MSL: f64 = 10.0;
const ZOOM: u8 = 18;
const HEIGHT_M: f64 = 120.0;
const SPEED_MPS: f64 = 6.0;
const FPS: u32 = 10;
const SECONDS: u32 = 14;
const WIDTH_PX: u32 = 960;
const HEIGHT_PX: u32 = 540;
/// The compass errs by so much; the telemetry's stated accuracy allows for it.
const YAW_ERROR_DEG: f64 = 1.5;
/// The click is made on a frame from this second or later.
const CLICK_S: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// The scene on the Earth.
struct Scene {
    picture: RgbImage,
    frame: LocalFrame,
}

impl Scene {
    fn open(folder: &Path) -> Self {
        let picture = image::open(folder.join("scenes/tile3.jpg")).unwrap().into_rgb8();
        let at = LatLon::new(MIDDLE.0, MIDDLE.1).unwrap();
        let height = Altitude::<Msl>::from_m(GROUND_M_MSL).to_ellipsoid(at);
        Self { picture, frame: LocalFrame::new(Geodetic { at, height }) }
    }

    /// The scene's pixel of a place on the ground, east and north of the middle.
    fn pixel(&self, east_m: f64, north_m: f64) -> (f64, f64) {
        let (width, height) = (f64::from(self.picture.width()), f64::from(self.picture.height()));
        (width / 2.0 + east_m / GSD_M, height / 2.0 - north_m / GSD_M)
    }

    fn colour(&self, east_m: f64, north_m: f64) -> Rgb<u8> {
        let (x, y) = self.pixel(east_m, north_m);
        image::imageops::sample_bilinear(
            &self.picture,
            (x / f64::from(self.picture.width())) as f32,
            (y / f64::from(self.picture.height())) as f32,
        )
        .unwrap_or(Rgb([0; 3]))
    }

    /// The middle of the building nearest to a place, east and north, metres, of 15 to 60 m.
    fn building_near(&self, folder: &Path, place: Vector2<f64>) -> Vector2<f64> {
        let text = std::fs::read_to_string(folder.join("boxes.json")).unwrap();
        let boxes: serde_json::Value = serde_json::from_str(&text).unwrap();
        let boxes = boxes["tile3"]["building_boxes"].as_array().unwrap();
        let (middle_x, middle_y) = self.pixel(0.0, 0.0);
        let middles = boxes.iter().filter_map(|sides| {
            let side = |index: usize| sides[index].as_f64().unwrap();
            let (width_m, height_m) = ((side(2) - side(0)) * GSD_M, (side(3) - side(1)) * GSD_M);
            let (x, y) = ((side(0) + side(2)) / 2.0, (side(1) + side(3)) / 2.0);
            let place = Vector2::new((x - middle_x) * GSD_M, (middle_y - y) * GSD_M);
            [width_m, height_m].iter().all(|side| (15.0..60.0).contains(side)).then_some(place)
        });
        middles.min_by(|a, b| (a - place).norm().total_cmp(&(b - place).norm())).unwrap()
    }

    fn write_map(&self, file: &Path) {
        let window = TileWindow::around(self.frame.origin().at, ZOOM, 10, 10).unwrap();
        let mut writer = MbTilesWriter::open(file).unwrap();
        for tile in window.tiles() {
            let encoded = self.tile(tile);
            writer.put([(tile, &encoded)]).unwrap();
        }
    }

    fn tile(&self, tile: TileId) -> EncodedTile {
        let (left, top) = tile.origin_px();
        let picture = RgbImage::from_fn(256, 256, |x, y| {
            let at = mercator::lat_lon(left + f64::from(x) + 0.5, top + f64::from(y) + 0.5, ZOOM).unwrap();
            let place = self.frame.enu_from(Geodetic { at, height: self.frame.origin().height });
            self.colour(place.x, place.y)
        });
        let mut jpeg = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
        EncodedTile { bytes: jpeg.into_inner().into(), media_type: "image/jpeg" }
    }

    /// Along a street, looking down at 60 degrees ahead.
    fn pose(&self, start: Vector2<f64>, t_s: f64) -> Pose {
        let place = Vector3::new(start.x, start.y + SPEED_MPS * t_s, HEIGHT_M);
        let position = self.frame.geodetic_from(place).unwrap();
        Pose::from_euler(position, Euler::from_deg(8.0 + 2.0 * t_s.sin(), -60.0, 0.0))
    }

    /// The drone's picture, brighter and bluer than the map, with a sensor's noise.
    fn photograph(&self, camera: &Camera, pose: &Pose) -> Vec<u8> {
        let view = pose.view(&self.frame);
        let picture = RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |x, y| {
            let ray = view.ray_enu(camera, Pixel::new(f64::from(x) + 0.5, f64::from(y) + 0.5));
            let ground = view.eye_enu_m - ray * (view.eye_enu_m.z / ray.z);
            let Rgb([r, g, b]) = self.colour(ground.x, ground.y);
            let noise = ((x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663)) >> 7) as u8 % 9;
            let seen = |level: u8, gain: f32| (f32::from(level) * gain) as u8;
            Rgb([seen(r, 0.95), seen(g, 1.0), seen(b, 1.12)].map(|level| level.saturating_add(noise)))
        });
        picture.into_raw()
    }
}

fn camera() -> Camera {
    Camera::from_hfov(WIDTH_PX, HEIGHT_PX, 62_f64.to_radians())
}

/// Films the flight into an MP4 file and writes what the vehicle says beside it.
fn record(folder: &Path, scene: &Scene, start: Vector2<f64>) {
    gst::init().unwrap();
    let description = format!(
        "appsrc name=source format=time caps=video/x-raw,format=RGB,width={WIDTH_PX},height={HEIGHT_PX},framerate={FPS}/1 \
         ! videoconvert ! x264enc speed-preset=veryfast bitrate=4000 key-int-max={FPS} bframes=0 ! h264parse ! mp4mux \
         ! filesink location={}",
        folder.join("flight.mp4").display()
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut log = String::new();
    for index in 0..FPS * SECONDS {
        let t_s = f64::from(index) / f64::from(FPS);
        let pose = scene.pose(start, t_s);
        let mut buffer = gst::Buffer::from_slice(scene.photograph(&camera(), &pose));
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds_f64(t_s));
        source.push_buffer(buffer).unwrap();
        log += &told(t_s, &pose);
    }
    source.end_of_stream().unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
    assert_eq!(message.expect("encoding ends").type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    std::fs::write(folder.join("flight.ndjson"), log).unwrap();
}

fn told(t_s: f64, pose: &Pose) -> String {
    let (at, angles) = (pose.position.at, pose.euler());
    let line = serde_json::json!({
        "t_s": t_s,
        "position": {
            "lat_deg": at.lat_deg(), "lon_deg": at.lon_deg(), "alt_msl_m": GROUND_M_MSL + HEIGHT_M,
            "velocity_ned_mps": [SPEED_MPS, 0.0, 0.0],
        },
        "gimbal": {
            "yaw_deg": angles.yaw_rad.to_degrees() + YAW_ERROR_DEG, "pitch_deg": angles.pitch_rad.to_degrees(),
            "roll_deg": 0.0, "yaw_frame": "earth",
        },
    });
    format!("{line}\n")
}

fn config(folder: &Path) -> Config {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano");
    let text = format!(
        r#"
        ingest = {{ source = {{ file = {{ path = "flight.mp4" }} }} }}
        telemetry = {{ log = {{ path = "flight.ndjson" }} }}
        camera = {{ kind = "field_of_view", hfov_deg = 62.0 }}
        terrain = {{ kind = "flat", height_m_msl = {GROUND_M_MSL}, sigma_m = 1.0 }}
        tiles = {{ source = "map.mbtiles" }}
        engine = {{ package = {package:?}, backend = "rten" }}
        web = {{ listen = "127.0.0.1:0" }}
        "#
    );
    let file = folder.join("recording.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

/// The imagery, if it is here.
fn imagery() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/dubai");
    folder.exists().then_some(folder)
}

#[test]
fn a_building_clicked_in_a_recording_of_real_imagery_is_found_on_its_map() {
    let Some(imagery) = imagery() else {
        println!("skipped: a_building_clicked_in_a_recording needs ../shared/data/dubai");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::open(&imagery);
    let building = scene.building_near(&imagery, Vector2::new(0.0, 0.0));
    // The building comes to the middle of the picture some seconds after the click.
    let start = building - Vector2::new(0.0, 0.58 * HEIGHT_M + 4.0 * SPEED_MPS);
    scene.write_map(&folder.path().join("map.mbtiles"));
    record(folder.path(), &scene, start);

    let locked = smgeo_runtime::system().block_on(async {
        let machine = Machine::start(config(folder.path()), SystemClock::shared(), StopToken::new()).unwrap();
        let mut tracks = machine.tracks.subscribe();
        click(&machine, &scene, start, building).await;
        let locked = first_locked(&mut tracks).await;
        machine.conductor.send(Shutdown).await.unwrap();
        locked
    });
    let estimate = locked.estimate.as_ref().expect("a locked track has a position");
    let found = scene.frame.enu_from(Geodetic { at: estimate.at, height: scene.frame.origin().height });
    let off_m = (found.xy() - building).norm();
    assert_eq!(estimate.basis, Basis::Map);
    assert!(off_m < 12.0 && off_m < 2.5 * estimate.ce90_m, "{off_m} m off, CE90 {} m", estimate.ce90_m);
}

/// Clicks on the building in the newest frame after [`CLICK_S`].
async fn click(machine: &Machine, scene: &Scene, start: Vector2<f64>, building: Vector2<f64>) {
    let t_s = |captured: Stamp| match *machine.video.state.borrow() {
        SourceState::Live { media_origin: Some(origin) } => Some(captured.seconds_after(origin)),
        _ => None,
    };
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < patience, "no frame came: {:?}", machine.video.state.borrow());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Some(frame) = machine.frames.newest() else { continue };
        let Some(t_s) = t_s(frame.captured).filter(|t_s| *t_s > CLICK_S) else { continue };
        let view = scene.pose(start, t_s).view(&scene.frame);
        let pixel = view.project(&camera(), Vector3::new(building.x, building.y, 0.0)).expect("it is ahead");
        let followed = machine.prompts.send(Follow { frame: frame.id, click: pixel, label: None }).await.unwrap();
        assert!(followed.is_ok(), "{followed:?}, at {pixel:?}");
        return;
    }
}

async fn first_locked(tracks: &mut tokio::sync::broadcast::Receiver<Arc<Track>>) -> Arc<Track> {
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let track = tracks.recv().await.expect("the reader keeps up");
            if track.state == TrackState::Locked {
                return track;
            }
            last = Some(track);
        }
    });
    found.await.unwrap_or_else(|_| panic!("it was never locked; the last track was {last:?}"))
}
