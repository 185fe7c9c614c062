//! Where kernels run: memory, and launches. A GPU is one device; the host, which runs the same source, is another.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::element::{Plain, bytes_of, bytes_of_mut};
use crate::error::GpuError;

/// Memory of a device, freed when dropped.
pub trait Memory {
    /// Its address on the device; 256-byte aligned.
    fn address(&self) -> u64;
}

/// Which kernel, over how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Name of the kernel in the module.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads a block.
    pub threads: u32,
}

/// Runs kernels in the order of their launches. Launching allocates nothing and waits for nothing; reading waits.
pub trait Device: Sized {
    /// Its memory.
    type Memory: Memory;

    /// Allocates memory of undefined content.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory, GpuError>;

    /// Writes the start of the memory. The bytes are not longer than it.
    fn write(&self, memory: &mut Self::Memory, bytes: &[u8]) -> Result<(), GpuError>;

    /// Reads the start of the memory, after all launches before. The bytes are not longer than it.
    fn read(&self, memory: &Self::Memory, bytes: &mut [u8]) -> Result<(), GpuError>;

    /// Launches a kernel.
    ///
    /// # Safety
    /// The arguments point to values of the types of the kernel's parameters, in order, and every address among them is of
    /// this device's memory and as long as the kernel reads and writes.
    unsafe fn launch(&self, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), GpuError>;
}

/// `len` values in a device's memory.
pub struct Buffer<T, D: Device> {
    memory: D::Memory,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Plain, D: Device> Buffer<T, D> {
    /// Memory for `len` values of undefined content.
    pub fn new(device: &D, len: usize) -> Result<Self, GpuError> {
        Ok(Self { memory: device.allocate(len * size_of::<T>())?, len, kind: PhantomData })
    }

    /// A copy of `values`.
    pub fn of(device: &D, values: &[T]) -> Result<Self, GpuError> {
        let mut buffer = Self::new(device, values.len())?;
        buffer.write(device, values)?;
        Ok(buffer)
    }

    /// Overwrites the values.
    ///
    /// # Panics
    /// When there are more or fewer of them than the buffer has.
    pub fn write(&mut self, device: &D, values: &[T]) -> Result<(), GpuError> {
        assert_eq!(values.len(), self.len, "a buffer is written whole");
        device.write(&mut self.memory, bytes_of(values))
    }

    /// The values, after everything launched before.
    pub fn read(&self, device: &D) -> Result<Vec<T>, GpuError>
    where
        T: Default,
    {
        let mut values = vec![T::default(); self.len];
        device.read(&self.memory, bytes_of_mut(&mut values))?;
        Ok(values)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address on the device.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Refuses a buffer of another length than `expected`, in the name of a kernel's operand.
    pub(crate) fn check(&self, kernel: &'static str, operand: &'static str, expected: usize) -> Result<(), GpuError> {
        if self.len == expected {
            return Ok(());
        }
        Err(GpuError::Operand { kernel, operand, found: self.len, expected })
    }
}

/// A kernel's parameter that is passed by value.
///
/// # Safety
/// The kernel's parameter has the same layout.
pub(crate) unsafe trait Argument {}

// SAFETY: `int`.
unsafe impl Argument for i32 {}
// SAFETY: `float`.
unsafe impl Argument for f32 {}
// SAFETY: a pointer; devices have 64-bit addresses.
unsafe impl Argument for u64 {}

/// What a launch is given for an argument. The pointer is read before the launch returns.
pub(crate) fn argument<A: Argument>(value: &A) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// Launches with arguments that live as long as the call.
macro_rules! launch {
    ($device:expr, $launch:expr, $($argument:expr),+ $(,)?) => {
        $device.launch($launch, &mut [$($crate::device::argument(&$argument)),+])
    };
}
pub(crate) use launch;
