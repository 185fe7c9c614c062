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
    fn a_failed_device_ends_the_process_and_nothing_else_does() {
        let lost = EngineError::Device { backend: "tensorrt", action: "run".into(), source: "error 700".into() };
        assert_eq!(fault(lost).verdict, Verdict::Escalate);
        assert_eq!(fault(EngineError::EmptyWindow).verdict, Verdict::Restart);
    }
}
