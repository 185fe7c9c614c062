//! `smgeo locate` as a person calls it, with the package that ships, on pictures of a town that it was never trained on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use smgeo_geo::{Camera, Euler, Pose};
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::truth::{Sighting, Spotter};
use smgeo_world::{Date, Day, ObjectKind, Town};

const GSD_M: f64 = 0.6;
const EDGE_PX: u32 = 512;

/// A photograph of something, and a map of where that is.
struct Scene {
    folder: tempfile::TempDir,
    /// What is clicked, photograph pixels.
    click: [f64; 2],
    /// Its middle, map pixels.
    truth: [f64; 2],
}

impl Scene {
    /// A tennis court, looked at in the direction `heading_deg`, 30 degrees from straight down, months after the map was made.
    fn of_a_court(heading_deg: f64) -> Scene {
        let town = Town::from_seed(9);
        let court = town.objects().iter().find(|object| object.kind == ObjectKind::TennisCourt);
        let court = court.expect("the town has a court");
        let [east, north, up] = court.centre_enu;
        let (map_day, photo_day) = (Day::new(&town, Date::from_seed(1)), Day::new(&town, Date::from_seed(2)));
        let mut renderer = Renderer::default();
        // Not in the middle of the map.
        let middle = [east + 40.0, north - 25.0];
        let map = renderer.crop(&town, &map_day, &SatelliteLook::from_seed(3), middle, GSD_M, EDGE_PX);
        let camera = Camera::from_hfov(960, 720, 60_f64.to_radians());
        let (height_m, tilt_deg) = (150.0, 30.0_f64);
        let (sine, cosine) = heading_deg.to_radians().sin_cos();
        let back_m = height_m * tilt_deg.to_radians().tan();
        let position =
            town.geodetic([east - back_m * sine, north - back_m * cosine, up + height_m]).expect("over the town");
        let pose = Pose::from_euler(position, Euler::from_deg(heading_deg, tilt_deg - 90.0, 0.0));
        let photo = renderer.drone(&town, &photo_day, &camera, &pose, &DroneLook::from_seed(4));
        let sightings = Spotter::default().sightings(&town, &photo_day, &camera, &pose);
        let Sighting { click, .. } = sightings.into_iter().find(|seen| seen.id == court.id).expect("the court is seen");
        let folder = tempfile::tempdir().unwrap();
        map.save(folder.path().join("map.png")).unwrap();
        photo.save(folder.path().join("photo.png")).unwrap();
        let half = f64::from(EDGE_PX) / 2.0;
        let truth = [half + (east - middle[0]) / GSD_M, half - (north - middle[1]) / GSD_M];
        Scene { folder, click: [click.x, click.y], truth }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn locate(&self, click: [f64; 2], more: &[&str]) -> Output {
        self.locate_in("photo.png", click, more)
    }

    fn locate_in(&self, photo: &str, click: [f64; 2], more: &[&str]) -> Output {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/smgeo-nano");
        let mut command = Command::new(env!("CARGO_BIN_EXE_smgeo"));
        command.arg("locate").arg("--package").arg(package).args(["--json", "--backend", "rten"]);
        command.arg("--query").arg(self.path(photo)).arg("--reference").arg(self.path("map.png"));
        command.arg("--click").arg(format!("{},{}", click[0], click[1])).args(more);
        command.output().unwrap()
    }
}

#[test]
fn a_photograph_is_found_whichever_way_it_was_taken() {
    let scene = Scene::of_a_court(205.0);
    let overlay = scene.path("overlay.png");
    let output = scene.locate(scene.click, &["--gsd-m", "0.6", "--overlay", overlay.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let centre = [0, 1].map(|axis| said["mean_px"][axis].as_f64().unwrap());
    let off_m = (centre[0] - scene.truth[0]).hypot(centre[1] - scene.truth[1]) * GSD_M;
    assert!(off_m < 10.0, "{off_m} m off: {said:#}");
    let turned_deg = (said["pose"]["heading_deg"].as_f64().unwrap() - 205.0).abs();
    assert!(turned_deg <= 25.0 && said["pose"]["tried"].as_u64().unwrap() > 256, "{}", said["pose"]);
    assert!(image::open(overlay).unwrap().width() > EDGE_PX);
}

#[test]
fn what_a_camera_says_of_its_pose_is_all_that_is_tried() {
    let scene = Scene::of_a_court(205.0);
    let photo = image::open(scene.path("photo.png")).unwrap();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    photo.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    // As DJI's cameras write it; the compass is 5 degrees off, and it took off 10 m lower.
    let xmp = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:GimbalYawDegree="-150.00"
        drone-dji:GimbalPitchDegree="-60.00" drone-dji:RelativeAltitude="+160.00"/></rdf:RDF></x:xmpmeta>"#;
    std::fs::write(scene.path("photo.jpg"), with_xmp(jpeg.get_ref(), xmp)).unwrap();
    let output = scene.locate_in("photo.jpg", scene.click, &["--gsd-m", "0.6", "--fov-deg", "60"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let centre = [0, 1].map(|axis| said["mean_px"][axis].as_f64().unwrap());
    let off_m = (centre[0] - scene.truth[0]).hypot(centre[1] - scene.truth[1]) * GSD_M;
    assert!(off_m < 10.0, "{off_m} m off: {said:#}");
    let pose = &said["pose"];
    assert!(pose["tilt_deg"] == 30.0 && pose["tried"].as_u64().unwrap() < 60, "{pose}");
    // 150 m high and 30 degrees off, a pixel shows 0.21 m, and a 256th of the photo's height 0.98 map pixels.
    assert!((0.8..1.2).contains(&pose["scale"].as_f64().unwrap()), "{pose}");
}

/// Puts XMP into a JPEG, in a segment of its own behind the first marker.
fn with_xmp(jpeg: &[u8], xmp: &str) -> Vec<u8> {
    let segment = format!("http://ns.adobe.com/xap/1.0/\0{xmp}");
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, segment.as_bytes(), &jpeg[2..]].concat()
}

#[test]
fn what_cannot_be_asked_is_refused_with_a_way_out() {
    let scene = Scene::of_a_court(0.0);
    for (click, more, expected) in [
        ([960.0, 10.0], &[][..], "960"),
        (scene.click, &["--query-gsd-m", "0.2"], "give --gsd-m or --bounds as well"),
        (scene.click, &["--gsd-m", "0.6", "--query-gsd-m", "0"], "a scale of 0"),
        (scene.click, &["--tilt-deg", "89"], "a tilt of 89"),
        (scene.click, &["--as-is", "--tilt-deg", "20"], "--tilt-deg"),
    ] {
        let output = scene.locate(click, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{more:?}: {said}");
    }
}
