//! TensorRT, opened; and engines built with it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::libraries::{Flavour, Libraries};
use super::result::failure;
use super::sys::{self, Functions, LibraryHandle, RANK_MAX};
use crate::error::GpuError;

/// Where TensorRT's messages go: severity (0 and 1 errors, 2 warning, 3 information, 4 verbose) and text.
pub type Log = Box<dyn Fn(i32, &str) + Send + Sync>;

/// TensorRT, opened with our plugins registered. Engines keep it open.
pub struct TensorRt {
    shared: Arc<Opened>,
    flavour: Flavour,
}

/// What engines share.
pub(super) struct Opened {
    pub functions: Functions,
    pub handle: NonNull<LibraryHandle>,
    // The log is called until the handle is closed; boxed, so that its address stays.
    pub log: Box<LogState>,
}

// SAFETY: TensorRT's library, registry and log may be used from any thread; the log's state is behind a lock.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

/// The log, and the errors that have not been reported yet.
pub(super) struct LogState {
    sink: Log,
    errors: Mutex<Vec<String>>,
}

impl LogState {
    /// The errors since the last call, as one text; the last is the one that says most.
    pub fn take_errors(&self) -> String {
        let mut errors = std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner));
        errors.reverse();
        if errors.is_empty() { "TensorRT gave no reason".into() } else { errors.join("; ") }
    }
}

/// # Safety
/// `user` is a [`LogState`] and `text` a C string.
unsafe extern "C" fn write_log(user: *mut c_void, severity: i32, text: *const c_char) {
    // SAFETY: see the caller; the state lives until the library is closed.
    let (state, text) = unsafe { (&*user.cast::<LogState>(), CStr::from_ptr(text).to_string_lossy()) };
    if severity <= 1 {
        state.errors.lock().unwrap_or_else(PoisonError::into_inner).push(text.trim().to_owned());
    }
    (state.sink)(severity, text.trim());
}

/// Extents of an input with open axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name of the input.
    pub input: String,
    /// Smallest extents.
    pub smallest: Vec<i64>,
    /// The extents that the engine is made fastest for.
    pub usual: Vec<i64>,
    /// Largest extents.
    pub largest: Vec<i64>,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// The ONNX file's bytes.
    pub onnx: &'a [u8],
    /// Inputs with open axes.
    pub profiles: &'a [Profile],
    /// Compute capability to build for, such as 89; none for the GPU of this machine.
    pub sm: Option<u32>,
    /// Whether runs will be recorded in a CUDA graph.
    pub capturable: bool,
    /// Timings of an earlier build; TensorRT-RTX takes none.
    pub timing_cache: &'a [u8],
}

/// What came of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// The plan.
    pub plan: Vec<u8>,
    /// Timings for the next build; empty on TensorRT-RTX.
    pub timing_cache: Vec<u8>,
}

/// What the build's callbacks write to.
struct Sink<'a> {
    built: Built,
    progress: &'a mut dyn FnMut(&str, u32, u32) -> bool,
}

impl TensorRt {
    /// Opens the libraries. `log` hears what TensorRT says from any of its threads.
    ///
    /// # Safety
    /// The files are TensorRT's libraries and one of ours made for them: their code runs in this process.
    pub unsafe fn open(libraries: &Libraries, log: Log) -> Result<Self, GpuError> {
        let missing = |source| GpuError::LibraryMissing {
            library: "smgeo's library over TensorRT",
            remedy: "make it again with scripts/build-tensorrt.sh",
            source,
        };
        // SAFETY: see the caller.
        let functions = unsafe { Functions::open(&libraries.shim) }.map_err(|error| missing(error.into()))?;
        // SAFETY: the function takes nothing and gives a number, in every version.
        let abi = unsafe { (functions.abi)() };
        if abi != sys::ABI {
            return Err(missing(format!("it has interface {abi}, this program speaks {}", sys::ABI).into()));
        }
        let log = Box::new(LogState { sink: log, errors: Mutex::default() });
        let path = |path: &Path| {
            CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| missing("a path holds a zero byte".into()))
        };
        let (runtime, shim) = (path(&libraries.runtime)?, path(&libraries.shim)?);
        let parser = libraries.parser.as_deref().map(path).transpose()?;
        let parser = parser.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        let user = std::ptr::from_ref::<LogState>(&log).cast_mut().cast();
        // SAFETY: the strings live during the call, the log until the handle is closed.
        let handle = unsafe { (functions.open)(runtime.as_ptr(), parser, shim.as_ptr(), write_log, user) };
        let handle = NonNull::new(handle).ok_or_else(|| failure(&log, "be opened"))?;
        Ok(Self { shared: Arc::new(Opened { functions, handle, log }), flavour: libraries.flavour })
    }

    /// Which flavour it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its version, such as `1.7.1` or `10.3.0`.
    pub fn version(&self) -> String {
        // SAFETY: the library is open.
        let version = unsafe { (self.shared.functions.library_version)(self.shared.handle.as_ptr()) };
        format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }

    pub(super) fn opened(&self) -> &Arc<Opened> {
        &self.shared
    }

    /// Builds a plan. `progress` hears the phase, its step and how many there are, and stops the build with `false`. TensorRT
    /// may end the process where a node or a library is not to its liking: [`crate::builder`] builds in a child.
    pub fn build(
        &self,
        request: &BuildRequest,
        mut progress: impl FnMut(&str, u32, u32) -> bool,
    ) -> Result<Built, GpuError> {
        let names = names(request.profiles)?;
        let profiles: Vec<sys::Profile> =
            request.profiles.iter().zip(&names).map(|(profile, name)| raw(profile, name)).collect();
        let mut sink = Sink { built: Built::default(), progress: &mut progress };
        let raw = sys::BuildRequest {
            onnx: request.onnx.as_ptr().cast(),
            onnx_bytes: request.onnx.len(),
            profiles: profiles.as_ptr(),
            profile_count: profiles.len() as i32,
            sm: request.sm.map_or(0, |sm| sm as i32),
            capturable: i32::from(request.capturable),
            workspace_bytes_max: 0,
            timing_cache: request.timing_cache.as_ptr().cast(),
            timing_cache_bytes: request.timing_cache.len(),
            user: std::ptr::from_mut(&mut sink).cast(),
            progress: report_progress,
            plan: take_plan,
            new_timing_cache: take_timing_cache,
        };
        let Opened { functions, handle, log } = &*self.shared;
        // SAFETY: the library is open; all the request points to lives during the call, and its counts are right. Callbacks come
        // one at a time: the shim holds a lock over progress, and the other two come after the build.
        let status = unsafe { (functions.build)(handle.as_ptr(), &raw) };
        if status == 0 && !sink.built.plan.is_empty() { Ok(sink.built) } else { Err(failure(log, "build the engine")) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: engines hold this open, so none is left.
        unsafe { (self.functions.close)(self.handle.as_ptr()) };
    }
}

fn names(profiles: &[Profile]) -> Result<Vec<CString>, GpuError> {
    let refused = |problem: String| GpuError::TensorRt { action: "build the engine", problem };
    let name = |profile: &Profile| {
        let lengths = [&profile.smallest, &profile.usual, &profile.largest].map(Vec::len);
        if lengths.iter().any(|&length| length != lengths[0] || length > RANK_MAX) {
            return Err(refused(format!("the extents of {} differ in their number of axes", profile.input)));
        }
        CString::new(profile.input.as_bytes()).map_err(|_| refused("the name of an input holds a zero byte".into()))
    };
    profiles.iter().map(name).collect()
}

fn raw(profile: &Profile, name: &CStr) -> sys::Profile {
    let padded = |extents: &[i64]| std::array::from_fn(|axis| extents.get(axis).copied().unwrap_or(0));
    sys::Profile {
        name: name.as_ptr(),
        rank: profile.usual.len() as i32,
        smallest: padded(&profile.smallest),
        usual: padded(&profile.usual),
        largest: padded(&profile.largest),
    }
}

/// # Safety
/// `user` is a [`Sink`] that nothing else uses, and `phase` a C string.
unsafe extern "C" fn report_progress(user: *mut c_void, phase: *const c_char, step: i32, steps: i32) -> i32 {
    // SAFETY: see the caller.
    let (sink, phase) = unsafe { (&mut *user.cast::<Sink>(), CStr::from_ptr(phase).to_string_lossy()) };
    i32::from((sink.progress)(&phase, step.max(0) as u32, steps.max(0) as u32))
}

/// # Safety
/// `user` is a [`Sink`] that nothing else uses, and `bytes` are `count` bytes.
unsafe extern "C" fn take_plan(user: *mut c_void, bytes: *const c_void, count: usize) {
    // SAFETY: see the caller.
    unsafe { (*user.cast::<Sink>()).built.plan = std::slice::from_raw_parts(bytes.cast(), count).to_vec() };
}

/// # Safety
/// As [`take_plan`].
unsafe extern "C" fn take_timing_cache(user: *mut c_void, bytes: *const c_void, count: usize) {
    // SAFETY: see the caller.
    unsafe { (*user.cast::<Sink>()).built.timing_cache = std::slice::from_raw_parts(bytes.cast(), count).to_vec() };
}
