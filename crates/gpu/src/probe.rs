//! What of NVIDIA's is on this machine. Asked first: cudarc panics where the driver is missing.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;

use libloading::Library;

use crate::error::GpuError;

/// Names of the driver's library, most specific first.
const DRIVER: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
/// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR and CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT of cuda.h.
const NUMBERS: [c_int; 3] = [75, 76, 16];

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its index for the driver.
    pub index: usize,
    /// Its name, such as `NVIDIA GeForce RTX 4090`.
    pub name: String,
    /// Compute capability, such as (8, 9).
    pub capability: (u32, u32),
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
}

impl Gpu {
    /// The architecture as compilers call it, such as 89.
    pub fn sm(&self) -> u32 {
        self.capability.0 * 10 + self.capability.1
    }

    /// Which model it is, as far as its driver says. The name is not enough: every Jetson with an Orin may call its GPU `Orin`.
    pub fn model(&self) -> String {
        format!("{}, {} multiprocessors", self.name, self.multiprocessors)
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (sm_{})", self.name, self.sm())
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// CUDA version of the driver, such as (13, 0).
    pub driver: (u32, u32),
    /// The GPUs, in the driver's order; at least one.
    pub gpus: Vec<Gpu>,
}

impl Probe {
    /// Looks for a driver and its GPUs.
    pub fn run() -> Result<Self, GpuError> {
        let library = open()?;
        // SAFETY: the signatures are those of cuda.h, which have not changed since CUDA 2.0.
        unsafe { probe(&library) }
    }
}

fn open() -> Result<Library, GpuError> {
    let mut last = None;
    for name in DRIVER {
        // SAFETY: loading the driver runs its initialisers, which is what any CUDA program does.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => last = Some(error),
        }
    }
    Err(GpuError::LibraryMissing {
        library: "libcuda.so.1 of the NVIDIA driver",
        remedy: "install the driver of your GPU, or choose another backend",
        source: last.map_or_else(|| "no name was tried".into(), Into::into),
    })
}

/// # Safety
/// `library` is a CUDA driver.
unsafe fn probe(library: &Library) -> Result<Probe, GpuError> {
    type One = unsafe extern "C" fn(*mut c_int) -> c_int;
    // SAFETY: see the caller; all pointers are to locals that outlive their call.
    unsafe {
        let init = function::<unsafe extern "C" fn(u32) -> c_int>(library, c"cuInit")?;
        let driver_version = function::<One>(library, c"cuDriverGetVersion")?;
        let count_of = function::<One>(library, c"cuDeviceGetCount")?;
        const NO_DEVICE: c_int = 100;
        match init(0) {
            NO_DEVICE => return Err(GpuError::NoGpu),
            status => check(status, "start the driver")?,
        }
        let (mut version, mut count) = (0, 0);
        check(driver_version(&mut version), "tell its version")?;
        check(count_of(&mut count), "count its devices")?;
        if count <= 0 {
            return Err(GpuError::NoGpu);
        }
        let gpus = (0..count).map(|index| gpu(library, index)).collect::<Result<_, _>>()?;
        Ok(Probe { driver: (version as u32 / 1000, version as u32 % 1000 / 10), gpus })
    }
}

/// # Safety
/// `library` is a CUDA driver that was started, and `index` one of its devices.
unsafe fn gpu(library: &Library, index: c_int) -> Result<Gpu, GpuError> {
    // SAFETY: see the caller; the name's buffer is as long as the driver is told.
    unsafe {
        let get = function::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(library, c"cuDeviceGet")?;
        let name_of =
            function::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(library, c"cuDeviceGetName")?;
        let attribute =
            function::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(library, c"cuDeviceGetAttribute")?;
        let (mut device, mut numbers) = (0, [0; 3]);
        let mut name = [0 as c_char; 256];
        check(get(&mut device, index), "open a device")?;
        check(name_of(name.as_mut_ptr(), name.len() as c_int - 1, device), "name a device")?;
        for (number, kind) in numbers.iter_mut().zip(NUMBERS) {
            check(attribute(number, kind, device), "tell a device's compute capability and size")?;
        }
        let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
        let [major, minor, multiprocessors] = numbers.map(|number| number as u32);
        Ok(Gpu { index: index as usize, name, capability: (major, minor), multiprocessors })
    }
}

/// # Safety
/// The library's function of this name has the type `F`.
unsafe fn function<F: Copy>(library: &Library, name: &CStr) -> Result<F, GpuError> {
    // SAFETY: see the caller.
    let found = unsafe { library.get::<F>(name.to_bytes_with_nul()) };
    found.map(|symbol| *symbol).map_err(|error| GpuError::Driver { action: "be asked", problem: error.to_string() })
}

fn check(status: c_int, action: &'static str) -> Result<(), GpuError> {
    if status == 0 { Ok(()) } else { Err(GpuError::Driver { action, problem: format!("CUDA error {status}") }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_finds_a_gpu_or_says_what_is_missing() {
        match Probe::run() {
            Ok(found) => assert!(!found.gpus.is_empty() && found.gpus[0].sm() >= 50),
            Err(error @ GpuError::LibraryMissing { .. }) => {
                assert!(error.to_string().contains("install the driver"), "{error}");
            }
            Err(error) => assert!(matches!(error, GpuError::NoGpu | GpuError::Driver { .. }), "{error}"),
        }
    }
}
