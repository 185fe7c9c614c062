//! Which backend runs on a machine that may have a GPU: an engine of the package that fits and was checked, else what the
//! engine chooses among the CPU's. The choice and its reason are logged.

use smgeo_engine::{Backend, BackendName, EngineConfig, EngineError, Package};

use crate::backend::{self, Room};

/// The backend that `config` names, ready.
pub fn build(config: &EngineConfig, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
    let tensorrt = || backend::admitted(package, &config.tensorrt_folders, Room::of(config));
    match config.backend {
        BackendName::TensorRt => Ok(Box::new(tensorrt()?)),
        BackendName::Auto => match tensorrt() {
            Ok(backend) => Ok(Box::new(backend)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                match &error {
                    EngineError::LibraryMissing { .. } => tracing::info!(reason = %error, "tensorrt is not taken"),
                    // There is a driver, so somebody may count on its GPU; and a changed plan is news.
                    _ => tracing::warn!(reason = %error, cause, "tensorrt fails, another backend is taken"),
                }
                config.build(package)
            }
        },
        _ => config.build(package),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn without_an_engine_of_the_package_another_backend_is_taken() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano");
        let package = Package::open(&folder).unwrap();
        let config = EngineConfig::of(&folder);
        // The package ships without engines, so this holds on a machine with a GPU as well.
        assert_ne!(build(&config, &package).unwrap().info().name, "tensorrt");
        let config = EngineConfig { backend: BackendName::TensorRt, ..config };
        assert!(build(&config, &package).is_err());
    }
}
