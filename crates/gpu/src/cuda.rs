//! A GPU as a device: one context, one stream, the module of all kernels.

pub mod bench;
pub mod check;
pub mod graph;

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::device::{Device, Launch, Memory};
use crate::error::GpuError;
use crate::probe::{Gpu, Probe};

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
    gpu: Gpu,
    functions: HashMap<&'static str, sys::CUfunction>,
    module: sys::CUmodule,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

/// Memory of a GPU.
pub struct CudaMemory {
    address: sys::CUdeviceptr,
    // Freed in its context, which it keeps alive.
    context: Arc<CudaContext>,
}

impl Cuda {
    /// The first GPU, with the kernels of `module`: the file that `scripts/build-cuda.sh` makes.
    pub fn new(module: &Path) -> Result<Self, GpuError> {
        // cudarc panics where the driver is missing, so it is not touched before the probe has found one.
        let gpu = Probe::run()?.gpus.swap_remove(0);
        let image = std::fs::read(module).map_err(|source| GpuError::LibraryMissing {
            library: "the module of CUDA kernels",
            remedy: "make it with scripts/build-cuda.sh",
            source: source.into(),
        })?;
        let context = CudaContext::new(gpu.index).map_err(failed("open a context"))?;
        let stream = context.new_stream().map_err(failed("make a stream"))?;
        // SAFETY: the image is a fat binary, whose header says how long it is; a file that is none is refused by the driver.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }
            .map_err(failed("load the module of kernels"))?;
        let mut cuda = Self { gpu, functions: HashMap::new(), module, stream, context };
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
        &self.gpu
    }

    /// The stream that all launches go to.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Waits for everything launched.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.stream.synchronize().map_err(failed("finish its work"))
    }

    /// The time that `work` takes on the GPU, ms, by events before and after it.
    pub fn time_ms(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<f64, GpuError> {
        let timed = || self.context.new_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed("time"));
        let (start, end) = (timed()?, timed()?);
        start.record(&self.stream).map_err(failed("time"))?;
        work()?;
        end.record(&self.stream).map_err(failed("time"))?;
        start.elapsed_ms(&end).map(f64::from).map_err(failed("time"))
    }

    fn bind(&self) -> Result<(), GpuError> {
        self.context.bind_to_thread().map_err(failed("use its context"))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // A context that cannot be bound is gone, and its module with it.
        if self.wait().is_ok() && self.bind().is_ok() {
            // SAFETY: nothing runs any more, and the functions go with the module.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

impl Memory for CudaMemory {
    fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: the address came from an allocation in this context. Freeing waits for the launches that use it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

impl Device for Cuda {
    type Memory = CudaMemory;

    fn allocate(&self, bytes: usize) -> Result<CudaMemory, GpuError> {
        self.bind()?;
        // SAFETY: the content is undefined until it is written, as the trait says; nobody reads it as a type before.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(failed("allocate memory"))?;
        Ok(CudaMemory { address, context: self.context.clone() })
    }

    fn write(&self, memory: &mut CudaMemory, bytes: &[u8]) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: the memory is at least as long; the copy is done before the slice's borrow ends, for the stream is waited for.
        unsafe { result::memcpy_htod_async(memory.address, bytes, self.stream.cu_stream()) }
            .map_err(failed("be written to"))?;
        self.wait()
    }

    fn read(&self, memory: &CudaMemory, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: as in `write`.
        unsafe { result::memcpy_dtoh_async(bytes, memory.address, self.stream.cu_stream()) }
            .map_err(failed("be read from"))?;
        self.wait()
    }

    unsafe fn launch(&self, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), GpuError> {
        let Launch { kernel, grid: [x, y, z], threads } = launch;
        let Some(function) = self.functions.get(kernel) else {
            return Err(GpuError::Driver {
                action: "find a kernel",
                problem: format!("{kernel} is not in the module"),
            });
        };
        self.bind()?;
        // SAFETY: the caller vouches for the arguments; the driver copies them before it returns.
        unsafe { result::launch_kernel(*function, (x, y, z), (threads, 1, 1), 0, self.stream.cu_stream(), arguments) }
            .map_err(failed("launch a kernel"))
    }
}

fn failed(action: &'static str) -> impl Fn(DriverError) -> GpuError {
    move |error| GpuError::Driver { action, problem: error.to_string() }
}
