//! Engines, and the contexts that run them.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;

use super::library::{Opened, TensorRt};
use super::result;
use super::sys::{ContextHandle, EngineHandle};
use crate::error::GpuError;

/// Element type of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorElement {
    /// 32-bit float.
    F32,
    /// 32-bit integer.
    I32,
    /// Byte.
    U8,
    /// Another one, as TensorRT numbers it; none of ours.
    Other(i32),
}

/// An input or output of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Whether it is an input.
    pub is_input: bool,
    /// Its element type.
    pub element: TensorElement,
    /// Its extents, -1 where open.
    pub extents: Vec<i64>,
}

/// Which kernels a context runs where TensorRT-RTX compiles them on the machine; TensorRT's come with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Those made for the shape, compiled before its first run: for few shapes that are run often.
    Specialised,
    /// Those for any shape, so that no new one waits for a compiler.
    General,
}

/// A plan, loaded onto the GPU of the current CUDA context.
pub struct Engine {
    shared: Arc<Loaded>,
}

struct Loaded {
    handle: NonNull<EngineHandle>,
    library: Arc<Opened>,
}

// SAFETY: TensorRT's engines may be used from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above; what is asked of a shared engine does not change it.
unsafe impl Sync for Loaded {}

/// What runs an engine, one run at a time.
pub struct Context {
    handle: NonNull<ContextHandle>,
    engine: Arc<Loaded>,
}

// SAFETY: a context may move between threads; it is used by one at a time, since running it needs `&mut`.
unsafe impl Send for Context {}

impl Engine {
    /// Loads a plan. `kernels` are what [`Engine::kernels`] gave for it in an earlier run, or nothing.
    ///
    /// # Safety
    /// A plan is code: it was built on this machine, or its hash is covered by a signature that was checked. So are kernels: this user
    /// kept them. The CUDA context of its GPU is current.
    pub unsafe fn load(library: &TensorRt, plan: &[u8], kernels: &[u8]) -> Result<Self, GpuError> {
        let opened = library.opened().clone();
        // SAFETY: see the caller; the library is open as long as the engine holds it.
        let handle = unsafe { result::load(&opened.functions, opened.handle, plan, kernels, &opened.log) }?;
        Ok(Self { shared: Arc::new(Loaded { handle, library: opened }) })
    }

    /// The kernels that TensorRT-RTX has compiled for it so far; nothing with TensorRT.
    pub fn kernels(&self) -> Result<Vec<u8>, GpuError> {
        let Loaded { handle, library } = &*self.shared;
        // SAFETY: the engine is loaded.
        unsafe { result::kernels(&library.functions, *handle, &library.log) }
    }

    /// Its inputs and outputs.
    pub fn tensors(&self) -> Result<Vec<Tensor>, GpuError> {
        let Loaded { handle, library } = &*self.shared;
        // SAFETY: the engine is loaded.
        let count = unsafe { (library.functions.tensor_count)(handle.as_ptr()) };
        let tensor = |index| {
            // SAFETY: the engine is loaded, and a tensor's name is a C string that lives as long as it.
            let (raw, name) = unsafe {
                let raw = result::tensor_at(&library.functions, *handle, index, &library.log)?;
                let name = CStr::from_ptr(raw.name).to_string_lossy().into_owned();
                (raw, name)
            };
            let element = match raw.element {
                0 => TensorElement::F32,
                3 => TensorElement::I32,
                5 => TensorElement::U8,
                other => TensorElement::Other(other),
            };
            let extents = raw.extents[..raw.rank as usize].to_vec();
            Ok(Tensor { name, is_input: raw.is_input != 0, element, extents })
        };
        (0..count).map(tensor).collect()
    }

    /// Device memory that a context works in, bytes. Contexts that never run at the same time can share it.
    pub fn memory_bytes(&self) -> usize {
        let Loaded { handle, library } = &*self.shared;
        // SAFETY: the engine is loaded.
        unsafe { (library.functions.memory_bytes)(handle.as_ptr()) }.max(0) as usize
    }

    /// A context for it, which has to be given memory before it runs.
    pub fn context(&self, kernels: Kernels) -> Result<Context, GpuError> {
        let Loaded { handle, library } = &*self.shared;
        let specialised = kernels == Kernels::Specialised;
        // SAFETY: the engine is loaded, and the context holds it.
        let context = unsafe { result::make_context(&library.functions, *handle, specialised, &library.log) }?;
        Ok(Context { handle: context, engine: self.shared.clone() })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: contexts hold this loaded, so none is left.
        unsafe { (self.library.functions.unload)(self.handle.as_ptr()) };
    }
}

impl Context {
    /// Gives it memory to work in.
    ///
    /// # Safety
    /// It is device memory of so many bytes, at least [`Engine::memory_bytes`]; it stays until the runs are over, and nothing else uses
    /// it while they run.
    pub unsafe fn set_memory(&mut self, address: u64, bytes: usize) -> Result<(), GpuError> {
        let library = &self.engine.library;
        // SAFETY: see the caller.
        unsafe { result::set_memory(&library.functions, self.handle, address, bytes as i64, &library.log) }
    }

    /// Sets the extents of an input.
    pub fn set_extents(&mut self, input: &str, extents: &[i64]) -> Result<(), GpuError> {
        let name = c_name(input)?;
        let library = &self.engine.library;
        // SAFETY: the context lives.
        unsafe { result::set_extents(&library.functions, self.handle, &name, extents, &library.log) }
    }

    /// The extents of a tensor for the inputs set.
    pub fn extents(&self, tensor: &str) -> Result<Vec<i64>, GpuError> {
        let name = c_name(tensor)?;
        let library = &self.engine.library;
        // SAFETY: the context lives.
        unsafe { result::extents(&library.functions, self.handle, &name, &library.log) }
    }

    /// Says where a tensor lies in device memory.
    ///
    /// # Safety
    /// The memory is as long as the tensor with the extents set, and stays until the runs that use it are over.
    pub unsafe fn set_address(&mut self, tensor: &str, address: u64) -> Result<(), GpuError> {
        let name = c_name(tensor)?;
        let library = &self.engine.library;
        // SAFETY: see the caller.
        unsafe { result::set_address(&library.functions, self.handle, &name, address, &library.log) }
    }

    /// Launches a run on a stream and returns.
    ///
    /// # Safety
    /// The stream is one of the engine's CUDA context.
    pub unsafe fn enqueue(&mut self, stream: u64) -> Result<(), GpuError> {
        let library = &self.engine.library;
        // SAFETY: see the caller, and `set_address`; TensorRT refuses a run with a tensor that has no address.
        unsafe { result::enqueue(&library.functions, self.handle, stream, &library.log) }
    }

    /// Whether such a run can be recorded in a CUDA graph, with the extents and addresses that are set.
    ///
    /// # Safety
    /// As [`Context::enqueue`].
    pub unsafe fn is_capturable(&self, stream: u64) -> bool {
        // SAFETY: see the caller; the context lives.
        unsafe { (self.engine.library.functions.is_capturable)(self.handle.as_ptr(), stream) != 0 }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context lives until here.
        unsafe { (self.engine.library.functions.drop_context)(self.handle.as_ptr()) };
    }
}

fn c_name(name: &str) -> Result<CString, GpuError> {
    let problem = || format!("the name {name:?} holds a zero byte");
    CString::new(name).map_err(|_| GpuError::TensorRt { action: "name a tensor", problem: problem() })
}
