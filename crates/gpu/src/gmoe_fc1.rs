//! Launcher of `gmoe_fc1`: the experts' first layer with its GELU, each expert over the cells it was sent.

use crate::device::{Buffer, Device, Launch, launch};
use crate::element::Element;
use crate::error::GpuError;
use crate::gmoe::{GmoeShape, Layer, Routing, TILE, TILE_THREADS};

const KERNEL: &str = "gmoe_fc1";

/// From `x` `[cells, size, channels]`: `hidden` `[rows, width]`, rows in the order of `routing`.
pub fn gmoe_fc1<T: Element, D: Device>(
    device: &D,
    shape: &GmoeShape,
    x: &Buffer<T, D>,
    layer: &Layer<T, D>,
    routing: &Routing<D>,
    hidden: &mut Buffer<T, D>,
) -> Result<(), GpuError> {
    x.check(KERNEL, "x", shape.numbers())?;
    layer.check(KERNEL, shape.experts(), shape.channels(), shape.width())?;
    routing.check(KERNEL, shape)?;
    hidden.check(KERNEL, "hidden", shape.rows() * shape.width())?;
    let grid = [shape.width().div_ceil(TILE) as u32, shape.tiles() as u32, 1];
    // SAFETY: the parameters are those of the kernel in order, and every length was checked. A routing holds zeros or what
    // `gmoe_route` made for this very shape, so that rows picked through it are rows of `x`.
    unsafe {
        launch!(
            device,
            Launch { kernel: T::pick("gmoe_fc1_f16", "gmoe_fc1_bf16"), grid, threads: TILE_THREADS },
            x.address(),
            layer.weight.address(),
            layer.bias.address(),
            hidden.address(),
            routing.order.address(),
            routing.tiles.address(),
            shape.top_k() as i32,
            shape.size() as i32,
            shape.channels() as i32,
            shape.width() as i32,
        )
    }
}
