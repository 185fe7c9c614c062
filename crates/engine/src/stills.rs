//! Still pictures of any size, made into what the engine takes: a reference is cut into 256 px tiles at its own scale, a
//! query becomes one 256 px image around the click.

use image::RgbImage;

use crate::TILE_PX;
use crate::error::EngineError;
use crate::features::Features;
use crate::image::EncoderImage;
use crate::mosaic::Mosaic;
use crate::rectify::{Picture, Pyramid};

/// Most tiles of one reference: 64 x 64, a picture of 16,384 x 16,384 px.
pub const TILES_MAX: usize = 4096;

/// A reference picture cut into tiles, row-major from its upper left corner.
#[derive(Clone, Debug)]
pub struct TiledReference {
    /// Rows of tiles.
    pub rows: usize,
    /// Columns of tiles.
    pub columns: usize,
    /// Width of the picture itself, px.
    pub width_px: usize,
    /// Height of the picture itself, px.
    pub height_px: usize,
    /// The tiles.
    pub tiles: Vec<EncoderImage>,
}

impl TiledReference {
    /// Cuts `picture`. Where its size is not a multiple of 256, the last tiles repeat its right and lower edge pixels; the
    /// mosaic masks those cells, so nothing is ever found in the padding.
    pub fn cut(picture: &RgbImage) -> Result<TiledReference, EngineError> {
        let (width_px, height_px) = (picture.width() as usize, picture.height() as usize);
        let (rows, columns) = (height_px.div_ceil(TILE_PX), width_px.div_ceil(TILE_PX));
        if rows * columns == 0 {
            return Err(EngineError::Picture("the reference has no pixels".into()));
        }
        if rows * columns > TILES_MAX {
            let problem = format!(
                "a reference of {width_px} x {height_px} px has {} tiles, at most {TILES_MAX} are searched; cut out the part that matters",
                rows * columns
            );
            return Err(EngineError::Picture(problem));
        }
        let pixel = |x: usize, y: usize| picture.get_pixel(x.min(width_px - 1) as u32, y.min(height_px - 1) as u32).0;
        let tile = |index: usize| {
            let (left, top) = (index % columns * TILE_PX, index / columns * TILE_PX);
            EncoderImage::tile_from(|x, y| pixel(left + x, top + y))
        };
        let tiles = (0..rows * columns).map(tile).collect();
        Ok(TiledReference { rows, columns, width_px, height_px, tiles })
    }

    /// Columns on the right and rows at the bottom that were added to fill whole tiles, px.
    pub fn padding_px(&self) -> (usize, usize) {
        (self.columns * TILE_PX - self.width_px, self.rows * TILE_PX - self.height_px)
    }

    /// Lays the features of the tiles, in their order, side by side, with the padding masked.
    pub fn mosaic(&self, features: &[Features]) -> Result<Mosaic, EngineError> {
        let mosaic = Mosaic::of_tiles(self.rows, self.columns, features)?;
        Ok(if self.padding_px() == (0, 0) { mosaic } else { mosaic.clipped(self.width_px, self.height_px) })
    }
}

/// A query picture cut down to what the encoder takes.
#[derive(Clone, Debug)]
pub struct QueryCrop {
    /// The encoder's image, with its click map.
    pub image: EncoderImage,
    /// The click in that image, px.
    pub click: [f32; 2],
    /// Left edge of the square in the picture, px.
    pub left_px: f64,
    /// Upper edge of the square in the picture, px.
    pub top_px: f64,
    /// Edge of the square in the picture, px.
    pub side_px: f64,
}

impl QueryCrop {
    /// Cuts the largest square of `picture` that there is, centred on `click` (px of the picture) as far as the picture allows, and
    /// resizes it. A square picture is taken whole, as the CVOGL loaders do. Headings and scales stay what they are.
    pub fn cut(picture: &RgbImage, click: (f32, f32)) -> Result<QueryCrop, EngineError> {
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let (x, y) = (f64::from(click.0), f64::from(click.1));
        if !((0.0..width).contains(&x) && (0.0..height).contains(&y)) {
            let (width_px, height_px) = picture.dimensions();
            return Err(EngineError::Click { x: click.0, y: click.1, width_px, height_px });
        }
        let side_px = width.min(height);
        let inside = |at: f64, extent: f64| (at - side_px / 2.0).clamp(0.0, extent - side_px);
        let (left_px, top_px) = (inside(x, width), inside(y, height));
        let zoom = side_px / TILE_PX as f64;
        // Rounding to f32 must not move a click at the far edge out of the image.
        let within = |at: f64, start: f64| (((at - start) / zoom) as f32).clamp(0.0, TILE_PX as f32 - 0.001);
        let click = [within(x, left_px), within(y, top_px)];
        let (width_px, height_px) = (picture.width() as usize, picture.height() as usize);
        let pyramid = Pyramid::new(Picture { rgb: picture.as_raw(), width_px, height_px });
        let square = |u, v| Some((left_px + u * zoom, top_px + v * zoom));
        let image = pyramid.query((click[0], click[1]), square)?;
        Ok(QueryCrop { image, click, left_px, top_px, side_px })
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 77]))
    }

    #[test]
    fn a_reference_is_cut_at_its_own_scale_and_padded() {
        let tiled = TiledReference::cut(&gradient(600, 256)).unwrap();
        assert_eq!((tiled.rows, tiled.columns, tiled.padding_px()), (1, 3, (168, 0)));
        let at = |tile: usize, x: usize, y: usize| &tiled.tiles[tile].bytes()[(y * 256 + x) * 4..][..4];
        assert_eq!(at(1, 3, 9), [3, 9, 77, 0]);
        assert_eq!(at(2, 255, 9), [(599 % 256) as u8, 9, 77, 0]);
        let features = vec![Features::new(vec![0.0; 64].into(), 8, 1).unwrap(); 3];
        let mosaic = tiled.mosaic(&features).unwrap();
        // 600 px end inside of the 19th column of 32 px cells.
        assert!(!mosaic.is_masked(18) && mosaic.is_masked(19));
    }

    #[test]
    fn a_square_query_is_taken_whole() {
        let crop = QueryCrop::cut(&gradient(512, 512), (100.0, 400.0)).unwrap();
        assert_eq!((crop.left_px, crop.top_px, crop.side_px, crop.click), (0.0, 0.0, 512.0, [50.0, 200.0]));
    }

    #[test]
    fn a_wide_query_keeps_its_proportions_and_the_click() {
        let crop = QueryCrop::cut(&gradient(1280, 720), (1270.0, 10.0)).unwrap();
        assert_eq!((crop.left_px, crop.top_px, crop.side_px), (560.0, 0.0, 720.0));
        assert!((crop.click[0] - 710.0 * 256.0 / 720.0).abs() < 1e-3);
    }

    #[test]
    fn bad_queries_are_refused() {
        let picture = gradient(100, 50);
        for click in [(100.0, 3.0), (3.0, 50.0), (f32::NAN, 0.0), (-1.0, 0.0)] {
            assert!(QueryCrop::cut(&picture, click).is_err(), "{click:?}");
        }
    }
}
