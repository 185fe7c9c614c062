//! Whether a faster arithmetic may fly, and the pair sets that decide it.

use std::collections::BTreeMap;
use std::path::Path;

use image::imageops;
use smgeo_engine::config::Precision;
use smgeo_engine::gate::{self, GateReport};
use smgeo_engine::pairs::{LIST, PairSet};
use smgeo_engine::{
    Backend, BackendInfo, BackendName, EncoderImage, EngineConfig, EngineError, Features, LocateRequest, Maps, Package,
    RtenBackend, View,
};

use crate::backend::{backend, noise};
use crate::matched_filter;

/// A set of pairs that the matched filter answers, all on one reference.
fn write_pairs(folder: &Path, count: u32) {
    let reference = noise(512, 512);
    reference.save(folder.join("r.png")).unwrap();
    let mut list = String::new();
    for index in 0..count {
        let (left, top) = (index % 17 * 16, index / 17 * 16);
        imageops::crop_imm(&reference, left, top, 256, 256)
            .to_image()
            .save(folder.join(format!("{index}.png")))
            .unwrap();
        let [x, y] = [f64::from(left) + 104.0, f64::from(top) + 88.0];
        let bounds = [x - 12.0, y - 12.0, x + 12.0, y + 12.0];
        list += &format!(
            "{{\"query\": \"{index}.png\", \"reference\": \"r.png\", \"click\": [100, 90], \"box\": {bounds:?}, \"gsd_m\": 0.5}}\n"
        );
    }
    std::fs::write(folder.join(LIST), list).unwrap();
}

fn report() -> GateReport {
    GateReport {
        package: String::new(),
        candidate: "openvino-bf16".into(),
        trusted: "rten-f32".into(),
        set: "towns".into(),
        set_sha256: "7".repeat(64),
        pairs: 500,
        same_cell_share: 0.995,
        shift_px_median: 0.2,
        accuracy_trusted: 0.8,
        accuracy_candidate: 0.798,
    }
}

#[test]
fn a_backend_passes_against_itself() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 3);
    let set = PairSet::open(folder.path()).unwrap();
    let package = Package::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/matched")).unwrap();
    let mut steps = 0;
    let report = gate::check(&package, &mut backend(), &mut backend(), &set, &mut || steps += 1).unwrap();
    assert_eq!(steps, 3);
    assert_eq!((report.pairs, report.same_cell_share, report.shift_px_median), (3, 1.0, 0.0));
    assert_eq!((report.accuracy_trusted, report.accuracy_candidate), (1.0, 1.0));
    assert!(!report.passes(), "three pairs show nothing");
}

/// A backend, and how many questions were asked at once.
struct Asked {
    backend: RtenBackend,
    requests: Vec<usize>,
}

impl Backend for Asked {
    fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    fn encode_into(
        &mut self,
        images: &[(&EncoderImage, View)],
        features: &mut Vec<Features>,
    ) -> Result<(), EngineError> {
        self.backend.encode_into(images, features)
    }

    fn locate_into(&mut self, requests: &[LocateRequest], answers: &mut Vec<Maps>) -> Result<(), EngineError> {
        self.requests.push(requests.len());
        self.backend.locate_into(requests, answers)
    }
}

#[test]
fn the_gate_asks_as_the_daemon_does_with_witnesses_where_the_query_is_laid_out_like_the_map() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 2);
    let mut set = PairSet::open(folder.path()).unwrap();
    set.pairs[1].rectified = false;
    let package = Package::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/matched")).unwrap();
    let mut candidate = Asked { backend: backend(), requests: Vec::new() };
    gate::check(&package, &mut backend(), &mut candidate, &set, &mut || {}).unwrap();
    assert_eq!(candidate.requests, [5, 1]);
}

#[test]
fn each_limit_of_the_gate_holds() {
    assert!(report().passes());
    assert!(!GateReport { pairs: 99, ..report() }.passes());
    assert!(!GateReport { same_cell_share: 0.98, ..report() }.passes());
    assert!(!GateReport { shift_px_median: 0.6, ..report() }.passes());
    assert!(!GateReport { shift_px_median: f64::NAN, ..report() }.passes());
    assert!(!GateReport { accuracy_candidate: 0.79, ..report() }.passes());
    // Half a point is not more than half a point, although 0.8 - 0.795 is in binary.
    assert!(GateReport { accuracy_candidate: 0.795, ..report() }.passes());
}

#[test]
fn an_arithmetic_flies_only_with_a_passing_check_of_this_package() {
    let folder = tempfile::tempdir().unwrap();
    let package = matched_filter::write(folder.path());
    let admitted = || gate::is_admitted(&package, "openvino", "bf16").unwrap();
    let config = EngineConfig {
        backend: BackendName::OpenVino,
        precision: Precision::Bf16,
        ..EngineConfig::of(package.folder())
    };
    let error = config.build(&package).err().unwrap().to_string();
    assert!(error.contains("no passing check of bf16") && error.contains("smgeo engine check"), "{error}");
    for backend in [BackendName::Rten, BackendName::Auto] {
        let int8 = EngineConfig { backend, precision: Precision::Int8, ..config.clone() };
        let error = int8.build(&package).err().unwrap().to_string();
        assert!(error.contains("no passing check of int8"), "{error}");
    }

    let hash = package.hash().to_string();
    let of_this = || GateReport { package: hash.clone(), ..report() };
    report().keep(&package).unwrap();
    assert!(!admitted(), "a check of another package");
    GateReport { same_cell_share: 0.5, ..of_this() }.keep(&package).unwrap();
    assert!(!admitted(), "a check that failed");
    of_this().keep(&package).unwrap();
    assert!(admitted());
    let elsewhere = GateReport { set: "desert".into(), same_cell_share: 0.97, ..of_this() };
    elsewhere.keep(&package).unwrap();
    assert!(!admitted(), "it failed on another set");
    GateReport { same_cell_share: 0.999, ..elsewhere }.keep(&package).unwrap();
    assert!(admitted());
    let candidate = "rten-int8".into();
    GateReport { candidate, ..of_this() }.keep(&package).unwrap();
    let int8 = EngineConfig { backend: BackendName::Auto, precision: Precision::Int8, ..config };
    assert_eq!(int8.build(&package).unwrap().info().name, "rten");
}

#[test]
fn checks_that_cannot_be_read_refuse_and_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let package = matched_filter::write(folder.path());
    let file = folder.path().join(gate::CHECKS);
    let from_before_sets = toml::to_string(&BTreeMap::from([("openvino-bf16", report())])).unwrap();
    let config = EngineConfig {
        backend: BackendName::OpenVino,
        precision: Precision::Bf16,
        ..EngineConfig::of(package.folder())
    };
    for text in ["damaged = ", &from_before_sets, "[openvino-bf16.dubai]\npackage = \"76"] {
        std::fs::write(&file, text).unwrap();
        let errors = [
            gate::is_admitted(&package, "openvino", "bf16").unwrap_err(),
            report().keep(&package).unwrap_err(),
            config.build(&package).err().unwrap(),
        ];
        for error in errors.map(|error| error.to_string()) {
            assert!(error.contains("checks.toml") && error.contains("smgeo engine check"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn sets_of_one_name_are_told_apart_by_their_lists() {
    let folder = tempfile::tempdir().unwrap();
    let package = matched_filter::write(folder.path());
    let report = GateReport { package: package.hash().to_string(), set: "test".into(), ..report() };
    let failed = GateReport { same_cell_share: 0.5, ..report.clone() };
    failed.keep(&package).unwrap();
    GateReport { set_sha256: "8".repeat(64), ..report.clone() }.keep(&package).unwrap();
    assert_eq!(gate::kept(&package).unwrap().len(), 2);
    assert!(!gate::is_admitted(&package, "openvino", "bf16").unwrap(), "the other set of this name took its place");
    report.keep(&package).unwrap();
    assert!(gate::is_admitted(&package, "openvino", "bf16").unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing partial is left");

    let [one, other] = [3, 4].map(|count| {
        let folder = tempfile::tempdir().unwrap();
        write_pairs(folder.path(), count);
        PairSet::open(folder.path()).unwrap().sha256().to_owned()
    });
    assert_ne!(one, other);
}

#[test]
fn the_checks_of_the_shipped_package_still_count() {
    let package = Package::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/smgeo-nano")).unwrap();
    assert_eq!(gate::kept(&package).unwrap().len(), 7);
    for (backend, precision) in [("openvino", "bf16"), ("rten", "int8")] {
        assert!(!gate::is_admitted(&package, backend, precision).unwrap(), "{backend} {precision}");
    }
}

#[test]
fn a_pair_that_cannot_be_is_named_by_its_line() {
    let good =
        "{\"query\": \"q.png\", \"reference\": \"r.png\", \"click\": [1, 2], \"box\": [1, 2, 3, 4], \"gsd_m\": 0.5}";
    let cases = [
        (format!("{good}\n{{}}"), "line 2: missing field"),
        (format!("{good}\n\n{}", good.replace("0.5", "-1")), "line 3: a number that cannot be"),
        (good.replace("[1, 2]", "[1]"), "line 1: invalid length"),
    ];
    for (text, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LIST), text).unwrap();
        let error = PairSet::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(PairSet::open(folder.path()).unwrap_err().to_string().contains("pairs.jsonl is missing"));
    std::fs::write(folder.path().join(LIST), good).unwrap();
    let set = PairSet::open(folder.path()).unwrap();
    assert!(set.picture(&set.pairs[0].query).unwrap_err().to_string().contains("q.png cannot be read"));
}

#[test]
fn overlap_is_intersection_over_union() {
    assert_eq!(gate::overlap([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]), 1.0);
    assert_eq!(gate::overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
    assert_eq!(gate::overlap([0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]), 0.0);
    assert_eq!(gate::overlap([0.0; 4], [0.0; 4]), 0.0);
}
