//! A block of tiles cut from one ground, at a scale and an orientation, and its place in a search window.

use nalgebra::Matrix3;
use rand::{Rng, RngExt};
use smgeo_engine::TILE_PX;

use super::Raster;
use super::ground::Ground;
use super::planar::{Planar, inverse, map_affine, scale, shift, symmetry};

/// A block of `rows` x `columns` tiles on a ground.
#[derive(Clone, Debug)]
pub struct Region {
    /// Index of the ground.
    pub ground: usize,
    /// Which layer (date) the map shows.
    pub layer: usize,
    /// From ground pixels to region pixels.
    pub region_from_ground: Planar,
    /// Rows of tiles.
    pub rows: usize,
    /// Columns of tiles.
    pub columns: usize,
    /// Row of the region's first tile in the window.
    pub window_row: usize,
    /// Column of the region's first tile in the window.
    pub window_column: usize,
}

impl Region {
    /// Lays a region of `rows` x `columns` tiles over a ground so that the ground point `aim` comes to `at` (both from the
    /// upper left, `at` in region pixels), `zoom` region pixels a ground pixel, turned by `turn`.
    pub fn around(aim: [f64; 2], at: [f64; 2], zoom: f64, turn: &Planar, (rows, columns): (usize, usize)) -> Self {
        let region_from_ground = shift(at[0], at[1]) * scale(zoom) * turn * shift(-aim[0], -aim[1]);
        Self { ground: 0, layer: 0, region_from_ground, rows, columns, window_row: 0, window_column: 0 }
    }

    /// Lays a region at random so that it stays inside the ground where it fits, and about its middle where it does not.
    pub fn draw(rng: &mut impl Rng, ground: &Ground, zoom: f64, size: (usize, usize)) -> Self {
        let turn = symmetry(rng);
        let (width, height) = Self::size_px(size);
        let half_turned = map_affine(&turn.transpose(), [width / 2.0 / zoom, height / 2.0 / zoom]).map(f64::abs);
        let extent = [ground.layers[0].width() as f64, ground.layers[0].height() as f64];
        let mut place = |axis: usize| {
            let (least, most) = (half_turned[axis], extent[axis] - half_turned[axis]);
            if least < most { rng.random_range(least..most) } else { extent[axis] / 2.0 }
        };
        let aim = [place(0), place(1)];
        Self::around(aim, [width / 2.0, height / 2.0], zoom, &turn, size)
    }

    /// Width and height in region pixels of a region of (rows, columns) tiles.
    pub fn size_px((rows, columns): (usize, usize)) -> (f64, f64) {
        ((columns * TILE_PX) as f64, (rows * TILE_PX) as f64)
    }

    /// From region pixels to ground pixels.
    pub fn ground_from_region(&self) -> Planar {
        inverse(&self.region_from_ground)
    }

    /// Region pixels per ground pixel.
    pub fn zoom(&self) -> f64 {
        let m: &Matrix3<f64> = &self.region_from_ground;
        (m[(0, 0)] * m[(1, 1)] - m[(0, 1)] * m[(1, 0)]).abs().sqrt()
    }

    /// Where a ground point lies in the window; `None` outside the region.
    pub fn window_px(&self, ground_px: [f64; 2]) -> Option<[f64; 2]> {
        let [x, y] = map_affine(&self.region_from_ground, ground_px);
        let (width, height) = Self::size_px((self.rows, self.columns));
        let inside = x >= 0.0 && y >= 0.0 && x < width && y < height;
        inside.then(|| [x + (self.window_column * TILE_PX) as f64, y + (self.window_row * TILE_PX) as f64])
    }

    /// The picture of the whole region.
    pub fn picture(&self, ground: &Ground) -> Raster {
        let ground_from_region = self.ground_from_region();
        let (width, height) = Self::size_px((self.rows, self.columns));
        let layer = &ground.layers[self.layer];
        // Shrinking by less than a half aliases little; stronger shrinking is not drawn.
        layer.warp(width as usize, height as usize, [0; 3], |x, y| Some(map_affine(&ground_from_region, [x, y])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ground::Source;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn ground(width: usize, height: usize) -> Ground {
        Ground {
            name: "a".into(),
            group: "a".into(),
            source: Source::Dubai,
            gsd_m: 0.6,
            layers: vec![Raster::filled(width, height, [200; 3])],
            boxes: Vec::new(),
            frames: Vec::new(),
        }
    }

    #[test]
    fn a_drawn_region_shows_ground_everywhere() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let ground = ground(1300, 1200);
        for _ in 0..12 {
            let region = Region::draw(&mut rng, &ground, 1.0, (2, 4));
            assert!(region.picture(&ground).rgb().iter().all(|&level| level == 200));
        }
    }

    #[test]
    fn a_place_that_fits_exactly_is_its_tile() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let region = Region::draw(&mut rng, &ground(256, 256), 1.0, (1, 1));
        let [x, y] = region.window_px([128.0, 128.0]).unwrap();
        assert!((x - 128.0).abs() < 1e-9 && (y - 128.0).abs() < 1e-9);
        assert!(region.window_px([260.0, 128.0]).is_none());
        assert!((region.zoom() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_window_position_counts_the_tiles_before_the_region() {
        let mut region = Region::around([10.0, 20.0], [0.0, 0.0], 2.0, &Planar::identity(), (1, 1));
        region.window_row = 1;
        region.window_column = 2;
        assert_eq!(region.window_px([15.0, 25.0]), Some([522.0, 266.0]));
    }
}
