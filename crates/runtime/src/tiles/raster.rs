//! A large picture that is read part by part: an orthophoto does not fit into memory.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use image::{ImageReader, Limits, RgbaImage};
use moka::sync::Cache;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{PlanarConfiguration, Tag};

use super::{Georeference, OrthoError};

/// Decoded parts kept in memory.
const PARTS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A plain picture is decoded whole.
const WHOLE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Gives the pixels of a picture.
pub(crate) struct Raster {
    pub width_px: u32,
    pub height_px: u32,
    pub georeference: Option<Georeference>,
    pixels: Pixels,
}

enum Pixels {
    Whole(RgbaImage),
    Parts(Box<Parts>),
}

struct Parts {
    decoder: Decoder<BufReader<File>>,
    layout: Layout,
    nodata: Option<u8>,
    chunk_px: (u32, u32),
    across: u32,
    decoded: Cache<u32, Arc<Part>>,
    // Neighbouring samples come from one part.
    last: Option<(u32, Arc<Part>)>,
}

struct Part {
    width_px: u32,
    samples: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// With a band that is no transparency: near infrared, as a rule.
    RgbAndMore,
    YCbCr,
}

impl Layout {
    fn of(colour: ColorType) -> Option<Self> {
        match colour {
            ColorType::Gray(8) => Some(Self::Gray),
            ColorType::GrayA(8) => Some(Self::GrayAlpha),
            ColorType::RGB(8) => Some(Self::Rgb),
            ColorType::RGBA(8) => Some(Self::Rgba),
            ColorType::Multiband { bit_depth: 8, num_samples: 4 } => Some(Self::RgbAndMore),
            ColorType::YCbCr(8) => Some(Self::YCbCr),
            _ => None,
        }
    }

    fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb | Self::YCbCr => 3,
            Self::Rgba | Self::RgbAndMore => 4,
        }
    }

    /// Returns the colour of a pixel, `None` where it is transparent.
    fn colour(self, samples: &[u8]) -> Option<[u8; 3]> {
        match (self, samples) {
            (Self::Gray, [gray]) => Some([*gray; 3]),
            (Self::GrayAlpha, [gray, alpha]) => (*alpha > 0).then_some([*gray; 3]),
            (Self::Rgb, [red, green, blue]) | (Self::RgbAndMore, [red, green, blue, _]) => Some([*red, *green, *blue]),
            (Self::Rgba, [red, green, blue, alpha]) => (*alpha > 0).then_some([*red, *green, *blue]),
            (Self::YCbCr, [y, cb, cr]) => Some(rgb_of_ycbcr(*y, *cb, *cr)),
            _ => None,
        }
    }
}

impl Raster {
    /// Opens a TIFF, to be read by parts, or another picture, whole.
    pub fn open(file: &Path) -> Result<Self, OrthoError> {
        let is_tiff = file
            .extension()
            .is_some_and(|extension| ["tif", "tiff"].iter().any(|tiff| extension.eq_ignore_ascii_case(tiff)));
        if is_tiff { Self::open_tiff(file) } else { Self::open_whole(file) }
    }

    fn open_whole(file: &Path) -> Result<Self, OrthoError> {
        let name = file.display().to_string();
        let unreadable = |reason: String| OrthoError::Unreadable { file: name.clone(), reason };
        let mut reader = ImageReader::open(file)
            .and_then(ImageReader::with_guessed_format)
            .map_err(|error| unreadable(error.to_string()))?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(WHOLE_BYTES_MAX);
        reader.limits(limits);
        let picture = reader.decode().map_err(|error| unreadable(error.to_string()))?.into_rgba8();
        let (width_px, height_px) = picture.dimensions();
        Ok(Self { width_px, height_px, georeference: None, pixels: Pixels::Whole(picture) })
    }

    fn open_tiff(file: &Path) -> Result<Self, OrthoError> {
        let name = file.display().to_string();
        let unreadable = |reason: String| OrthoError::Unreadable { file: name.clone(), reason };
        let broken = |error: tiff::TiffError| unreadable(error.to_string());
        let opened = File::open(file).map_err(|error| unreadable(error.to_string()))?;
        let mut decoder = Decoder::new(BufReader::new(opened)).map_err(broken)?;
        let (width_px, height_px) = decoder.dimensions().map_err(broken)?;
        let colour = decoder.colortype().map_err(broken)?;
        let way_out = "convert it, for example with gdal_translate -ot Byte -co INTERLEAVE=PIXEL";
        let layout = Layout::of(colour).ok_or_else(|| unreadable(format!("its colours are {colour:?}; {way_out}")))?;
        // Extra samples of kind 0 are bands; 1 and 2 are transparency.
        let extra = decoder.get_tag_u16_vec(Tag::ExtraSamples).unwrap_or_default();
        let layout = if layout == Layout::Rgba && extra.first() == Some(&0) { Layout::RgbAndMore } else { layout };
        let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(broken)?;
        if planar == Some(PlanarConfiguration::Planar.to_u16()) && layout.samples() > 1 {
            return Err(unreadable(format!("it keeps each colour apart; {way_out}")));
        }
        let georeference = Georeference::of_tiff(&mut decoder, &name)?;
        let nodata = decoder.get_tag_ascii_string(Tag::GdalNodata).ok();
        let chunk_px = decoder.chunk_dimensions();
        if chunk_px.0 == 0 || chunk_px.1 == 0 {
            return Err(unreadable("its parts have no size".to_owned()));
        }
        let parts = Parts {
            layout,
            nodata: nodata.and_then(|text| text.trim_matches(['\0', ' ']).parse().ok()),
            chunk_px,
            across: width_px.div_ceil(chunk_px.0),
            decoded: Cache::builder()
                .max_capacity(PARTS_BYTES_MAX)
                .weigher(|_, part: &Arc<Part>| u32::try_from(part.samples.len()).unwrap_or(u32::MAX))
                .build(),
            last: None,
            decoder,
        };
        Ok(Self { width_px, height_px, georeference, pixels: Pixels::Parts(Box::new(parts)) })
    }

    /// Returns the colour of a pixel: `Ok(None)` outside the picture and where it has nothing.
    pub fn colour(&mut self, x: i64, y: i64) -> Result<Option<[u8; 3]>, tiff::TiffError> {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return Ok(None) };
        if x >= self.width_px || y >= self.height_px {
            return Ok(None);
        }
        match &mut self.pixels {
            Pixels::Whole(picture) => {
                let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
                Ok((alpha > 0).then_some([red, green, blue]))
            }
            Pixels::Parts(parts) => parts.colour(x, y),
        }
    }
}

impl Parts {
    fn colour(&mut self, x: u32, y: u32) -> Result<Option<[u8; 3]>, tiff::TiffError> {
        let (width_px, height_px) = self.chunk_px;
        let index = y / height_px * self.across + x / width_px;
        let part = self.part(index)?;
        let samples = self.layout.samples();
        let start = ((y % height_px) as usize * part.width_px as usize + (x % width_px) as usize) * samples;
        let Some(found) = part.samples.get(start..start + samples) else { return Ok(None) };
        let is_nothing = self.nodata.is_some_and(|nodata| found.iter().take(3).all(|sample| *sample == nodata));
        Ok(if is_nothing { None } else { self.layout.colour(found) })
    }

    fn part(&mut self, index: u32) -> Result<Arc<Part>, tiff::TiffError> {
        if let Some((last, part)) = &self.last
            && *last == index
        {
            return Ok(part.clone());
        }
        let part = match self.decoded.get(&index) {
            Some(part) => part,
            None => {
                let (width_px, _) = self.decoder.chunk_data_dimensions(index);
                let samples = match self.decoder.read_chunk(index)? {
                    DecodingResult::U8(samples) => samples,
                    _ => Vec::new(),
                };
                let part = Arc::new(Part { width_px, samples });
                self.decoded.insert(index, part.clone());
                part
            }
        };
        self.last = Some((index, part.clone()));
        Ok(part)
    }
}

/// Full-range BT.601, as JPEG has it.
fn rgb_of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}
