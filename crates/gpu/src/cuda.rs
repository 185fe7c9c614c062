//! A GPU as a device: a stream, and the module of all kernels.

pub mod bench;
pub mod check;
pub mod graph;
pub mod stream;

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::Path;

use cudarc::driver::{DriverError, result, sys};

pub use self::stream::{CudaMemory, Rows, Stream};
use crate::device::{Device, Launch};
use crate::error::GpuError;
use crate::fatbin;
use crate::probe::Gpu;

/// Every kernel of the module.
const KERNELS: [&str; 13] = [
    "gmoe_route",
    "gmoe_fc1_f16",
    "gmoe_fc1_bf16",
    "gmoe_fc2_f16",
    "gmoe_fc2_bf16",
    "gmoe_combine_f16",
    "gmoe_combine_bf16",
    "window_attention_f16",
    "window_attention_bf16",
    "preprocess_nv12",
    "preprocess_rgb",
    "preprocess_halve",
    "preprocess_crop",
];

/// A GPU with the kernels loaded.
pub struct Cuda {
    functions: HashMap<&'static str, sys::CUfunction>,
    module: sys::CUmodule,
    stream: Stream,
}

impl Cuda {
    /// The first GPU, with the kernels of `module`: the file that `scripts/build-cuda.sh` makes.
    pub fn new(module: &Path) -> Result<Self, GpuError> {
        let image = std::fs::read(module).map_err(|source| GpuError::LibraryMissing {
            library: "the module of CUDA kernels",
            remedy: "make it with scripts/build-cuda.sh",
            source: source.into(),
        })?;
        fatbin::check(&image).map_err(|problem| GpuError::LibraryMissing {
            library: "a module of CUDA kernels",
            remedy: "make it again with scripts/build-cuda.sh",
            source: format!("{}: {problem}", module.display()).into(),
        })?;
        let stream = Stream::open()?;
        // SAFETY: the image is a fat binary, and as long as its header says.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }
            .map_err(failed("load the module of kernels"))?;
        let mut cuda = Self { functions: HashMap::new(), module, stream };
        for name in KERNELS {
            let symbol = CString::new(name).expect("kernels have plain names");
            // SAFETY: the module was loaded and lives as long as its functions.
            let function = unsafe { result::module::get_function(module, symbol) };
            cuda.functions.insert(name, function.map_err(failed("find a kernel in the module"))?);
        }
        Ok(cuda)
    }

    /// Which GPU it is.
    pub fn gpu(&self) -> &Gpu {
        self.stream.gpu()
    }

    /// The time that `work` takes on the GPU, ms, by events before and after it.
    pub fn time_ms(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<f64, GpuError> {
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let event = || self.stream.context.new_event(flags).map_err(failed("time"));
        let (start, end) = (event()?, event()?);
        start.record(&self.stream.stream).map_err(failed("time"))?;
        work()?;
        end.record(&self.stream.stream).map_err(failed("time"))?;
        start.elapsed_ms(&end).map(f64::from).map_err(failed("time"))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // A context that cannot be bound is gone, and its module with it.
        if self.stream.wait().is_ok() && self.stream.bind().is_ok() {
            // SAFETY: nothing runs any more, and the functions go with the module.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

impl Device for Cuda {
    type Memory = CudaMemory;

    fn allocate(&self, bytes: usize) -> Result<CudaMemory, GpuError> {
        self.stream.allocate(bytes)
    }

    fn write(&self, memory: &mut CudaMemory, bytes: &[u8]) -> Result<(), GpuError> {
        self.stream.write_at(memory, 0, bytes)
    }

    fn read(&self, memory: &CudaMemory, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.stream.read(memory, bytes)
    }

    unsafe fn launch(&self, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), GpuError> {
        let Launch { kernel, grid: [x, y, z], threads } = launch;
        let Some(function) = self.functions.get(kernel) else {
            return Err(GpuError::Driver {
                action: "find a kernel",
                problem: format!("{kernel} is not in the module"),
            });
        };
        self.stream.bind()?;
        let stream = self.stream.stream.cu_stream();
        // SAFETY: the caller vouches for the arguments; the driver copies them before it returns.
        unsafe { result::launch_kernel(*function, (x, y, z), (threads, 1, 1), 0, stream, arguments) }
            .map_err(failed("launch a kernel"))
    }
}

fn failed(action: &'static str) -> impl Fn(DriverError) -> GpuError {
    move |error| match error.0 {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => GpuError::MemoryFull { action },
        _ => GpuError::Driver { action, problem: error.to_string() },
    }
}
