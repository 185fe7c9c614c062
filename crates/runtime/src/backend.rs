//! Which backend runs: TensorRT where the program has it, else the engine's own choice; and what its errors mean.

use smgeo_engine::{Backend, EngineConfig, EngineError, Package};
use smgeo_flow::Fault;

/// The backend that `config` names, ready.
pub fn build(config: &EngineConfig, package: &Package) -> Result<Box<dyn Backend>, EngineError> {
    #[cfg(feature = "tensorrt")]
    let built = smgeo_gpu::choice::build(config, package);
    #[cfg(not(feature = "tensorrt"))]
    let built = config.build(package);
    built
}

/// Refuses a configuration whose windows may be larger than the engine can search, `most` tiles on an edge if there is a limit: that
/// would show in flight.
pub fn check_windows(engine: &str, most: Option<u32>, window_tiles_max: u32) -> Result<(), EngineError> {
    match most.filter(|most| *most < window_tiles_max) {
        None => Ok(()),
        Some(most) => Err(EngineError::Setting(format!(
            "assemble.window_tiles_max is {window_tiles_max}, and {engine} searches windows of {most} x {most} tiles at most; set it to {most} or less"
        ))),
    }
}

/// A failed device is lost to the process, so the process has to end; after anything else the stage can be built anew.
pub fn fault(error: EngineError) -> Fault {
    match error {
        EngineError::Device { .. } => Fault::escalate(error),
        _ => Fault::restart(error),
    }
}

#[cfg(test)]
mod tests {
    use smgeo_flow::Verdict;

    use super::*;

    #[test]
    fn windows_larger_than_an_engine_takes_are_an_error_of_the_start() {
        let check = |most, wanted| check_windows("tensorrt f16", most, wanted);
        assert!(check(Some(8), 8).is_ok() && check(None, 16).is_ok());
        let error = check(Some(8), 9).unwrap_err().to_string();
        assert!(error.contains("window_tiles_max is 9") && error.contains("8 or less"), "{error}");
    }

    #[test]
    fn a_failed_device_ends_the_process_and_nothing_else_does() {
        let lost = EngineError::Device { backend: "tensorrt", action: "run".into(), source: "error 700".into() };
        assert_eq!(fault(lost).verdict, Verdict::Escalate);
        assert_eq!(fault(EngineError::EmptyWindow).verdict, Verdict::Restart);
    }
}
