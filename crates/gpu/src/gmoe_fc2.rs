//! Launcher of `gmoe_fc2`: the experts' second layer, each row times its gate.

use crate::device::{Buffer, Device, Launch, launch};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::{GmoeShape, Layer, Routing, TILE, TILE_THREADS};

const KERNEL: &str = "gmoe_fc2";

/// From `hidden` `[rows, width]`: `mixed` `[rows, channels]`, both in the order of `routing`.
pub fn gmoe_fc2<T: Element, D: Device>(
    device: &D,
    shape: &GmoeShape,
    hidden: &Buffer<T, D>,
    layer: &Layer<T, D>,
    routing: &Routing<D>,
    mixed: &mut Buffer<T, D>,
) -> Result<(), GpuError> {
    hidden.check(KERNEL, "hidden", shape.rows() * shape.width())?;
    layer.check(KERNEL, shape.experts(), shape.width(), shape.channels())?;
    routing.check(KERNEL, shape)?;
    mixed.check(KERNEL, "mixed", shape.rows() * shape.channels())?;
    let grid = [shape.channels().div_ceil(TILE) as u32, shape.tiles() as u32, 1];
    // SAFETY: as in `gmoe_fc1`.
    unsafe {
        launch!(
            device,
            Launch { kernel: T::pick("gmoe_fc2_f16", "gmoe_fc2_bf16"), grid, threads: TILE_THREADS },
            hidden.address(),
            layer.weight.address(),
            layer.bias.address(),
            routing.gate.address(),
            mixed.address(),
            routing.order.address(),
            routing.tiles.address(),
            shape.size() as i32,
            shape.width() as i32,
            shape.channels() as i32,
        )
    }
}
