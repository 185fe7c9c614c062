//! The tiles of an area, and their pictures drawn from an orthophoto.

use smgeo_engine::TILE_PX;
use smgeo_ortho::{Georeference, OrthoError, Picture, System};

use crate::data::Raster;

/// Greatest share of a tile's pixels that may be empty.
const EMPTY_MAX: f64 = 0.1;
/// Greatest share of a tile's pixels that may have one colour: what nothing was laid over is of one.
const ONE_COLOUR_MAX: f64 = 0.5;
/// Tiles a side beyond which an area is a mistake: 1500 km at 0.6 m a pixel.
const SIDE_TILES_MAX: f64 = 10_000.0;

/// A grid of tiles on the plane of an area, from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    corner: [f64; 2],
    /// Units of the plane a pixel, right and down.
    step: [f64; 2],
    /// Rows of tiles.
    pub rows: usize,
    /// Columns of tiles.
    pub columns: usize,
}

/// A tile of one date.
pub struct Tile {
    /// Its column; its row is the one asked for.
    pub column: usize,
    /// Its picture, black where it is empty.
    pub picture: Raster,
    empty_px: usize,
}

impl Grid {
    /// Covers left, bottom, right, top with tiles of `gsd_m` metres a pixel; nothing where that is not on the Earth or too much.
    pub fn over([left, bottom, right, top]: [f64; 4], system: System, gsd_m: f64) -> Option<Self> {
        let unit_m = system.metres_per_unit([(left + right) / 2.0, (bottom + top) / 2.0])?;
        let step = unit_m.map(|metres| gsd_m / metres);
        let tiles = |extent: f64, step: f64| {
            // A millimetre more than a whole number of tiles is rounding.
            let count = (extent / step / TILE_PX as f64 - 1e-5).ceil().max(1.0);
            (count <= SIDE_TILES_MAX).then_some(count as usize)
        };
        let (columns, rows) = (tiles(right - left, step[0])?, tiles(top - bottom, step[1])?);
        Some(Self { corner: [left, top], step, rows, columns })
    }

    /// Where a point of the plane lies in pixels, from the corner of the first tile.
    pub fn pixel_of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [(x - self.corner[0]) / self.step[0], (self.corner[1] - y) / self.step[1]]
    }

    /// Draws the tiles of a row that a picture touches.
    pub fn draw(
        &self,
        picture: &mut Picture,
        at: &Georeference,
        row: usize,
        size_px: [f64; 2],
    ) -> Result<Vec<Tile>, OrthoError> {
        let touched = (0..self.columns).filter(|&column| self.touches(at, [column, row], size_px));
        let mut tiles: Vec<Tile> = touched.map(Tile::empty).collect();
        let [corner, right, below] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].map(|pixel| self.source_of(at, pixel));
        let side = |end: [f64; 2]| [end[0] - corner[0], end[1] - corner[1]];
        let cell = [side(right), side(below)];
        // Line by line over all tiles, so that a picture in strips is read once.
        for y in 0..TILE_PX {
            for tile in &mut tiles {
                for x in 0..TILE_PX {
                    let pixel = [tile.column * TILE_PX + x, row * TILE_PX + y].map(|place| place as f64);
                    tile.set(x, y, picture.mean(self.source_of(at, pixel), cell)?);
                }
            }
        }
        Ok(tiles)
    }

    /// The pixel of the picture at a pixel of the grid.
    fn source_of(&self, at: &Georeference, [x, y]: [f64; 2]) -> [f64; 2] {
        at.pixel_of([self.corner[0] + x * self.step[0], self.corner[1] - y * self.step[1]])
    }

    fn touches(&self, at: &Georeference, tile: [usize; 2], size_px: [f64; 2]) -> bool {
        let place =
            |right: usize, down: usize| [(tile[0] + right) * TILE_PX, (tile[1] + down) * TILE_PX].map(|p| p as f64);
        let corners = [place(0, 0), place(1, 0), place(0, 1), place(1, 1)].map(|corner| self.source_of(at, corner));
        (0..2).all(|axis| {
            corners.iter().any(|corner| corner[axis] > 0.0) && corners.iter().any(|corner| corner[axis] < size_px[axis])
        })
    }
}

impl Tile {
    fn empty(column: usize) -> Self {
        Self { column, picture: Raster::filled(TILE_PX, TILE_PX, [0; 3]), empty_px: 0 }
    }

    fn set(&mut self, x: usize, y: usize, colour: Option<[u8; 3]>) {
        match colour {
            Some(colour) => self.picture.rgb_mut()[(y * TILE_PX + x) * 3..][..3].copy_from_slice(&colour),
            None => self.empty_px += 1,
        }
    }

    /// Whether the tile shows ground: little of it is empty, and it is not all of one colour, give or take what JPEG does to one.
    pub fn shows_ground(&self) -> bool {
        let pixels = (TILE_PX * TILE_PX) as f64;
        let mut counts = vec![0_u32; 1 << 15];
        for pixel in self.picture.rgb().chunks_exact(3) {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(|level| usize::from(level >> 3));
            counts[red << 10 | green << 5 | blue] += 1;
        }
        let most = f64::from(counts.into_iter().max().unwrap_or_default());
        self.empty_px as f64 <= EMPTY_MAX * pixels && most <= ONE_COLOUR_MAX * pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_that_show_nothing_are_told_apart() {
        let check = |paint: fn(usize, usize) -> Option<[u8; 3]>, shows: bool| {
            let mut tile = Tile::empty(0);
            (0..TILE_PX).for_each(|y| (0..TILE_PX).for_each(|x| tile.set(x, y, paint(x, y))));
            assert_eq!(tile.shows_ground(), shows);
        };
        check(|x, y| Some([(x * 3) as u8, (y * 5) as u8, 40]), true);
        check(|x, y| (x >= 20).then_some([(x * 3) as u8, (y * 5) as u8, 40]), true);
        check(|x, y| (x >= 40).then_some([(x * 3) as u8, (y * 5) as u8, 40]), false);
        check(|x, y| Some(if x < 150 { [255; 3] } else { [(x * 3) as u8, (y * 5) as u8, 40] }), false);
        check(|x, _| Some([(x % 3) as u8, 1, 2]), false);
        check(|_, _| None, false);
    }

    #[test]
    fn a_grid_covers_its_bounds_and_an_absurd_one_is_refused() {
        let grid = Grid::over([100.0, 0.0, 100.0 + 3.0 * 153.6, 150.0], System::Picture, 0.6).unwrap();
        assert_eq!((grid.rows, grid.columns), (1, 3));
        assert_eq!(grid.pixel_of([106.0, 144.0]), [10.0, 10.0]);
        assert_eq!(Grid::over([0.0, 0.0, 1e7, 1.0], System::Picture, 0.6), None);
    }
}
