//! The C functions with errors: a failure is what TensorRT wrote into its log.

use std::ffi::CStr;
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
/// The library is open, and every byte of the plan can be trusted as code.
pub unsafe fn load(
    functions: &Functions,
    library: NonNull<LibraryHandle>,
    plan: &[u8],
    log: &LogState,
) -> Result<NonNull<EngineHandle>, GpuError> {
    // SAFETY: see the caller; TensorRT copies what it keeps of the plan.
    let engine = unsafe { (functions.load)(library.as_ptr(), plan.as_ptr().cast(), plan.len()) };
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
/// The engine is loaded, and lives longer than the context.
pub unsafe fn make_context(
    functions: &Functions,
    engine: NonNull<EngineHandle>,
    log: &LogState,
) -> Result<NonNull<ContextHandle>, GpuError> {
    // SAFETY: see the caller.
    let context = unsafe { (functions.make_context)(engine.as_ptr()) };
    NonNull::new(context).ok_or_else(|| failure(log, "make an execution context"))
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
