//! A frame's brightness at halving sizes, built once for all targets.

use std::sync::Arc;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{Frame, FrameId, PixelFormat};

/// Levels, each half the size of the one before.
pub const LEVELS: usize = 4;
/// The coarsest level has to hold more than one window.
const COARSEST_SIDE_PX_MIN: u32 = 8;

/// Is the brightness of one frame.
#[derive(Debug)]
pub struct Pyramid {
    /// The frame.
    pub id: FrameId,
    /// When it was captured.
    pub captured: Stamp,
    /// The frame's columns.
    pub width_px: u32,
    /// The frame's rows.
    pub height_px: u32,
    /// How many frame pixels a pixel of the finest level is wide.
    pub shrink: u32,
    levels: Vec<Level>,
}

/// Is one picture of a pyramid.
#[derive(Debug)]
pub struct Level {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Brightness, row by row.
    pub luma: Vec<u8>,
}

impl Pyramid {
    /// Returns the levels, finest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Returns where a pixel of the frame lies on the finest level.
    pub fn work_from_frame(&self, pixel: Pixel<geo::Frame>) -> [f64; 2] {
        let shrink = f64::from(self.shrink);
        [pixel.x / shrink, pixel.y / shrink]
    }

    /// Returns the frame's pixel at a place on the finest level.
    pub fn frame_from_work(&self, at: [f64; 2]) -> Pixel<geo::Frame> {
        let shrink = f64::from(self.shrink);
        Pixel::new(at[0] * shrink, at[1] * shrink)
    }

    /// Says whether a place on the finest level lies in the picture, `margin` pixels from its edge.
    pub fn holds(&self, at: [f64; 2], margin: f64) -> bool {
        let inside = |place: f64, side: usize| place >= margin && place <= side as f64 - margin;
        self.levels.first().is_some_and(|finest| inside(at[0], finest.width) && inside(at[1], finest.height))
    }

    /// Returns the memory it takes.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.luma.len()).sum()
    }

    /// Says whether a place on one is the same place of the picture on the other.
    pub fn is_same_size(&self, other: &Pyramid) -> bool {
        (self.width_px, self.height_px) == (other.width_px, other.height_px)
    }
}

impl Level {
    /// Returns the brightness at a place between pixels; beyond the edge the picture goes on with its last row or column.
    pub fn between(&self, at: [f64; 2]) -> f32 {
        let (x, y) = (at[0] - 0.5, at[1] - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
        let column = |offset: f64| (x0 + offset).clamp(0.0, self.width as f64 - 1.0) as usize;
        let row = |offset: f64| (y0 + offset).clamp(0.0, self.height as f64 - 1.0) as usize;
        let luma = |x: f64, y: f64| f32::from(self.luma[row(y) * self.width + column(x)]);
        let upper = luma(0.0, 0.0) * (1.0 - fx) + luma(1.0, 0.0) * fx;
        let lower = luma(0.0, 1.0) * (1.0 - fx) + luma(1.0, 1.0) * fx;
        upper * (1.0 - fy) + lower * fy
    }
}

/// Builds pyramids; it keeps the buffers that building takes.
pub struct PyramidBuilder {
    work_width_px_max: u32,
    resizer: Resizer,
    options: ResizeOptions,
    shrunk: Option<Image<'static>>,
}

impl PyramidBuilder {
    /// Makes a builder of pyramids whose finest level is at most this wide.
    pub fn new(work_width_px_max: u32) -> Self {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        Self { work_width_px_max: work_width_px_max.max(64), resizer: Resizer::new(), options, shrunk: None }
    }

    /// Builds the pyramid of a frame, or nothing if the frame has too few pixels or bytes.
    pub fn build(&mut self, frame: &Frame) -> Option<Arc<Pyramid>> {
        let mut shrink = 1;
        while frame.width_px / shrink > self.work_width_px_max {
            shrink *= 2;
        }
        let (width, height) = (frame.width_px / shrink, frame.height_px / shrink);
        if width.min(height) >> (LEVELS - 1) < COARSEST_SIDE_PX_MIN {
            return None;
        }
        let mut levels = Vec::with_capacity(LEVELS);
        levels.push(self.finest(frame, width, height, shrink)?);
        while levels.len() < LEVELS {
            let next = self.half(levels.last()?)?;
            levels.push(next);
        }
        Some(Arc::new(Pyramid {
            id: frame.id,
            captured: frame.captured,
            width_px: frame.width_px,
            height_px: frame.height_px,
            shrink,
            levels,
        }))
    }

    fn finest(&mut self, frame: &Frame, width: u32, height: u32, shrink: u32) -> Option<Level> {
        let PixelFormat::Rgb8 = frame.format;
        let pixels = width as usize * height as usize;
        let luma = if shrink == 1 {
            luma_of_rgb(frame.bytes.get(..pixels * 3)?)
        } else {
            let source = ImageRef::new(frame.width_px, frame.height_px, &frame.bytes, PixelType::U8x3).ok()?;
            let fits = self.shrunk.as_ref().is_some_and(|image| (image.width(), image.height()) == (width, height));
            if !fits {
                self.shrunk = Some(Image::new(width, height, PixelType::U8x3));
            }
            let shrunk = self.shrunk.as_mut()?;
            // Whole blocks only, so that a place on the level is the frame's place divided, whatever the remainder.
            let (used_width, used_height) = (f64::from(width * shrink), f64::from(height * shrink));
            let options = self.options.crop(0.0, 0.0, used_width, used_height);
            self.resizer.resize(&source, shrunk, &options).ok()?;
            luma_of_rgb(shrunk.buffer())
        };
        Some(Level { width: width as usize, height: height as usize, luma })
    }

    fn half(&mut self, level: &Level) -> Option<Level> {
        let (width, height) = (level.width / 2, level.height / 2);
        let source = ImageRef::new(level.width as u32, level.height as u32, &level.luma, PixelType::U8).ok()?;
        let mut half = Image::new(width as u32, height as u32, PixelType::U8);
        let options = self.options.crop(0.0, 0.0, (width * 2) as f64, (height * 2) as f64);
        self.resizer.resize(&source, &mut half, &options).ok()?;
        Some(Level { width, height, luma: half.into_vec() })
    }
}

/// Weighs the colours as ITU-R BT.601 does, in 256ths.
fn luma_of_rgb(rgb: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgb.as_chunks::<3>();
    pixels.iter().map(|&[r, g, b]| ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) >> 8) as u8).collect()
}
