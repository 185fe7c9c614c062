//! The TensorRT backend where there is a GPU with engines for it; without, it says what is missing.
#![cfg(feature = "cuda")]

use std::path::Path;

use smgeo_engine::{EngineError, Package, conformance};

#[test]
fn the_backend_passes_the_suite_or_says_what_is_missing() {
    let package = Package::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano")).unwrap();
    match smgeo_gpu::backend::unchecked(&package, &[], 4, None) {
        Ok(mut backend) => {
            let report = conformance::check(&mut backend, conformance::Tolerance::BF16).unwrap();
            assert!(report.holds(), "{report}");
        }
        Err(error @ (EngineError::LibraryMissing { .. } | EngineError::Backend { .. })) => {
            println!(
                "skipped: the_backend_passes_the_suite_or_says_what_is_missing needs a GPU with engines ({error})"
            );
            let text = format!("{error}: {:?}", std::error::Error::source(&error));
            assert!(["install", "nvidia-smi", "build-engine"].iter().any(|remedy| text.contains(remedy)), "{text}");
        }
        Err(error) => panic!("{error}"),
    }
}
