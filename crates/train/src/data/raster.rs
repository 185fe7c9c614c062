//! An RGB picture in memory, sampled at continuous coordinates.
//!
//! (0, 0) is the outer corner of the first pixel, so pixel `i` has its centre at `i + 0.5`; every coordinate in this crate
//! follows that rule.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use super::DataError;

/// An RGB picture, 8 bits a channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Raster {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    /// Takes `width * height * 3` bytes.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self, DataError> {
        if rgb.len() != width * height * 3 {
            return Err(DataError::Pixels { width, height, bytes: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// Reads a JPEG, PNG, WebP or TIFF file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let picture =
            image::open(path).map_err(|source| DataError::Picture { path: path.to_owned(), source })?.into_rgb8();
        let (width, height) = picture.dimensions();
        Ok(Self { width: width as usize, height: height as usize, rgb: picture.into_raw() })
    }

    /// Writes a PNG, or a JPEG of quality 92 if the name ends in `.jpg`.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let fail = |source| DataError::Picture { path: path.to_owned(), source };
        if path.extension().is_some_and(|extension| extension == "jpg") {
            let bytes = self.to_jpeg(92).map_err(fail)?;
            return std::fs::write(path, bytes).map_err(|source| DataError::Write { path: path.to_owned(), source });
        }
        image::save_buffer(path, &self.rgb, self.width as u32, self.height as u32, ExtendedColorType::Rgb8)
            .map_err(fail)
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes, row by row, RGB.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// All bytes, to be changed in place.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The colour of pixel column `x`, row `y`, which must lie inside.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Whether a continuous coordinate lies inside the picture.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64
    }

    /// The bilinear colour at a continuous coordinate; `None` outside the picture. Within half a pixel of the border the
    /// border pixel is repeated.
    pub fn sample(&self, x: f32, y: f32) -> Option<[f32; 3]> {
        if !(x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32) {
            return None;
        }
        let (u, v) = ((x - 0.5).max(0.0), (y - 0.5).max(0.0));
        let (x0, y0) = (u as usize, v as usize);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let (fx, fy) = (u - x0 as f32, v - y0 as f32);
        let corner = |x: usize, y: usize| &self.rgb[(y * self.width + x) * 3..(y * self.width + x) * 3 + 3];
        let (a, b, c, d) = (corner(x0, y0), corner(x1, y0), corner(x0, y1), corner(x1, y1));
        let (wa, wb, wc, wd) = ((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy);
        Some(std::array::from_fn(|i| {
            f32::from(a[i]) * wa + f32::from(b[i]) * wb + f32::from(c[i]) * wc + f32::from(d[i]) * wd
        }))
    }

    /// Makes a picture whose every pixel centre is looked up in this one through `source`, a map from the new picture's
    /// coordinates to this one's; pixels that map outside, or to nothing, get `fill`.
    pub fn warp(
        &self,
        width: usize,
        height: usize,
        fill: [u8; 3],
        source: impl Fn(f64, f64) -> Option<[f64; 2]>,
    ) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let colour = source(x as f64 + 0.5, y as f64 + 0.5).and_then(|[u, v]| self.sample(u as f32, v as f32));
                match colour {
                    Some(colour) => rgb.extend(colour.map(|level| (level + 0.5) as u8)),
                    None => rgb.extend(fill),
                }
            }
        }
        Self { width, height, rgb }
    }

    /// Cuts the rectangle that starts at column `x`, row `y`; parts outside get `fill`.
    pub fn crop(&self, x: i64, y: i64, width: usize, height: usize, fill: [u8; 3]) -> Self {
        let mut cut = Self::filled(width, height, fill);
        cut.paste_offset(self, -x, -y);
        cut
    }

    /// Draws another picture with its first pixel at column `x`, row `y`; what lies outside is left out.
    pub fn paste_offset(&mut self, other: &Self, x: i64, y: i64) {
        let (from, to) = (x.max(0), (x + other.width as i64).min(self.width as i64));
        if from >= to {
            return;
        }
        let length = (to - from) as usize * 3;
        for row in y.max(0)..(y + other.height as i64).min(self.height as i64) {
            let target = (row as usize * self.width + from as usize) * 3;
            let origin = ((row - y) as usize * other.width + (from - x) as usize) * 3;
            self.rgb[target..target + length].copy_from_slice(&other.rgb[origin..origin + length]);
        }
    }

    /// The same ground at another size: area average when smaller, bilinear when larger.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let (step_x, step_y) = (self.width as f64 / width as f64, self.height as f64 / height as f64);
        if step_x <= 1.0 && step_y <= 1.0 {
            return self.warp(width, height, [0; 3], |x, y| Some([x * step_x, y * step_y]));
        }
        // Four by four samples a pixel approximate its area closely enough at factors up to four.
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0f32; 3];
                for sub in 0..16 {
                    let u = (x as f64 + (f64::from(sub % 4) + 0.5) / 4.0) * step_x;
                    let v = (y as f64 + (f64::from(sub / 4) + 0.5) / 4.0) * step_y;
                    let colour = self.sample(u as f32, v as f32).unwrap_or_default();
                    sum.iter_mut().zip(colour).for_each(|(sum, level)| *sum += level);
                }
                rgb.extend(sum.map(|level| (level / 16.0 + 0.5) as u8));
            }
        }
        Self { width, height, rgb }
    }

    /// The mean level over all pixels and channels, 0 to 255.
    pub fn mean_level(&self) -> f32 {
        let sum: u64 = self.rgb.iter().map(|&level| u64::from(level)).sum();
        sum as f32 / self.rgb.len().max(1) as f32
    }

    /// Luminance (Rec. 601), one value a pixel, 0 to 255.
    pub fn luminance(&self) -> Vec<f32> {
        let weigh = |p: &[u8]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
        self.rgb.chunks_exact(3).map(weigh).collect()
    }

    /// The picture as a JPEG file of the given quality, 1 to 100.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode(
            &self.rgb,
            self.width as u32,
            self.height as u32,
            ExtendedColorType::Rgb8,
        )?;
        Ok(bytes)
    }

    /// What is left of the picture after JPEG compression at the given quality.
    pub fn through_jpeg(&self, quality: u8) -> Result<Self, image::ImageError> {
        let bytes = self.to_jpeg(quality)?;
        let picture = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)?.into_rgb8();
        Ok(Self { width: self.width, height: self.height, rgb: picture.into_raw() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_at_a_pixel_centre_returns_the_pixel() {
        let raster = Raster::from_rgb(2, 2, vec![0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]).unwrap();
        assert_eq!(raster.sample(1.5, 0.5), Some([30.0, 40.0, 50.0]));
        assert_eq!(raster.sample(1.0, 1.0), Some([45.0, 55.0, 65.0]));
        assert_eq!(raster.sample(2.0, 0.5), None);
        assert_eq!(raster.sample(f32::NAN, 0.5), None);
    }

    #[test]
    fn a_crop_beyond_the_border_is_filled() {
        let raster = Raster::filled(4, 4, [9; 3]);
        let cut = raster.crop(-1, 2, 3, 3, [1; 3]);
        assert_eq!(cut.pixel(0, 0), [1; 3]);
        assert_eq!(cut.pixel(1, 0), [9; 3]);
        assert_eq!(cut.pixel(1, 2), [1; 3]);
    }

    #[test]
    fn halving_averages_the_area() {
        let stripes = [0, 100].iter().flat_map(|&level| [level; 3]).cycle().take(8 * 8 * 3).collect();
        let raster = Raster::from_rgb(8, 8, stripes).unwrap();
        assert_eq!(raster.resized(4, 4).pixel(2, 1), [50; 3]);
    }
}
