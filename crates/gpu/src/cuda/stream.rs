//! A GPU's context with one stream: memory, and the order in which everything happens.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, result, sys};

use super::failed;
use crate::device::Memory;
use crate::error::GpuError;
use crate::probe::{Gpu, Probe};

/// A context and a stream of the first GPU.
#[derive(Clone)]
pub struct Stream {
    gpu: Gpu,
    pub(super) context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
}

/// Memory of a GPU.
pub struct CudaMemory {
    address: sys::CUdeviceptr,
    bytes: usize,
    // Freed in its context, which it keeps alive.
    context: Arc<CudaContext>,
}

/// Rows of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// How many.
    pub count: usize,
    /// Bytes of one.
    pub bytes: usize,
    /// From the start of one to that of the next, bytes.
    pub pitch: usize,
}

impl Rows {
    fn extent(self) -> usize {
        self.count.saturating_sub(1) * self.pitch + self.bytes
    }
}

impl Stream {
    /// Opens the first GPU.
    pub fn open() -> Result<Self, GpuError> {
        // cudarc panics where the driver is missing, so it is not touched before the probe has found one.
        let gpu = Probe::run()?.gpus.swap_remove(0);
        let context = CudaContext::new(gpu.index).map_err(failed("open a context"))?;
        let stream = context.new_stream().map_err(failed("make a stream"))?;
        Ok(Self { gpu, context, stream })
    }

    /// Which GPU it is.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The stream as other libraries are given it.
    pub fn handle(&self) -> u64 {
        self.stream.cu_stream() as u64
    }

    /// Makes the context the current one of this thread.
    pub fn bind(&self) -> Result<(), GpuError> {
        self.context.bind_to_thread().map_err(failed("use its context"))
    }

    /// Waits for everything launched.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.stream.synchronize().map_err(failed("finish its work"))
    }

    /// Allocates memory of undefined content.
    pub fn allocate(&self, bytes: usize) -> Result<CudaMemory, GpuError> {
        self.bind()?;
        // SAFETY: the content is undefined until it is written; it is read as bytes only.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(failed("allocate memory"))?;
        Ok(CudaMemory { address, bytes, context: self.context.clone() })
    }

    /// Writes bytes from `start` on, in the stream's order.
    ///
    /// # Panics
    /// When the memory is shorter.
    pub fn write_at(&self, memory: &mut CudaMemory, start: usize, bytes: &[u8]) -> Result<(), GpuError> {
        assert!(start + bytes.len() <= memory.bytes, "no more is written than was allocated");
        self.bind()?;
        // SAFETY: the memory is long enough. The bytes are pageable, so the driver has taken them when it returns.
        unsafe { result::memcpy_htod_async(memory.address + start as u64, bytes, self.stream.cu_stream()) }
            .map_err(failed("be written to"))
    }

    /// Copies rows of bytes from memory that lies without gaps to rows that begin `pitch` bytes apart, in the stream's order.
    ///
    /// # Panics
    /// When either memory is shorter.
    pub fn copy_rows(
        &self,
        (from, from_start): (&CudaMemory, usize),
        (to, to_start): (&mut CudaMemory, usize),
        rows: Rows,
    ) -> Result<(), GpuError> {
        assert!(from_start + rows.count * rows.bytes <= from.bytes, "no more is copied than there is");
        assert!(to_start + rows.extent() <= to.bytes, "no more is written than was allocated");
        self.bind()?;
        // SAFETY: all zeros are a copy of nothing from nowhere.
        let mut copy: sys::CUDA_MEMCPY2D = unsafe { std::mem::zeroed() };
        copy.srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
        copy.srcDevice = from.address + from_start as u64;
        copy.srcPitch = rows.bytes;
        copy.dstMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
        copy.dstDevice = to.address + to_start as u64;
        copy.dstPitch = rows.pitch;
        copy.WidthInBytes = rows.bytes;
        copy.Height = rows.count;
        // SAFETY: both memories are long enough.
        unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.stream.cu_stream()) }
            .result()
            .map_err(failed("copy rows"))
    }

    /// Fills rows of bytes that begin `pitch` bytes apart with zeros, in the stream's order. Rows are of whole 32-bit words.
    ///
    /// # Panics
    /// When the memory is shorter.
    pub fn zero_rows(&self, (to, start): (&mut CudaMemory, usize), rows: Rows) -> Result<(), GpuError> {
        assert!(start + rows.extent() <= to.bytes, "no more is written than was allocated");
        self.bind()?;
        let (address, words) = (to.address + start as u64, rows.bytes / 4);
        // SAFETY: the memory is long enough.
        unsafe { sys::cuMemsetD2D32Async(address, rows.pitch, 0, words, rows.count, self.stream.cu_stream()) }
            .result()
            .map_err(failed("fill rows"))
    }

    /// Reads the start of the memory, after everything launched.
    ///
    /// # Panics
    /// When the memory is shorter.
    pub fn read(&self, memory: &CudaMemory, bytes: &mut [u8]) -> Result<(), GpuError> {
        assert!(bytes.len() <= memory.bytes, "no more is read than was allocated");
        self.bind()?;
        // SAFETY: the memory is long enough, and the stream is waited for while the slice is borrowed.
        unsafe { result::memcpy_dtoh_async(bytes, memory.address, self.stream.cu_stream()) }
            .map_err(failed("be read from"))?;
        self.wait()
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
