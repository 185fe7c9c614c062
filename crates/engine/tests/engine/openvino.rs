//! The OpenVINO backend against rten, where its library is.

use std::num::NonZeroUsize;

use smgeo_engine::config::{EngineConfig, Precision};
use smgeo_engine::openvino::OpenVinoBackend;
use smgeo_engine::{EngineError, Package, conformance};

use crate::backend::{backend_of, package, shipped};

fn openvino(test: &str, package: &Package, precision: Precision) -> Option<OpenVinoBackend> {
    let config = EngineConfig { threads: NonZeroUsize::new(1), precision, ..EngineConfig::of(package.folder()) };
    match OpenVinoBackend::new(package, &config) {
        Ok(backend) => Some(backend),
        Err(error @ EngineError::LibraryMissing { .. }) => {
            println!("skipped: {test} needs the OpenVINO library ({error})");
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

fn check(test: &str, package: &Package, precision: Precision, tolerance: conformance::Tolerance) {
    let Some(mut ours) = openvino(test, package, precision) else { return };
    let report = conformance::check(&mut ours, tolerance).unwrap();
    assert!(report.holds(), "{}\n{report}", package.manifest().name);
    let report = conformance::compare(&mut ours, &mut backend_of(package), tolerance.backends).unwrap();
    assert!(report.holds(), "{}\n{report}", package.manifest().name);
}

#[test]
fn openvino_in_f32_passes_the_suite_and_agrees_with_rten() {
    let test = "openvino_in_f32_passes_the_suite_and_agrees_with_rten";
    check(test, &package(), Precision::F32, conformance::Tolerance::F32);
    shipped().iter().for_each(|package| check(test, package, Precision::F32, conformance::Tolerance::F32));
}

// Only the matched filter: whether a trained package may run in bf16 is decided by the gate, on pairs.
#[test]
fn openvino_in_bf16_passes_the_suite_and_agrees_with_rten() {
    let test = "openvino_in_bf16_passes_the_suite_and_agrees_with_rten";
    check(test, &package(), Precision::Bf16, conformance::Tolerance::BF16);
}

#[test]
fn a_library_that_is_something_else_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libopenvino_c.so");
    let refusal = || {
        let config =
            EngineConfig { openvino_folder: Some(folder.path().into()), ..EngineConfig::of(package().folder()) };
        let error = OpenVinoBackend::new(&package(), &config).err().unwrap();
        assert!(matches!(error, EngineError::LibraryMissing { .. }), "{error}");
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert!(refusal().contains("cannot be read: No such file"), "{}", refusal());
    std::fs::write(&library, "no library").unwrap();
    assert!(refusal().contains("libopenvino_c.so cannot be read"), "{}", refusal());
    // An executable is laid out like a library, and has none of OpenVINO's functions.
    std::fs::copy(std::env::current_exe().unwrap(), &library).unwrap();
    assert!(refusal().contains("has no ov_"), "{}", refusal());
}
