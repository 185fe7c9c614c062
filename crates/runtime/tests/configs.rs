//! Every file in configs/ is one that the daemon takes, and what it does not know it names.

use std::path::{Path, PathBuf};

use smgeo_runtime::config::Config;

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

#[test]
fn every_configuration_that_ships_is_sound() {
    let mut checked = 0;
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
            checked += 1;
        }
    }
    assert!(checked >= 5);
}

#[test]
fn the_values_shown_in_smgeo_toml_are_the_defaults() {
    let shown = Config::load(&configs().join("smgeo.toml")).unwrap();
    assert_eq!(format!("{:?}", shown.fuse), format!("{:?}", smgeo_runtime::fuse::Config::default()));
    assert_eq!(shown.engine, smgeo_engine::EngineConfig::of(&shown.engine.package));
    assert_eq!(format!("{:?}", shown.locate), format!("{:?}", smgeo_runtime::locate::Config::default()));
    assert_eq!(shown.assemble, smgeo_runtime::assemble::Config::default());
    assert_eq!(shown.camera, smgeo_runtime::camera::Config::default());
    assert_eq!(shown.terrain, Some(smgeo_runtime::terrain::Config::default()));
    assert_eq!(shown.follow, smgeo_runtime::follow::Config::default());
    assert_eq!(format!("{:?}", shown.pose), format!("{:?}", smgeo_runtime::telemetry::PoseConfig::default()));
    assert_eq!(shown.web, smgeo_runtime::web::WebConfig::default());
    assert_eq!(shown.prompts, smgeo_runtime::prompts::PromptsConfig::default());
    assert_eq!(shown.drone, smgeo_runtime::config::DroneConfig::default());
}

#[test]
fn what_is_wrong_is_named_with_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let sound = std::fs::read_to_string(configs().join("replay.toml")).unwrap();
    let cases = [
        ("[fuse]\ncoasting = 3.0\n", "coasting"),
        ("[fuse]\nscore_min = 1.5\n", "fuse.score_min is 1.5"),
        ("[fuse]\ncoasting_s = \"long\"\n", "coasting_s"),
        ("[assemble]\nwindow_tiles_max = 99\n", "window_tiles_max"),
        ("[camera]\nkind = \"field_of_view\"\nhfov_deg = 0.0\n", "camera.hfov_deg is 0"),
        ("[web]\nlisten = \"0.0.0.0:8080\"\n", "allow_remote"),
        ("[unheard]\n", "unheard"),
        ("[pose]\nkeep_s = nan\n", "pose.keep_s is NaN"),
        ("[pose]\ngap_ms_max = inf\n", "pose.gap_ms_max is inf"),
        ("[fuse]\npublish_interval_s_max = 1e300\n", "fuse.publish_interval_s_max is 1"),
        ("[fuse]\npublish_interval_s_max = nan\n", "fuse.publish_interval_s_max is NaN"),
        ("[follow]\nregion_px = inf\n", "follow.region_px is inf"),
        ("[follow]\nwork_width_px_max = 8\n", "follow.work_width_px_max is 8"),
        ("[follow]\nring_bytes_max = 0\n", "follow.ring_bytes_max is 0"),
        ("[follow]\nring_ms = 2000\n", "follow.ring_ms, which is 2000"),
        ("[prompts]\nframe_age_ms_max = 0\n", "prompts.frame_age_ms_max is 0"),
        ("[prompts]\ntargets_max = 0\n", "prompts.targets_max is 0"),
        ("[publish.zenoh]\nlisten = [\"7447\"]\n", "publish.zenoh"),
    ];
    for (added, named) in cases {
        let path = folder.path().join("case.toml");
        std::fs::write(&path, format!("{sound}\n{added}")).unwrap();
        let error = Config::load(&path).expect_err(added).to_string();
        assert!(error.contains(named) && error.contains("case.toml"), "{added:?} gives {error}");
    }
}

#[test]
fn a_source_or_a_name_that_cannot_be_one_is_wrong_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    let sound = std::fs::read_to_string(configs().join("smgeo.toml")).unwrap();
    for (from, to, named) in
        [("rtsp://", "http://", "rtsp://HOST:PORT/PATH"), ("name = \"", "name = \"UAV", "drone.name")]
    {
        std::fs::write(&path, sound.replace(from, to)).unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_machine_that_could_not_start_is_told_so_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    let camera = |line: &str| format!("telemetry.mavlink = {{ address = \"udpin:0.0.0.0:1\", camera = {{ {line} }} }}");
    let cases = [
        ("telemetry.mavlink.address = \"14550\"".to_owned(), "telemetry.mavlink.address: '14550' is no"),
        ("telemetry.mavlink.address = \"udpin:0.0.0.0:70000\"".to_owned(), "telemetry.mavlink.address"),
        (camera("shown_ago_ms = nan"), "telemetry.mavlink.camera.shown_ago_ms is NaN"),
        (camera("shown_ago_sigma_ms = -1.0"), "telemetry.mavlink.camera.shown_ago_sigma_ms is -1"),
        (camera("component_id = 99"), "telemetry.mavlink.camera.component_id is 99"),
        ("terrain = { kind = \"flat\", height_m_msl = nan }".to_owned(), "terrain.height_m_msl is NaN"),
        ("terrain = { kind = \"terrarium\", path = \"a\", sigma_m = -1.0 }".to_owned(), "terrain.sigma_m is -1"),
        ("tiles.source = \"http://h/{z}/{x}\"".to_owned(), "tiles.source: the address must contain"),
        ("tiles.source = \"ftp://h/{z}/{x}/{y}\"".to_owned(), "tiles.source: the address must begin"),
        ("tiles.source = \"http://h/{z}/{x}/{y}?{key}\"".to_owned(), "tiles.source: {key} needs key_file"),
        ("tiles = { source = \"a\", timeout_s = 0.0 }".to_owned(), "tiles.timeout_s is 0"),
        ("tiles = { source = \"a\", ram_mib_max = 0 }".to_owned(), "tiles.ram_mib_max is 0"),
        ("tiles = { source = \"a\", zooms = [18, 3] }".to_owned(), "tiles.zooms is [18, 3]"),
        ("telemetry.mavlink.address = \"udpin:0.0.0.0:1\"".to_owned(), "there is no [terrain] table"),
        ("engine.backend = \"openvino\"\nengine.precision = \"int8\"".to_owned(), "needs backend = \"rten\""),
        ("engine.backend = \"rten\"\nengine.precision = \"bf16\"".to_owned(), "needs backend = \"openvino\""),
        ("engine.features_mib_max = 0".to_owned(), "engine.features_mib_max is 0"),
        ("engine.features_file_mib_max = 17592186044416".to_owned(), "engine.features_file_mib_max is 17592186044416"),
        ("ingest.decoder = \"\"".to_owned(), "ingest.decoder is empty"),
    ];
    for (line, named) in cases {
        let map = if line.starts_with("tiles") { "" } else { "tiles.source = \"map.mbtiles\"\n" };
        let text = format!("{line}\n{map}ingest.source.udp = 5600\nengine.package = \"package\"\n");
        std::fs::write(&path, text).unwrap();
        let error = Config::load(&path).expect_err(&line).to_string();
        assert!(error.contains(named), "{line} gives {error}");
    }
}

#[test]
fn a_backend_that_is_not_known_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    let sound = std::fs::read_to_string(configs().join("replay.toml")).unwrap();
    std::fs::write(&path, sound.replace("[engine]", "[engine]\nbackend = \"onnx\"")).unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(["onnx", "auto", "rten", "openvino"].iter().all(|name| error.contains(name)), "{error}");
}
