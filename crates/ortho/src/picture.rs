//! The pixels of an orthophoto, and the colour of a piece of ground in it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{ImageReader, Limits, RgbaImage};

use crate::parts::{Parts, decoder};
use crate::{Georeference, OrthoError};

/// The most that a picture which is decoded whole may take.
const WHOLE_BYTES_MAX: u64 = 4 << 30;
/// The most samples in a row that a mean is taken of.
const SAMPLES_MAX: f64 = 16.0;
/// So few samples in a row are taken between pixels, or the mean would be off by part of one.
const FEW: f64 = 2.0;

/// Is what a file says about its picture before anything is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Width and height in pixels.
    pub size_px: [f64; 2],
    /// Where it lies, where the file says so.
    pub georeference: Option<Georeference>,
}

/// Gives the pixels of a picture.
pub struct Picture {
    path: PathBuf,
    width: i64,
    height: i64,
    pixels: Pixels,
}

enum Pixels {
    Whole(RgbaImage),
    Parts(Box<Parts>),
}

impl Header {
    /// Reads the header of a picture.
    pub fn read(path: &Path) -> Result<Self, OrthoError> {
        if is_tiff(path) {
            let mut decoder = decoder(path)?;
            let (width, height) = decoder.dimensions().map_err(OrthoError::tiff(path))?;
            let georeference =
                Georeference::of_tiff(&mut decoder).map_err(|reason| OrthoError::refused(path, reason))?;
            return Ok(Self { size_px: [f64::from(width), f64::from(height)], georeference });
        }
        let size = reader(path)?.into_dimensions();
        let (width, height) = size.map_err(|source| OrthoError::Picture { path: path.to_owned(), source })?;
        Ok(Self { size_px: [f64::from(width), f64::from(height)], georeference: None })
    }
}

impl Picture {
    /// Opens a TIFF, to be read by parts, or another picture, whole.
    pub fn open(path: &Path) -> Result<Self, OrthoError> {
        let (width, height, pixels) = if is_tiff(path) {
            let mut decoder = decoder(path)?;
            let (width, height) = decoder.dimensions().map_err(OrthoError::tiff(path))?;
            (width, height, Pixels::Parts(Box::new(Parts::of(decoder, width, path)?)))
        } else {
            let mut reader = reader(path)?;
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(WHOLE_BYTES_MAX);
            reader.limits(limits);
            let decoded = reader.decode().map_err(|source| OrthoError::Picture { path: path.to_owned(), source })?;
            let picture = decoded.into_rgba8();
            (picture.width(), picture.height(), Pixels::Whole(picture))
        };
        Ok(Self { path: path.to_owned(), width: i64::from(width), height: i64::from(height), pixels })
    }

    /// Returns the mean colour of a parallelogram, of a corner and the two sides from it in pixels; nothing where less than half of
    /// it has a colour.
    pub fn mean(&mut self, corner: [f64; 2], [along, down]: [[f64; 2]; 2]) -> Result<Option<[u8; 3]>, OrthoError> {
        let steps = |side: [f64; 2]| (side[0].hypot(side[1]) - 1e-3).ceil().clamp(1.0, SAMPLES_MAX);
        let (columns, rows) = (steps(along), steps(down));
        let (mut sum, mut count) = ([0.0_f32; 3], 0.0);
        for row in 0..rows as usize {
            for column in 0..columns as usize {
                let (s, t) = ((column as f64 + 0.5) / columns, (row as f64 + 0.5) / rows);
                let [u, v] = [0, 1].map(|axis| corner[axis] + along[axis] * s + down[axis] * t);
                // Of many pixels the nearest ones do.
                let sample = if columns.min(rows) > FEW {
                    self.colour(u.floor() as i64, v.floor() as i64)?.map(|colour| colour.map(f32::from))
                } else {
                    self.sample([u, v])?
                };
                if let Some(colour) = sample {
                    sum.iter_mut().zip(colour).for_each(|(sum, level)| *sum += level);
                    count += 1.0;
                }
            }
        }
        Ok((f64::from(count) >= rows * columns / 2.0).then(|| sum.map(|sum| (sum / count + 0.5) as u8)))
    }

    /// The bilinear colour at a point in pixels, of those of the four pixels around it that have one; nothing where they are less
    /// than half of it.
    fn sample(&mut self, [u, v]: [f64; 2]) -> Result<Option<[f32; 3]>, OrthoError> {
        let (left, top) = ((u - 0.5).floor(), (v - 0.5).floor());
        let (right_share, lower_share) = (u - 0.5 - left, v - 0.5 - top);
        let (mut sum, mut shares) = ([0.0_f32; 3], 0.0);
        for (x, x_share) in [(left, 1.0 - right_share), (left + 1.0, right_share)] {
            for (y, y_share) in [(top, 1.0 - lower_share), (top + 1.0, lower_share)] {
                let share = (x_share * y_share) as f32;
                if share > 0.0
                    && let Some(colour) = self.colour(x as i64, y as i64)?
                {
                    sum.iter_mut().zip(colour).for_each(|(sum, level)| *sum += share * f32::from(level));
                    shares += share;
                }
            }
        }
        Ok((shares >= 0.5).then(|| sum.map(|sum| sum / shares)))
    }

    /// The colour of a pixel; nothing outside the picture and where it is empty.
    fn colour(&mut self, x: i64, y: i64) -> Result<Option<[u8; 3]>, OrthoError> {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return Ok(None);
        }
        match &mut self.pixels {
            Pixels::Whole(picture) => {
                let [red, green, blue, alpha] = picture.get_pixel(x as u32, y as u32).0;
                Ok((alpha > 0).then_some([red, green, blue]))
            }
            Pixels::Parts(parts) => {
                let damaged = |source| OrthoError::Part { path: self.path.clone(), source };
                parts.colour(x as u32, y as u32).map_err(damaged)
            }
        }
    }
}

fn is_tiff(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["tif", "tiff"].iter().any(|tiff| extension.eq_ignore_ascii_case(tiff)))
}

fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, OrthoError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    reader.map_err(|source| OrthoError::Read { path: path.to_owned(), source })
}
