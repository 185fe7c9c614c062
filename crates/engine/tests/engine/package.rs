//! Opening packages, and refusing what is not one.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use smgeo_engine::package::{ENCODER, LOCATOR, MANIFEST};
use smgeo_engine::{EngineError, Package, graph};

use crate::matched_filter;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages/matched")
}

/// Writes the package, damages it, and says how opening it fails.
fn refusal(damage: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    matched_filter::write(folder.path());
    damage(folder.path());
    let error = Package::open(folder.path()).unwrap_err();
    // The folder's name is chance.
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn replace_in_manifest(from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// Replaces a network and seals the package again, so that only its interface is wrong.
fn resealed(name: &'static str, bytes: Vec<u8>) -> String {
    let folder = tempfile::tempdir().unwrap();
    matched_filter::write(folder.path());
    std::fs::write(folder.path().join(name), bytes).unwrap();
    matched_filter::manifest().seal(folder.path()).unwrap_err().to_string()
}

#[test]
fn a_sealed_package_opens() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = matched_filter::write(folder.path());
    let opened = Package::open(folder.path()).unwrap();
    assert_eq!(opened.hash(), sealed.hash());
    assert_eq!(opened.manifest(), sealed.manifest());
    assert_eq!(opened.manifest().cells(), 16);
}

/// Set the variable `SMGEO_WRITE_FIXTURES` to write it anew.
#[test]
fn the_committed_package_is_what_its_writer_writes() {
    if std::env::var_os("SMGEO_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(committed()).unwrap();
        matched_filter::write(&committed());
    }
    let folder = tempfile::tempdir().unwrap();
    let written = matched_filter::write(folder.path());
    assert_eq!(Package::open(committed()).unwrap().hash(), written.hash());
}

#[test]
fn a_damaged_package_says_what_to_do() {
    let flip = |folder: &Path| {
        let mut bytes = std::fs::read(folder.join(ENCODER)).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(folder.join(ENCODER), bytes).unwrap();
    };
    let message = refusal(flip);
    assert!(message.starts_with("encoder.onnx has SHA-256") && message.contains("copy or export"), "{message}");
    let message = refusal(|folder| std::fs::remove_file(folder.join(LOCATOR)).unwrap());
    assert!(message.starts_with("locator.onnx is missing; copy the whole package folder"), "{message}");
    let message = refusal(|folder| std::fs::remove_file(folder.join(MANIFEST)).unwrap());
    assert!(message.starts_with("package.toml is missing"), "{message}");
}

#[test]
fn a_manifest_that_makes_no_sense_is_refused_by_key() {
    let cases = [
        ("format = 1", "format = 2", "format = 2 is not known to this version, which reads 1"),
        ("format = 1", "form = 1", "no key `format`"),
        ("temperature = 1.0", "temperature = 0.0", "temperature = 0 must be a positive number"),
        ("temperature = 1.0", "temperature = nan", "temperature = NaN must be a positive number"),
        ("gsd_m = 0.5", "gsd_m = 7.0", "gsd_m = 7 must be positive and inside of gsd_m_range = [0.25, 1]"),
        ("stride_px = 16", "stride_px = 0", "stride_px = 0 does not divide 256"),
        ("stride_px = 16", "stride_px = 24", "stride_px = 24 does not divide 256"),
        ("tile_px = 256", "tile_px = 512", "tile_px = 512 but this version cuts tiles of 256"),
        ("channels = 48", "channels = 0", "channels = 0 is not between"),
        ("channels = 48", "channels = -1", "channels"),
        ("fusion = \"template\"", "fusion = \"magic\"", "unknown variant `magic`"),
        ("\"locator.onnx\" = ", "\"other.onnx\" = ", "[files] does not name locator.onnx"),
        ("[files]", "[files]\n\"../secret\" = \"00\"", "`../secret`, which is not a plain file name"),
        ("name = ", "name = = ", "package.toml"),
    ];
    for (from, to, expected) in cases {
        let message = refusal(replace_in_manifest(from, to));
        assert!(message.starts_with("package.toml: ") && message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn networks_of_another_shape_are_refused_by_input() {
    let cases = [
        (ENCODER, b"not a model".to_vec(), "encoder.onnx: this "),
        (ENCODER, vec![], "encoder.onnx: this ONNX model has no graph"),
        (ENCODER, matched_filter::locator(), "encoder.onnx: it has an input `query` that is not known"),
        (LOCATOR, matched_filter::encoder(), "locator.onnx: it has an input `image` that is not known"),
    ];
    for (name, bytes, expected) in cases {
        let message = resealed(name, bytes);
        assert!(message.contains(expected), "{message}");
    }
    let message = refusal(replace_in_manifest("channels = 48", "channels = 32"));
    assert!(
        message.contains("the output `features` has the shape [any, 16, 16, 48], not [any, 16, 16, 32]"),
        "{message}"
    );
    let message = refusal(replace_in_manifest("stride_px = 16", "stride_px = 32"));
    assert!(message.contains("not [any, 8, 8, 48]"), "{message}");
}

#[test]
fn what_changes_the_answer_changes_the_hash() {
    let hash = |change: fn(&mut smgeo_engine::Manifest)| {
        let folder = tempfile::tempdir().unwrap();
        matched_filter::write(folder.path());
        let mut manifest = matched_filter::manifest();
        change(&mut manifest);
        manifest.seal(folder.path()).unwrap().hash()
    };
    let plain = hash(|_| {});
    assert_eq!(plain, hash(|manifest| manifest.name = "another name".into()));
    assert_ne!(plain, hash(|manifest| manifest.temperature = 2.0));
    assert_ne!(plain, hash(|manifest| manifest.gsd_m = 0.6));
}

#[test]
fn a_file_exchanged_after_opening_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let package = matched_filter::write(folder.path());
    std::fs::write(folder.path().join(ENCODER), b"something else").unwrap();
    assert!(matches!(package.read(ENCODER), Err(EngineError::Hash { .. })));
    assert!(matches!(package.read("nothing.onnx"), Err(EngineError::Manifest { .. })));
}

proptest! {
    #[test]
    fn no_damage_to_a_network_makes_its_check_panic(
        flips in proptest::collection::vec((0usize..3000, any::<u8>()), 0..8),
        length in 0usize..3000,
    ) {
        // The hash stops accidents; this is about a file that somebody made on purpose.
        let mut bytes = matched_filter::locator();
        bytes.truncate(length.max(1));
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = graph::check_locator(&bytes, &matched_filter::manifest());
    }
}
