//! `tensorrt/shim.h`, line by line. What each function does is said there.

use std::ffi::{c_char, c_void};
use std::path::Path;

use libloading::Library;

/// Version of the interface; a library of another one is refused.
pub const ABI: i32 = 2;
/// Most axes of a tensor.
pub const RANK_MAX: usize = 8;

/// `smgeo_trt_log`.
pub type LogCallback = unsafe extern "C" fn(user: *mut c_void, severity: i32, text: *const c_char);
/// `smgeo_trt_bytes`.
pub type BytesCallback = unsafe extern "C" fn(user: *mut c_void, bytes: *const c_void, count: usize);
/// `smgeo_trt_progress`.
pub type ProgressCallback = unsafe extern "C" fn(user: *mut c_void, phase: *const c_char, step: i32, steps: i32) -> i32;

/// `smgeo_trt_library`, opaque.
pub enum LibraryHandle {}
/// `smgeo_trt_engine`, opaque.
pub enum EngineHandle {}
/// `smgeo_trt_context`, opaque.
pub enum ContextHandle {}

/// `smgeo_trt_profile`.
#[repr(C)]
pub struct Profile {
    /// Name of the input.
    pub name: *const c_char,
    /// Number of axes.
    pub rank: i32,
    /// Smallest extents.
    pub smallest: [i64; RANK_MAX],
    /// Usual extents, which the engine is made fastest for.
    pub usual: [i64; RANK_MAX],
    /// Largest extents.
    pub largest: [i64; RANK_MAX],
}

/// `smgeo_trt_build_request`.
#[repr(C)]
pub struct BuildRequest {
    /// The ONNX file's bytes.
    pub onnx: *const c_void,
    /// How many.
    pub onnx_bytes: usize,
    /// Inputs with open axes.
    pub profiles: *const Profile,
    /// How many.
    pub profile_count: i32,
    /// Compute capability, 0 for the GPU of this machine.
    pub sm: i32,
    /// Not 0 for an engine whose runs will be recorded.
    pub capturable: i32,
    /// Most memory that layers may take beside their operands; 0 leaves it to TensorRT.
    pub workspace_bytes_max: usize,
    /// Timings of an earlier build, or null.
    pub timing_cache: *const c_void,
    /// How many bytes.
    pub timing_cache_bytes: usize,
    /// Given to the callbacks.
    pub user: *mut c_void,
    /// Called as the build goes on.
    pub progress: ProgressCallback,
    /// Called once with the plan.
    pub plan: BytesCallback,
    /// Called at most once with the timings.
    pub new_timing_cache: BytesCallback,
}

/// `smgeo_trt_tensor`.
#[repr(C)]
pub struct Tensor {
    /// Its name; lives as long as the engine.
    pub name: *const c_char,
    /// Not 0 for an input.
    pub is_input: i32,
    /// Element type, as TensorRT numbers them.
    pub element: i32,
    /// Number of axes.
    pub rank: i32,
    /// Extents, -1 where open.
    pub extents: [i64; RANK_MAX],
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions of one of our libraries over TensorRT, found by name.
        pub struct Functions {
            $($(#[$doc])* pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
            // The functions lie in it.
            _library: Library,
        }

        impl Functions {
            /// Opens the library at `path` and finds its functions.
            ///
            /// # Safety
            /// The file is a library made by `scripts/build-tensorrt.sh`, of the interface [`ABI`] if its `smgeo_trt_abi` says so.
            pub unsafe fn open(path: &Path) -> Result<Self, libloading::Error> {
                // SAFETY: see the caller; the types are those of `shim.h`.
                unsafe {
                    let library = Library::new(path)?;
                    Ok(Self {
                        $($name: *library.get(concat!("smgeo_trt_", stringify!($name), "\0").as_bytes())?,)+
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    /// Version of the interface.
    abi: fn() -> i32;
    /// Version of TensorRT's headers.
    headers_version: fn() -> i32;
    /// Whether they were TensorRT-RTX's.
    is_rtx: fn() -> i32;
    /// Opens TensorRT.
    open: fn(*const c_char, *const c_char, *const c_char, LogCallback, *mut c_void) -> *mut LibraryHandle;
    /// Closes it.
    close: fn(*mut LibraryHandle);
    /// Version of the library opened.
    library_version: fn(*const LibraryHandle) -> i32;
    /// Builds a plan.
    build: fn(*mut LibraryHandle, *const BuildRequest) -> i32;
    /// Makes an engine of a plan, and of kernels compiled earlier.
    load: fn(*mut LibraryHandle, *const c_void, usize, *const c_void, usize) -> *mut EngineHandle;
    /// Frees an engine.
    unload: fn(*mut EngineHandle);
    /// Number of inputs and outputs.
    tensor_count: fn(*const EngineHandle) -> i32;
    /// Describes one.
    tensor_at: fn(*const EngineHandle, i32, *mut Tensor) -> i32;
    /// Gives the kernels compiled so far.
    kernels: fn(*const EngineHandle, *mut c_void, BytesCallback) -> i32;
    /// Makes a context.
    make_context: fn(*mut EngineHandle, i32) -> *mut ContextHandle;
    /// Frees a context.
    drop_context: fn(*mut ContextHandle);
    /// Bytes of memory that a context works in.
    memory_bytes: fn(*const EngineHandle) -> i64;
    /// Gives it to one.
    set_memory: fn(*mut ContextHandle, u64, i64) -> i32;
    /// Sets the extents of an input.
    set_extents: fn(*mut ContextHandle, *const c_char, *const i64, i32) -> i32;
    /// Asks for the extents of a tensor.
    extents: fn(*const ContextHandle, *const c_char, *mut i64) -> i32;
    /// Sets where a tensor lies.
    set_address: fn(*mut ContextHandle, *const c_char, u64) -> i32;
    /// Launches.
    enqueue: fn(*mut ContextHandle, u64) -> i32;
    /// Whether that can be recorded.
    is_capturable: fn(*const ContextHandle, u64) -> i32;
}
