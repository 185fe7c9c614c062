//! The host as a device: the same kernel source, compiled by a C++ compiler, threads as fibers. Slow, and strict: memory
//! is filled with what is no number, its surroundings are watched, and threads may run backwards.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::rc::Rc;

use crate::device::{Device, Launch, Memory};
use crate::error::GpuError;

unsafe extern "C" {
    fn smgeo_emulate(
        name: *const c_char,
        grid: *const c_uint,
        threads: c_uint,
        arguments: *mut *mut c_void,
        backwards: c_int,
    ) -> c_int;
}

/// In which order the threads of a block, and the blocks, run from barrier to barrier. A kernel that has all its barriers
/// gives the same bits in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Rising.
    Forwards,
    /// Falling.
    Backwards,
}

/// Bytes before and after an allocation that nothing may write.
const GUARD_BYTES: usize = 256;
/// Unwritten memory: all ones are no number in every float type, and -1.
const UNWRITTEN: u8 = 0xff;

/// The host.
pub struct Emulation {
    order: Order,
    // Every allocation that lives, so that each launch can look at what surrounds them.
    allocations: RefCell<Vec<Rc<Region>>>,
}

/// Memory of the host, guarded on both sides.
pub struct HostMemory(Rc<Region>);

struct Region {
    lines: *mut Line,
    count: usize,
    bytes: usize,
}

#[repr(C, align(256))]
#[derive(Clone, Copy)]
struct Line([u8; GUARD_BYTES]);

impl Region {
    fn new(bytes: usize) -> Self {
        let count = bytes.div_ceil(GUARD_BYTES) + 2;
        let lines = vec![Line([UNWRITTEN; GUARD_BYTES]); count].into_boxed_slice();
        Self { lines: Box::into_raw(lines).cast(), count, bytes }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: a region has at least two lines.
        unsafe { self.lines.add(1).cast() }
    }

    fn is_intact(&self) -> bool {
        // SAFETY: the lines are `count * GUARD_BYTES` initialised bytes, and no kernel is running.
        let all = unsafe { std::slice::from_raw_parts(self.lines.cast::<u8>(), self.count * GUARD_BYTES) };
        let after = GUARD_BYTES + self.bytes;
        all[..GUARD_BYTES].iter().chain(&all[after..]).all(|byte| *byte == UNWRITTEN)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a boxed slice of `count` lines.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.lines, self.count)) });
    }
}

impl Memory for HostMemory {
    fn address(&self) -> u64 {
        self.0.start() as u64
    }
}

impl Emulation {
    /// A host whose threads run in this order.
    pub fn new(order: Order) -> Self {
        Self { order, allocations: RefCell::default() }
    }
}

impl Device for Emulation {
    type Memory = HostMemory;

    fn allocate(&self, bytes: usize) -> Result<HostMemory, GpuError> {
        let region = Rc::new(Region::new(bytes));
        let mut allocations = self.allocations.borrow_mut();
        allocations.retain(|region| Rc::strong_count(region) > 1);
        allocations.push(region.clone());
        Ok(HostMemory(region))
    }

    fn write(&self, memory: &mut HostMemory, bytes: &[u8]) -> Result<(), GpuError> {
        assert!(bytes.len() <= memory.0.bytes, "no more is written than was allocated");
        // SAFETY: the region is at least as long, and nothing else refers to its bytes outside of a launch.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.0.start(), bytes.len()) };
        Ok(())
    }

    fn read(&self, memory: &HostMemory, bytes: &mut [u8]) -> Result<(), GpuError> {
        assert!(bytes.len() <= memory.0.bytes, "no more is read than was allocated");
        // SAFETY: the region is at least as long and initialised from the start.
        unsafe { std::ptr::copy_nonoverlapping(memory.0.start(), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn launch(&self, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), GpuError> {
        let Launch { kernel, grid, threads } = launch;
        assert!(threads.is_multiple_of(32), "blocks are whole warps");
        let name = CString::new(kernel).expect("kernels have plain names");
        let backwards = c_int::from(self.order == Order::Backwards);
        // SAFETY: the caller vouches for the arguments; name and grid live during the call.
        let status = unsafe { smgeo_emulate(name.as_ptr(), grid.as_ptr(), threads, arguments.as_mut_ptr(), backwards) };
        match status {
            0 if self.allocations.borrow().iter().all(|region| region.is_intact()) => Ok(()),
            0 => Err(GpuError::OutOfBounds(kernel)),
            1 => Err(GpuError::Driver { action: "find a kernel", problem: format!("{kernel} is not in the module") }),
            _ => Err(GpuError::Barrier(kernel)),
        }
    }
}
