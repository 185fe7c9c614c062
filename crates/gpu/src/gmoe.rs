//! The mixture of experts from its four kernels: what they share, and one call for all of them.

use crate::device::{Buffer, Device};
use crate::element::{Element, Plain};
use crate::error::GpuError;
use crate::{gmoe_combine, gmoe_fc1, gmoe_fc2, gmoe_route};

/// Most experts that the routing kernel can tell apart.
pub const EXPERTS_MAX: usize = 16;
/// Rows and columns of a tile of the grouped products.
pub(crate) const TILE: usize = 64;
/// Threads of a block of the grouped products.
pub(crate) const TILE_THREADS: u32 = 128;
/// Channels of one 16-byte access.
pub(crate) const PACK: usize = 8;
/// CUDA's limit on the second axis of a grid.
const GRID_Y_MAX: usize = 65_535;

/// How large a mixture is. A value of this type can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GmoeShape {
    cells: usize,
    size: usize,
    experts: usize,
    top_k: usize,
    channels: usize,
    width: usize,
}

impl GmoeShape {
    /// `cells` cells of `size` tokens of `channels` numbers; each cell goes to `top_k` of `experts` experts of hidden `width`.
    pub fn new(
        [cells, size]: [usize; 2],
        [experts, top_k]: [usize; 2],
        [channels, width]: [usize; 2],
    ) -> Result<Self, GpuError> {
        let rule = |holds: bool, problem: String| match holds {
            true => Ok(()),
            false => Err(GpuError::Shape { kernel: "gmoe", problem }),
        };
        rule(cells > 0 && size > 0, format!("{cells} cells of {size} tokens; there has to be one"))?;
        rule((1..=EXPERTS_MAX).contains(&experts), format!("{experts} experts; the kernels know 1 to {EXPERTS_MAX}"))?;
        rule(
            (1..=experts).contains(&top_k),
            format!("top_k = {top_k} of {experts} experts; it has to be one of them"),
        )?;
        let packed = |count: usize| count > 0 && count.is_multiple_of(PACK);
        let both = packed(channels) && packed(width);
        rule(both, format!("{channels} channels and a width of {width}; both have to be multiples of {PACK}"))?;
        let rows = cells.checked_mul(size).and_then(|tokens| tokens.checked_mul(top_k));
        let tiles = rows.map(|rows| rows.div_ceil(TILE) + experts);
        rule(
            tiles.is_some_and(|tiles| tiles <= GRID_Y_MAX),
            format!("{cells} cells of {size} tokens to {top_k} experts are too many for one launch; split the batch"),
        )?;
        Ok(Self { cells, size, experts, top_k, channels, width })
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.cells
    }
    /// Tokens of a cell.
    pub fn size(&self) -> usize {
        self.size
    }
    /// Number of experts.
    pub fn experts(&self) -> usize {
        self.experts
    }
    /// Experts that a cell goes to.
    pub fn top_k(&self) -> usize {
        self.top_k
    }
    /// Numbers of a token.
    pub fn channels(&self) -> usize {
        self.channels
    }
    /// Hidden numbers of an expert.
    pub fn width(&self) -> usize {
        self.width
    }
    /// Number of (cell, rank).
    pub fn slots(&self) -> usize {
        self.cells * self.top_k
    }
    /// Rows of the grouped products.
    pub fn rows(&self) -> usize {
        self.slots() * self.size
    }
    /// Numbers in and numbers out.
    pub fn numbers(&self) -> usize {
        self.cells * self.size * self.channels
    }
    /// Most tiles of rows there can be: one of each expert may be partial.
    pub fn tiles(&self) -> usize {
        self.rows().div_ceil(TILE) + self.experts
    }
    /// Multiply-adds of both layers.
    pub fn multiply_adds(&self) -> usize {
        2 * self.rows() * self.channels * self.width
    }
}

/// One tile of rows of one expert: expert, first row, end row, nothing. Empty where the rows are none.
pub type Tile = [i32; 4];

/// Where every cell goes. Made by [`gmoe_route::gmoe_route`] and nothing else, so that what the other kernels read through
/// it lies inside of their operands.
pub struct Routing<D: Device> {
    shape: GmoeShape,
    pub(crate) order: Buffer<i32, D>,
    pub(crate) place: Buffer<i32, D>,
    pub(crate) gate: Buffer<f32, D>,
    pub(crate) tiles: Buffer<Tile, D>,
}

impl<D: Device> Routing<D> {
    /// A routing of a shape that sends nothing anywhere yet.
    pub fn new(device: &D, shape: &GmoeShape) -> Result<Self, GpuError> {
        Ok(Self {
            shape: *shape,
            order: Buffer::of(device, &vec![0; shape.slots()])?,
            place: Buffer::of(device, &vec![0; shape.slots()])?,
            gate: Buffer::of(device, &vec![0.0; shape.slots()])?,
            tiles: Buffer::of(device, &vec![[0; 4]; shape.tiles()])?,
        })
    }

    /// The slot at each place: slots (cell x top_k + rank) sorted by expert, stable.
    pub fn order(&self) -> &Buffer<i32, D> {
        &self.order
    }

    /// The place of each slot.
    pub fn place(&self) -> &Buffer<i32, D> {
        &self.place
    }

    /// The weight of each slot.
    pub fn gate(&self) -> &Buffer<f32, D> {
        &self.gate
    }

    /// The tiles of the grouped products.
    pub fn tiles(&self) -> &Buffer<Tile, D> {
        &self.tiles
    }

    pub(crate) fn check(&self, kernel: &'static str, shape: &GmoeShape) -> Result<(), GpuError> {
        if self.shape == *shape {
            return Ok(());
        }
        Err(GpuError::Shape { kernel, problem: format!("a routing of {:?} was given for {shape:?}", self.shape) })
    }
}

/// One layer of all experts: weight `[experts, in, out]`, bias `[experts, out]`.
pub struct Layer<T: Plain, D: Device> {
    /// Weights.
    pub weight: Buffer<T, D>,
    /// Biases.
    pub bias: Buffer<T, D>,
}

impl<T: Plain, D: Device> Layer<T, D> {
    pub(crate) fn check(
        &self,
        kernel: &'static str,
        experts: usize,
        inputs: usize,
        outputs: usize,
    ) -> Result<(), GpuError> {
        self.weight.check(kernel, "weight", experts * inputs * outputs)?;
        self.bias.check(kernel, "bias", experts * outputs)
    }
}

/// What lies between the kernels, made once for a shape.
pub struct Workspace<T: Plain, D: Device> {
    /// Where the cells go.
    pub routing: Routing<D>,
    /// `[rows, width]`.
    pub hidden: Buffer<T, D>,
    /// `[rows, channels]`.
    pub mixed: Buffer<T, D>,
}

impl<T: Plain, D: Device> Workspace<T, D> {
    /// Memory for a shape.
    pub fn new(device: &D, shape: &GmoeShape) -> Result<Self, GpuError> {
        Ok(Self {
            routing: Routing::new(device, shape)?,
            hidden: Buffer::new(device, shape.rows() * shape.width())?,
            mixed: Buffer::new(device, shape.rows() * shape.channels())?,
        })
    }
}

/// What a mixture is computed from.
pub struct GmoeInputs<'a, T: Plain, D: Device> {
    /// `[cells, size, channels]`.
    pub x: &'a Buffer<T, D>,
    /// `[cells, experts]`.
    pub logits: &'a Buffer<f32, D>,
    /// `channels` to `width`.
    pub fc1: &'a Layer<T, D>,
    /// `width` to `channels`.
    pub fc2: &'a Layer<T, D>,
    /// Added to the mixture, `[cells, size, channels]`.
    pub residual: Option<&'a Buffer<T, D>>,
}

/// Sends each cell to its experts and adds what they give: four launches, nothing allocated, nothing waited for.
pub fn gmoe<T: Element, D: Device>(
    device: &D,
    shape: &GmoeShape,
    inputs: &GmoeInputs<T, D>,
    workspace: &mut Workspace<T, D>,
    out: &mut Buffer<T, D>,
) -> Result<(), GpuError> {
    let Workspace { routing, hidden, mixed } = workspace;
    gmoe_route::gmoe_route(device, shape, inputs.logits, routing)?;
    gmoe_fc1::gmoe_fc1(device, shape, inputs.x, inputs.fc1, routing, hidden)?;
    gmoe_fc2::gmoe_fc2(device, shape, hidden, inputs.fc2, routing, mixed)?;
    gmoe_combine::gmoe_combine(device, shape, mixed, inputs.residual, routing, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_the_kernels_cannot_compute_are_refused() {
        let refused = [
            ([0, 4], [6, 2], [64, 128], "0 cells"),
            ([4, 0], [6, 2], [64, 128], "0 tokens"),
            ([4, 4], [0, 0], [64, 128], "0 experts"),
            ([4, 4], [17, 2], [64, 128], "17 experts"),
            ([4, 4], [6, 7], [64, 128], "top_k = 7"),
            ([4, 4], [6, 2], [60, 128], "60 channels"),
            ([4, 4], [6, 2], [64, 0], "width of 0"),
            ([usize::MAX, 4], [6, 2], [64, 128], "split the batch"),
        ];
        for (cells, experts, channels, words) in refused {
            let error = GmoeShape::new(cells, experts, channels).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
