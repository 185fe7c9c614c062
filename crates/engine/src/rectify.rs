//! The query crop: a piece of the drone's frame, laid out as the network was trained to see it.
//!
//! With a pose the crop is north up at the map's scale, so query and map differ by relief, light and season but not by
//! rotation and scale; without one it is a square of the frame around the click. Both are the same operation, a map from
//! crop pixels to frame pixels, sampled without aliasing from a pyramid of halved frames. Training makes its queries with this
//! very code, so what flies is what was trained.

mod cell;
mod halving;

use std::fmt;
use std::sync::Arc;

use crate::TILE_PX;
use crate::error::EngineError;
use crate::image::EncoderImage;
use crate::vector::{Vectorised, vectorised};

use cell::{AREA, Cell, Sums};
use halving::halved;

/// Is the value of crop pixels that the camera did not see.
const UNSEEN: u8 = 0;

/// Caps the halvings: 2^5 frame pixels a crop pixel is a drone too high to see anything.
const LEVELS_MAX: usize = 6;

/// A level with a shorter edge is not halved again.
const HALVED_EDGE_PX_MIN: usize = 64;

/// Is how far apart, in crop pixels, the map is asked.
const STRIDE_PX: usize = 8;

/// Points along an edge of the crop at which it is asked, ends included.
const CORNERS: usize = TILE_PX / STRIDE_PX + 1;

/// Is a borrowed RGB picture: `height_px` rows of `width_px` pixels of three bytes.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The bytes, `width_px * height_px * 3` of them.
    pub rgb: &'a [u8],
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
}

impl<'a> Picture<'a> {
    fn check(self) {
        assert_eq!(self.rgb.len(), self.width_px * self.height_px * 3, "a picture's bytes fit its size");
        assert!(!self.rgb.is_empty(), "a picture has pixels");
    }

    #[inline(always)]
    fn level(self) -> Level<'a, 3> {
        Level { bytes: self.rgb, width_px: self.width_px, height_px: self.height_px }
    }
}

/// Are the halvings of a picture, finest first, made once a frame and shared by all targets in it.
#[derive(Default)]
pub struct Halvings(Vec<Halving>);

impl Halvings {
    /// Halves `picture` as long as it stays larger than a crop.
    ///
    /// # Panics
    /// When the picture's bytes are not `width_px * height_px * 3`, or there are none.
    pub fn of(picture: Picture<'_>) -> Self {
        picture.check();
        let mut halvings = Vec::with_capacity(LEVELS_MAX - 1);
        let mut edge_px = picture.width_px.min(picture.height_px);
        while halvings.len() + 1 < LEVELS_MAX && edge_px >= HALVED_EDGE_PX_MIN {
            let halving = match halvings.last() {
                None => Halving::of(picture.level()),
                Some(coarsest) => Halving::of(Halving::level(coarsest)),
            };
            halvings.push(halving);
            edge_px /= 2;
        }
        Self(halvings)
    }

    /// Returns the picture halved so many times, once or more, if it was: columns, rows, and four bytes a pixel of which the last
    /// means nothing.
    pub fn halved(&self, times: usize) -> Option<(usize, usize, &[u8])> {
        let Halving { rgbx, width_px, height_px } = self.0.get(times.checked_sub(1)?)?;
        Some((*width_px, *height_px, rgbx))
    }
}

impl fmt::Debug for Halvings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Halvings({})", self.0.len())
    }
}

/// Is a picture with its halvings.
pub struct Pyramid<'a> {
    full: Picture<'a>,
    halvings: Arc<Halvings>,
}

/// Is a picture of half the size, with a byte that means nothing after each three: pixels of four are read and written at once.
struct Halving {
    rgbx: Vec<u8>,
    width_px: usize,
    height_px: usize,
}

impl Halving {
    fn of<const BYTES: usize>(fine: Level<'_, BYTES>) -> Self {
        Self { rgbx: halved(fine), width_px: fine.width_px / 2, height_px: fine.height_px / 2 }
    }

    #[inline(always)]
    fn level(&self) -> Level<'_, 4> {
        Level { bytes: &self.rgbx, width_px: self.width_px, height_px: self.height_px }
    }
}

/// Is a picture of so many bytes a pixel.
#[derive(Clone, Copy)]
struct Level<'a, const BYTES: usize> {
    bytes: &'a [u8],
    width_px: usize,
    height_px: usize,
}

impl<'a> Pyramid<'a> {
    /// Halves a picture.
    ///
    /// # Panics
    /// When the picture's bytes are not `width_px * height_px * 3`, or there are none.
    pub fn new(picture: Picture<'a>) -> Self {
        Self::over(picture, Arc::new(Halvings::of(picture)))
    }

    /// Lays a picture over the halvings that were made of it.
    ///
    /// # Panics
    /// When the picture's bytes are not `width_px * height_px * 3`, or there are none.
    pub fn over(picture: Picture<'a>, halvings: Arc<Halvings>) -> Self {
        picture.check();
        Self { full: picture, halvings }
    }

    /// Samples a [`TILE_PX`]² RGB crop.
    ///
    /// `frame_from_crop` takes a point of the crop to a point of the frame, both in pixels from the outer corner of the first
    /// pixel, or to `None` where the camera cannot see. Crop pixels outside the frame are black.
    ///
    /// The map is asked every [`STRIDE_PX`] pixels and drawn straight between: over so few pixels no camera bends more than a
    /// hair. A cell with a corner that the camera cannot see is not seen at all.
    pub fn crop(&self, frame_from_crop: impl Fn(f64, f64) -> Option<(f64, f64)>) -> Vec<u8> {
        let mut rgb = vec![UNSEEN; TILE_PX * TILE_PX * 3];
        self.paint::<3>(&corners(frame_from_crop), rgb.as_chunks_mut().0);
        rgb
    }

    /// Samples the same crop straight into the encoder's image of a query that is clicked at `click`.
    pub fn query(
        &self,
        click: (f32, f32),
        frame_from_crop: impl Fn(f64, f64) -> Option<(f64, f64)>,
    ) -> Result<EncoderImage, EngineError> {
        let corners = corners(frame_from_crop);
        EncoderImage::query_painted(click, |pixels| self.paint(&corners, pixels))
    }

    /// Knows no type of the caller's, so that it is compiled here, as this crate is, and not as the caller is. Another core, where one
    /// is free, paints the southern half.
    fn paint<const BYTES: usize>(&self, corners: &Corners, pixels: &mut [[u8; BYTES]]) {
        const HALF: usize = TILE_PX / 2;
        let (north, south) = pixels.split_at_mut(HALF * TILE_PX);
        let southern = &corners[HALF / STRIDE_PX * CORNERS..];
        rayon::in_place_scope(|beside| {
            beside.spawn(|_| vectorised(Painting { pyramid: self, corners: southern, pixels: south }));
            vectorised(Painting { pyramid: self, corners, pixels: north });
        });
    }

    /// The depth of the coarsest level.
    fn last(&self) -> usize {
        self.halvings.0.len()
    }
}

/// Where the corners of all cells lie in the frame, row by row.
type Corners = [Option<(f64, f64)>; CORNERS * CORNERS];

fn corners(frame_from_crop: impl Fn(f64, f64) -> Option<(f64, f64)>) -> Corners {
    std::array::from_fn(|at| {
        let (column, row) = (at % CORNERS * STRIDE_PX, at / CORNERS * STRIDE_PX);
        frame_from_crop(column as f64, row as f64).filter(|(x, y)| x.is_finite() && y.is_finite())
    })
}

/// Is a crop that is being painted, cell by cell. Of pixels of four bytes the last is left as it is.
struct Painting<'a, const BYTES: usize> {
    pyramid: &'a Pyramid<'a>,
    corners: &'a [Option<(f64, f64)>],
    pixels: &'a mut [[u8; BYTES]],
}

impl<const BYTES: usize> Vectorised for Painting<'_, BYTES> {
    #[inline(always)]
    fn run(self) {
        let Self { pyramid, corners, pixels } = self;
        for (row, rows) in pixels.chunks_exact_mut(STRIDE_PX * TILE_PX).enumerate() {
            for column in 0..CORNERS - 1 {
                let north_west = row * CORNERS + column;
                let around = [north_west, north_west + 1, north_west + CORNERS, north_west + CORNERS + 1];
                if let [Some(nw), Some(ne), Some(sw), Some(se)] = around.map(|at| corners[at]) {
                    let colours = colours(pyramid, &Cell::between([nw, ne, sw, se], pyramid.last()));
                    paint(&colours, &mut rows[column * STRIDE_PX..]);
                }
            }
        }
    }
}

/// Returns the colours of a cell's pixels, red in the lowest byte.
#[inline(always)]
fn colours(pyramid: &Pyramid<'_>, cell: &Cell) -> [u32; AREA] {
    let full_px = [pyramid.full.width_px, pyramid.full.height_px];
    let mut sums = Sums::new();
    for depth in cell.levels() {
        match depth.checked_sub(1) {
            None => cell.add(pyramid.full.level(), depth, full_px, &mut sums),
            Some(halving) => cell.add(pyramid.halvings.0[halving].level(), depth, full_px, &mut sums),
        }
    }
    sums.colours()
}

/// Writes a cell's pixels to where the first of them stands in the rows of the crop.
#[inline(always)]
fn paint<const BYTES: usize>(colours: &[u32; AREA], rows: &mut [[u8; BYTES]]) {
    for (colours, row) in colours.chunks_exact(STRIDE_PX).zip(rows.chunks_mut(TILE_PX)) {
        for (pixel, colour) in row[..STRIDE_PX].iter_mut().zip(colours) {
            pixel[..3].copy_from_slice(&colour.to_le_bytes()[..3]);
        }
    }
}

#[cfg(test)]
mod tests;
