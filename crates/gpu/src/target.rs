//! What an engine is built for, and whether this machine can build it.

use std::str::FromStr;

use crate::error::GpuError;
use crate::probe::{Gpu, Probe};
use crate::tensorrt::Flavour;

/// Compute capabilities that TensorRT-RTX 1.7 builds for, on any machine.
const RTX: [u32; 6] = [75, 80, 86, 89, 120, 121];
/// The oldest that the kernels of the plugin compute on: they copy asynchronously and multiply bf16, which began with Ampere.
const SM_MIN: u32 = 80;
const SM_4090: u32 = 89;
const SM_ORIN: u32 = 87;

/// A machine that engines are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A GeForce RTX 4090, whatever this machine is.
    Rtx4090,
    /// A Jetson Orin, which this machine has to be.
    Orin,
    /// The GPU of this machine.
    Host,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "rtx4090" => Ok(Target::Rtx4090),
            "orin" => Ok(Target::Orin),
            "host" => Ok(Target::Host),
            _ => Err(format!("there is no target `{name}`; choose rtx4090, orin or host")),
        }
    }
}

/// How to build for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// With which TensorRT.
    pub flavour: Flavour,
    /// For which compute capability.
    pub sm: u32,
    /// The GPU of this machine, where the builder is to take the one it finds.
    pub gpu: Option<Gpu>,
}

impl Target {
    /// How to build for this target here. `flavour` is what a person asked for; `probe` is asked only where the machine
    /// matters.
    pub fn route(
        self,
        flavour: Option<Flavour>,
        probe: impl FnOnce() -> Result<Probe, GpuError>,
    ) -> Result<Route, GpuError> {
        let refuse = |problem: String| Err(GpuError::Engines(problem));
        match (self, flavour) {
            (Target::Rtx4090, None | Some(Flavour::Rtx)) => Ok(Route::rtx(SM_4090)),
            (Target::Orin, Some(Flavour::Rtx)) => {
                refuse(format!("TensorRT-RTX does not build for sm_{SM_ORIN}, the Orin; leave out --flavour"))
            }
            (Target::Rtx4090, Some(Flavour::Enterprise)) => here(probe()?, SM_4090, "an RTX 4090"),
            (Target::Orin, _) => here(probe()?, SM_ORIN, "a Jetson Orin"),
            (Target::Host, flavour) => {
                let gpu = first(probe()?);
                let is_rtx = RTX.contains(&gpu.sm());
                if gpu.sm() < SM_MIN {
                    return refuse(format!(
                        "smgeo's plugin has no code for {gpu}, it needs sm_{SM_MIN} or newer; choose another backend"
                    ));
                }
                match flavour {
                    Some(Flavour::Rtx) if !is_rtx => refuse(format!(
                        "TensorRT-RTX does not build for sm_{}, {}; leave out --flavour",
                        gpu.sm(),
                        gpu.name
                    )),
                    Some(Flavour::Enterprise) => Ok(Route::enterprise(gpu)),
                    Some(Flavour::Rtx) => Ok(Route::rtx(gpu.sm())),
                    None if is_rtx => Ok(Route::rtx(gpu.sm())),
                    None => Ok(Route::enterprise(gpu)),
                }
            }
        }
    }
}

impl Route {
    fn rtx(sm: u32) -> Self {
        Self { flavour: Flavour::Rtx, sm, gpu: None }
    }

    fn enterprise(gpu: Gpu) -> Self {
        Self { flavour: Flavour::Enterprise, sm: gpu.sm(), gpu: Some(gpu) }
    }
}

/// TensorRT builds for the GPU it runs on, which has to be of the capability wanted.
fn here(probe: Probe, sm: u32, name: &str) -> Result<Route, GpuError> {
    let gpu = first(probe);
    if gpu.sm() == sm {
        return Ok(Route::enterprise(gpu));
    }
    let problem =
        format!("TensorRT builds for the GPU it runs on, and this one is {gpu}; run the same command on {name}");
    Err(GpuError::Engines(problem))
}

fn first(mut probe: Probe) -> Gpu {
    probe.gpus.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(capability: (u32, u32)) -> Gpu {
        Gpu { index: 0, name: "a GPU".into(), capability, multiprocessors: 16 }
    }

    fn machine(capability: (u32, u32)) -> impl FnOnce() -> Result<Probe, GpuError> {
        move || Ok(Probe { driver: (13, 0), gpus: vec![gpu(capability)] })
    }

    fn nothing() -> Result<Probe, GpuError> {
        Err(GpuError::NoGpu)
    }

    #[test]
    fn an_engine_for_the_4090_is_built_anywhere() {
        assert_eq!(Target::Rtx4090.route(None, nothing).unwrap(), Route::rtx(89));
        let route = Target::Rtx4090.route(Some(Flavour::Enterprise), machine((8, 9))).unwrap();
        assert_eq!(route, Route::enterprise(gpu((8, 9))));
    }

    #[test]
    fn an_engine_for_the_orin_is_built_on_the_orin() {
        assert_eq!(Target::Orin.route(None, machine((8, 7))).unwrap(), Route::enterprise(gpu((8, 7))));
        let error = Target::Orin.route(None, machine((9, 0))).unwrap_err().to_string();
        assert!(error.contains("sm_90") && error.contains("run the same command on a Jetson Orin"), "{error}");
        let error = Target::Orin.route(Some(Flavour::Rtx), machine((8, 7))).unwrap_err().to_string();
        assert!(error.contains("does not build for sm_87"), "{error}");
        assert!(matches!(Target::Orin.route(None, nothing), Err(GpuError::NoGpu)));
    }

    #[test]
    fn the_host_is_built_for_as_its_gpu_allows() {
        assert_eq!(Target::Host.route(None, machine((8, 9))).unwrap(), Route::rtx(89));
        assert_eq!(Target::Host.route(None, machine((9, 0))).unwrap(), Route::enterprise(gpu((9, 0))));
        let error = Target::Host.route(Some(Flavour::Rtx), machine((9, 0))).unwrap_err().to_string();
        assert!(error.contains("does not build for sm_90"), "{error}");
    }

    #[test]
    fn a_gpu_that_the_plugin_has_no_code_for_is_refused() {
        for flavour in [None, Some(Flavour::Rtx), Some(Flavour::Enterprise)] {
            let error = Target::Host.route(flavour, machine((7, 5))).unwrap_err().to_string();
            assert!(error.contains("a GPU (sm_75)") && error.contains("needs sm_80"), "{error}");
        }
        assert_eq!(Target::Host.route(None, machine((8, 6))).unwrap(), Route::rtx(86));
        assert_eq!(Target::Host.route(None, machine((12, 0))).unwrap(), Route::rtx(120));
    }
}
