//! The C functions with errors: a failure is what TensorRT wrote into its log.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use super::library::LogState;
use super::sys::{ContextHandle, EngineHandle, Functions, LibraryHandle, RANK_MAX, Tensor};
use crate::error::GpuError;

/// What failed, with the errors logged since the last failure.
pub fn failure(log: &LogState, action: &'static str) -> GpuError {
    GpuError::TensorRt { action, problem: log.take_errors() }
}

fn status(code: i32, log: &LogState, action: &'static str) -> Result<(), GpuError> {
    if code == 0 { Ok(()) } else { Err(failure(log, action)) }
}

/// # Safety
/// The library is open, and every byte of the plan and the kernels can be trusted as code.
pub unsafe fn load(
    functions: &Functions,
    library: NonNull<LibraryHandle>,
    plan: &[u8],
    kernels: &[u8],
    log: &LogState,
) -> Result<NonNull<EngineHandle>, GpuError> {
    let (bytes, compiled) = (plan.as_ptr().cast(), kernels.as_ptr().cast());
    // SAFETY: see the caller; TensorRT copies what it keeps of the plan and the kernels.
    let engine = unsafe { (functions.load)(library.as_ptr(), bytes, plan.len(), compiled, kernels.len()) };
    NonNull::new(engine).ok_or_else(|| failure(log, "load the engine"))
}

/// # Safety
/// The engine is loaded.
pub unsafe fn tensor_at(
    functions: &Functions,
    engine: NonNull<EngineHandle>,
    index: i32,
    log: &LogState,
) -> Result<Tensor, GpuError> {
    let mut tensor = Tensor { name: std::ptr::null(), is_input: 0, element: 0, rank: 0, extents: [0; RANK_MAX] };
    // SAFETY: see the caller; the tensor is a local.
    status(unsafe { (functions.tensor_at)(engine.as_ptr(), index, &mut tensor) }, log, "describe a tensor")?;
    Ok(tensor)
}

/// # Safety
/// The engine is loaded.
pub unsafe fn kernels(
    functions: &Functions,
    engine: NonNull<EngineHandle>,
    log: &LogState,
) -> Result<Vec<u8>, GpuError> {
    let mut kernels: Vec<u8> = Vec::new();
    let user = std::ptr::from_mut(&mut kernels).cast();
    // SAFETY: see the caller; the kernels are a local, which the callback writes before the call returns.
    status(unsafe { (functions.kernels)(engine.as_ptr(), user, take_bytes) }, log, "give its kernels")?;
    Ok(kernels)
}

/// # Safety
/// `user` is a vector that nothing else uses, and `bytes` are `count` bytes.
unsafe extern "C" fn take_bytes(user: *mut c_void, bytes: *const c_void, count: usize) {
    // SAFETY: see the caller.
    unsafe { *user.cast::<Vec<u8>>() = std::slice::from_raw_parts(bytes.cast(), count).to_vec() };
}

/// # Safety
/// The engine is loaded, and lives longer than the context.
pub unsafe fn make_context(
    functions: &Functions,
    engine: NonNull<EngineHandle>,
    specialised: bool,
    log: &LogState,
) -> Result<NonNull<ContextHandle>, GpuError> {
    // SAFETY: see the caller.
    let context = unsafe { (functions.make_context)(engine.as_ptr(), i32::from(specialised)) };
    NonNull::new(context).ok_or_else(|| failure(log, "make an execution context"))
}

/// # Safety
/// The context lives, and the memory is `bytes` of the device's that nothing else uses while the context runs.
pub unsafe fn set_memory(
    functions: &Functions,
    context: NonNull<ContextHandle>,
    address: u64,
    bytes: i64,
    log: &LogState,
) -> Result<(), GpuError> {
    // SAFETY: see the caller.
    status(unsafe { (functions.set_memory)(context.as_ptr(), address, bytes) }, log, "be given memory")
}

/// # Safety
/// The context lives.
pub unsafe fn set_extents(
    functions: &Functions,
    context: NonNull<ContextHandle>,
    input: &CStr,
    extents: &[i64],
    log: &LogState,
) -> Result<(), GpuError> {
    // SAFETY: see the caller; the extents are as many as is said.
    let code =
        unsafe { (functions.set_extents)(context.as_ptr(), input.as_ptr(), extents.as_ptr(), extents.len() as i32) };
    status(code, log, "set the extents of an input")
}

/// # Safety
/// The context lives.
pub unsafe fn extents(
    functions: &Functions,
    context: NonNull<ContextHandle>,
    tensor: &CStr,
    log: &LogState,
) -> Result<Vec<i64>, GpuError> {
    let mut extents = [0; RANK_MAX];
    // SAFETY: see the caller; a tensor has at most `RANK_MAX` axes.
    let rank = unsafe { (functions.extents)(context.as_ptr(), tensor.as_ptr(), extents.as_mut_ptr()) };
    usize::try_from(rank).map(|rank| extents[..rank].to_vec()).map_err(|_| failure(log, "tell a tensor's extents"))
}

/// # Safety
/// The context lives, and the address is of device memory as long as the tensor's until another one is set.
pub unsafe fn set_address(
    functions: &Functions,
    context: NonNull<ContextHandle>,
    tensor: &CStr,
    address: u64,
    log: &LogState,
) -> Result<(), GpuError> {
    // SAFETY: see the caller.
    status(unsafe { (functions.set_address)(context.as_ptr(), tensor.as_ptr(), address) }, log, "bind a tensor")
}

/// # Safety
/// The context lives, all its tensors have addresses that stay valid until the stream has come past, and the stream is one.
pub unsafe fn enqueue(
    functions: &Functions,
    context: NonNull<ContextHandle>,
    stream: u64,
    log: &LogState,
) -> Result<(), GpuError> {
    // SAFETY: see the caller.
    status(unsafe { (functions.enqueue)(context.as_ptr(), stream) }, log, "run the engine")
}
