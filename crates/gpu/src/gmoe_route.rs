//! Launcher of `gmoe_route`: which experts each cell goes to, and the tiles of the grouped products.

use crate::device::{Buffer, Device, Launch, launch};
use crate::error::GpuError;
use crate::gmoe::{GmoeShape, Routing};

const KERNEL: &str = "gmoe_route";
/// `ROUTE_THREADS` of the kernel.
const THREADS: u32 = 256;

/// From `logits` `[cells, experts]`: the `top_k` largest of each cell, of equal ones the lower index; softmax over the chosen.
pub fn gmoe_route<D: Device>(
    device: &D,
    shape: &GmoeShape,
    logits: &Buffer<f32, D>,
    routing: &mut Routing<D>,
) -> Result<(), GpuError> {
    logits.check(KERNEL, "logits", shape.cells() * shape.experts())?;
    routing.check(KERNEL, shape)?;
    // SAFETY: the parameters are those of the kernel in order, and every length was checked. The shape bounds all numbers.
    unsafe {
        launch!(
            device,
            Launch { kernel: KERNEL, grid: [1, 1, 1], threads: THREADS },
            logits.address(),
            routing.order.address(),
            routing.place.address(),
            routing.gate.address(),
            routing.tiles.address(),
            shape.cells() as i32,
            shape.experts() as i32,
            shape.top_k() as i32,
            shape.size() as i32,
            shape.tiles() as i32,
        )
    }
}
