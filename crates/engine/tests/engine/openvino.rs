//! The OpenVINO backend against rten, where its library is.

use std::num::NonZeroUsize;

use smgeo_engine::config::{EngineConfig, Precision};
use smgeo_engine::openvino::OpenVinoBackend;
use smgeo_engine::{EngineError, conformance};

use crate::backend::{backend, package};

fn openvino(test: &str, precision: Precision) -> Option<OpenVinoBackend> {
    let config = EngineConfig { threads: NonZeroUsize::new(1), precision, ..Default::default() };
    match OpenVinoBackend::new(&package(), &config) {
        Ok(backend) => Some(backend),
        Err(error @ EngineError::LibraryMissing { .. }) => {
            println!("skipped: {test} needs the OpenVINO library ({error})");
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

fn check(test: &str, precision: Precision, tolerance: conformance::Tolerance) {
    let Some(mut ours) = openvino(test, precision) else { return };
    let report = conformance::check(&mut ours, tolerance).unwrap();
    assert!(report.holds(), "{report}");
    let report = conformance::compare(&mut ours, &mut backend(), tolerance.backends).unwrap();
    assert!(report.holds(), "{report}");
}

#[test]
fn openvino_in_f32_passes_the_suite_and_agrees_with_rten() {
    check("openvino_in_f32_passes_the_suite_and_agrees_with_rten", Precision::F32, conformance::Tolerance::F32);
}

#[test]
fn openvino_in_bf16_passes_the_suite_and_agrees_with_rten() {
    check("openvino_in_bf16_passes_the_suite_and_agrees_with_rten", Precision::Bf16, conformance::Tolerance::BF16);
}
