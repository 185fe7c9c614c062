//! A search window: the features of rows x columns of tiles laid side by side as one reference map. Tiles that are not there
//! yet, and cells beyond the edge of the imagery, are masked: they can never be where the object is.

use std::fmt;
use std::sync::Arc;

use crate::TILE_PX;
use crate::error::EngineError;
use crate::features::Features;

/// Most cells a mosaic may have, 1,048,576: a window of 64 x 64 tiles at stride 16. More is a mistake of the caller.
pub const CELLS_MAX: usize = 1 << 20;

/// A reference map `[height, width, channels]` row-major, f32, and which of its cells count. Cloning shares the numbers.
#[derive(Clone)]
pub struct Mosaic {
    values: Arc<[f32]>,
    tiles: Arc<[Option<Features>]>,
    masked: Option<Arc<[bool]>>,
    width: usize,
    height: usize,
    channels: usize,
    cells: usize,
}

impl Mosaic {
    /// Lays `rows` x `columns` tiles side by side; `tiles` is row-major from the upper left (north-west), `None` where a
    /// tile is missing. All tiles must be of one shape and at least one must be there.
    pub fn assemble(rows: usize, columns: usize, tiles: &[Option<&Features>]) -> Result<Mosaic, EngineError> {
        let first = check_grid(rows, columns, tiles)?;
        let (cells, channels) = (first.cells(), first.channels());
        let (width, height) = (columns * cells, rows * cells);
        let mut values: Arc<[f32]> = std::iter::repeat_n(0.0, width * height * channels).collect();
        let buffer = Arc::get_mut(&mut values).expect("nobody else has seen the new buffer");
        let row_length = cells * channels;
        for (index, chunk) in buffer.chunks_exact_mut(row_length).enumerate() {
            let (map_row, column) = (index / columns, index % columns);
            if let Some(tile) = tiles[map_row / cells * columns + column] {
                chunk.copy_from_slice(tile.row(map_row % cells));
            }
        }
        let masked = tiles.iter().any(Option::is_none).then(|| {
            let cell_is_missing = |at: usize| tiles[at / width / cells * columns + at % width / cells].is_none();
            (0..width * height).map(cell_is_missing).collect()
        });
        let tiles = tiles.iter().map(|tile| tile.cloned()).collect();
        Ok(Mosaic { values, tiles, masked, width, height, channels, cells })
    }

    /// A mosaic of complete tiles; see [`Mosaic::assemble`].
    pub fn of_tiles(rows: usize, columns: usize, tiles: &[Features]) -> Result<Mosaic, EngineError> {
        let present: Vec<Option<&Features>> = tiles.iter().map(Some).collect();
        Mosaic::assemble(rows, columns, &present)
    }

    /// The same map with every cell masked whose upper left corner is at or beyond `width_px` or `height_px`: where imagery
    /// was padded to whole tiles.
    pub fn clipped(self, width_px: usize, height_px: usize) -> Mosaic {
        let stride_px = self.stride_px();
        let beyond = |at: usize| at % self.width * stride_px >= width_px || at / self.width * stride_px >= height_px;
        let masked = (0..self.width * self.height).map(|at| beyond(at) || self.is_masked(at)).collect();
        Mosaic { masked: Some(masked), ..self }
    }

    /// What it was laid of, row-major from the upper left: shared with whoever keeps these features.
    pub fn tiles(&self) -> &[Option<Features>] {
        &self.tiles
    }

    /// Width of the map, cells.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height of the map, cells.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Numbers a cell.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Reference pixels a cell.
    pub fn stride_px(&self) -> usize {
        TILE_PX / self.cells
    }

    /// All numbers, `[height, width, channels]` row-major; zero where a tile is missing.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether the cell with this row-major index can not be where the object is.
    pub fn is_masked(&self, index: usize) -> bool {
        self.masked.as_ref().is_some_and(|masked| masked[index])
    }

    /// Sets the logits of masked cells to minus infinity, which decodes to a probability of zero.
    pub fn mask(&self, heat: &mut [f32]) {
        if let Some(masked) = &self.masked {
            for (logit, _) in heat.iter_mut().zip(masked.iter()).filter(|(_, masked)| **masked) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// Whether both are clones of one mosaic, so that their requests can share a run.
    pub fn shares_with(&self, other: &Mosaic) -> bool {
        let same_mask = match (&self.masked, &other.masked) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        Arc::ptr_eq(&self.values, &other.values) && same_mask
    }
}

impl fmt::Debug for Mosaic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mosaic({} x {} x {})", self.height, self.width, self.channels)
    }
}

fn check_grid<'a>(rows: usize, columns: usize, tiles: &[Option<&'a Features>]) -> Result<&'a Features, EngineError> {
    let problem = |text: String| Err(EngineError::Shape(text));
    if rows.checked_mul(columns) != Some(tiles.len()) || tiles.is_empty() {
        return problem(format!("{} tiles do not fill a window of {rows} x {columns}", tiles.len()));
    }
    let Some(first) = tiles.iter().flatten().next().copied() else { return Err(EngineError::EmptyWindow) };
    if tiles.len().saturating_mul(first.cells() * first.cells()) > CELLS_MAX {
        return problem(format!("a window of {rows} x {columns} tiles has more than {CELLS_MAX} cells"));
    }
    let odd = tiles.iter().flatten().find(|tile| (tile.cells(), tile.channels()) != (first.cells(), first.channels()));
    match odd {
        Some(tile) => {
            problem(format!("a window cannot hold both {first:?} and {tile:?}; encode all tiles with one package"))
        }
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 x 2 cells of one channel, numbered from `start`.
    fn tile(start: f32) -> Features {
        Features::new((0..4).map(|i| start + i as f32).collect(), 2, 1).unwrap()
    }

    #[test]
    fn tiles_lie_side_by_side() {
        let tiles = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0].map(tile);
        let mosaic = Mosaic::of_tiles(2, 3, &tiles).unwrap();
        assert_eq!((mosaic.width(), mosaic.height(), mosaic.stride_px()), (6, 4, 128));
        #[rustfmt::skip]
        let expected = [
            0.0, 1.0, 10.0, 11.0, 20.0, 21.0,
            2.0, 3.0, 12.0, 13.0, 22.0, 23.0,
            30.0, 31.0, 40.0, 41.0, 50.0, 51.0,
            32.0, 33.0, 42.0, 43.0, 52.0, 53.0,
        ];
        assert_eq!(mosaic.values(), expected);
        assert!((0..24).all(|at| !mosaic.is_masked(at)));
    }

    #[test]
    fn missing_tiles_and_padding_are_masked() {
        let present = tile(1.0);
        let mosaic = Mosaic::assemble(1, 2, &[Some(&present), None]).unwrap();
        let mut heat = vec![0.5; 8];
        mosaic.mask(&mut heat);
        let gone = f32::NEG_INFINITY;
        assert_eq!(heat, [0.5, 0.5, gone, gone, 0.5, 0.5, gone, gone]);

        let mut heat = vec![0.5; 8];
        mosaic.clipped(512, 128).mask(&mut heat);
        assert_eq!(heat, [0.5, 0.5, gone, gone, gone, gone, gone, gone]);
    }

    #[test]
    fn only_a_full_grid_of_equal_tiles_is_a_window() {
        let wide = Features::new((0..8).map(|i| i as f32).collect(), 2, 2).unwrap();
        assert!(Mosaic::of_tiles(1, 2, &[tile(0.0)]).is_err());
        assert!(Mosaic::of_tiles(0, 0, &[]).is_err());
        assert!(Mosaic::of_tiles(usize::MAX, 2, &[tile(0.0)]).is_err());
        assert!(Mosaic::of_tiles(1, 2, &[tile(0.0), wide]).is_err());
        assert!(matches!(Mosaic::assemble(1, 1, &[None]), Err(EngineError::EmptyWindow)));
    }
}
