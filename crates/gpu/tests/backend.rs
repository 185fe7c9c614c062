//! The TensorRT backend where there is a GPU with engines for it; without, it says what is missing.
#![cfg(feature = "cuda")]

use std::path::{Path, PathBuf};

use smgeo_engine::{Backend, EngineConfig, EngineError, Package, conformance};
use smgeo_gpu::backend::Room;

/// Where the scripts put our libraries and TensorRT-RTX; JetPack and Debian have TensorRT in the system's folders.
fn folders() -> Vec<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/gpu");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let theirs = home.map(|home| home.join(".local/lib/smgeo-tensorrt-rtx/tensorrt_rtx_libs"));
    [ours].into_iter().chain(theirs).collect()
}

#[test]
fn the_backend_passes_the_suite_or_says_what_is_missing() {
    let package = Package::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano")).unwrap();
    match smgeo_gpu::backend::unchecked(&package, &folders(), Room::of(&EngineConfig::of(package.folder())), None) {
        Ok((mut backend, name)) => {
            println!("{name}");
            let is_f32 = backend.info().precision == "f32";
            let tolerance = if is_f32 { conformance::Tolerance::F32 } else { conformance::Tolerance::BF16 };
            let report = conformance::check(&mut backend, tolerance).unwrap();
            assert!(report.holds(), "{report}");
        }
        Err(error @ (EngineError::LibraryMissing { .. } | EngineError::Backend { .. })) => {
            println!(
                "skipped: the_backend_passes_the_suite_or_says_what_is_missing needs a GPU with engines ({error})"
            );
            let text = format!("{error}: {:?}", std::error::Error::source(&error));
            let remedies = ["install", "scripts/", "nvidia-smi", "build-engine", "CUDA error"];
            assert!(remedies.iter().any(|remedy| text.contains(remedy)), "{text}");
        }
        Err(error) => panic!("{error}"),
    }
}
