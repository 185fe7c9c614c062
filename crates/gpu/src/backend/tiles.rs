//! Encoded tiles in device memory, and the windows that are laid of them there.

use smgeo_engine::Mosaic;

use crate::cuda::{CudaMemory, Rows, Stream};
use crate::element::bytes_of;
use crate::error::GpuError;
use crate::tile_slots::{Slab, TileSlots};

/// The tiles that are there.
pub struct Tiles {
    slots: TileSlots,
    slab: CudaMemory,
    shape: Shape,
}

/// A tile's rows of cells.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    row_bytes: usize,
}

impl Shape {
    fn bytes(self) -> usize {
        self.rows * self.row_bytes
    }
}

impl Tiles {
    /// Room for the tiles of a budget; none where it is smaller than one.
    pub fn within(budget_bytes: usize, stream: &Stream, cells: usize, channels: usize) -> Result<Self, GpuError> {
        let shape = Shape { rows: cells, row_bytes: cells * channels * size_of::<f32>() };
        let slots = TileSlots::within(budget_bytes, shape.bytes());
        Ok(Self { slab: stream.allocate(slots.count() * shape.bytes())?, slots, shape })
    }

    /// A window in memory of its own: laid of tiles that are there, or uploaded whole where there is no room for tiles.
    pub fn window(&mut self, stream: &Stream, window: &Mosaic) -> Result<CudaMemory, GpuError> {
        let mut memory = stream.allocate(size_of_val(window.values()))?;
        if self.slots.count() == 0 {
            stream.write_at(&mut memory, 0, bytes_of(window.values()))?;
            return Ok(memory);
        }
        let pitch = window.width() * window.channels() * size_of::<f32>();
        let Self { slots, slab, shape } = self;
        slots.lay(window, &mut Laying { stream, slab, window: &mut memory, shape: *shape, pitch })?;
        Ok(memory)
    }
}

/// The slab, with a window whose rows of cells begin `pitch` bytes apart.
struct Laying<'a> {
    stream: &'a Stream,
    slab: &'a mut CudaMemory,
    window: &'a mut CudaMemory,
    shape: Shape,
    pitch: usize,
}

impl Slab for Laying<'_> {
    fn write(&mut self, slot: usize, tile: &[f32]) -> Result<(), GpuError> {
        self.stream.write_at(self.slab, slot * self.shape.bytes(), bytes_of(tile))
    }

    fn lay(&mut self, slot: Option<usize>, row: usize, column: usize) -> Result<(), GpuError> {
        let Shape { rows, row_bytes } = self.shape;
        let start = row * rows * self.pitch + column * row_bytes;
        let rows = Rows { count: rows, bytes: row_bytes, pitch: self.pitch };
        match slot {
            Some(slot) => {
                let from = (&*self.slab, slot * self.shape.bytes());
                self.stream.copy_rows(from, (self.window, start), rows)
            }
            None => self.stream.zero_rows((self.window, start), rows),
        }
    }
}
