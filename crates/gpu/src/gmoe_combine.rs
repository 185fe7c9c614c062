//! Launcher of `gmoe_combine`: each token's expert outputs, added in the order of their rank.

use crate::device::{Buffer, Device, Launch, launch};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::{GmoeShape, PACK, Routing};

const KERNEL: &str = "gmoe_combine";
/// `COMBINE_THREADS` of the kernel.
const THREADS: u32 = 256;

/// From `mixed` `[rows, channels]`, and a residual `[cells, size, channels]`: `out` `[cells, size, channels]`.
pub fn gmoe_combine<T: Element, D: Device>(
    device: &D,
    shape: &GmoeShape,
    mixed: &Buffer<T, D>,
    residual: Option<&Buffer<T, D>>,
    routing: &Routing<D>,
    out: &mut Buffer<T, D>,
) -> Result<(), GpuError> {
    mixed.check(KERNEL, "mixed", shape.rows() * shape.channels())?;
    residual.map_or(Ok(()), |residual| residual.check(KERNEL, "residual", shape.numbers()))?;
    routing.check(KERNEL, shape)?;
    out.check(KERNEL, "out", shape.numbers())?;
    let blocks = (shape.numbers() / PACK).div_ceil(THREADS as usize) as u32;
    // SAFETY: as in `gmoe_fc1`; a residual of address 0 is none.
    unsafe {
        launch!(
            device,
            Launch { kernel: T::pick("gmoe_combine_f16", "gmoe_combine_bf16"), grid: [blocks, 1, 1], threads: THREADS },
            mixed.address(),
            residual.map_or(0, Buffer::address),
            out.address(),
            routing.place.address(),
            shape.cells() as i32,
            shape.top_k() as i32,
            shape.size() as i32,
            shape.channels() as i32,
        )
    }
}
