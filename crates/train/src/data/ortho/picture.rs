//! A large picture, a TIFF read part by part: an orthophoto does not fit into memory. Other formats are decoded whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use image::{ImageReader, Limits, RgbaImage};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{PlanarConfiguration, Tag};

use super::georeference::Georeference;
use crate::data::DataError;

/// Decoded parts kept in memory; a row of tiles needs those beside each other.
const PARTS_BYTES_MAX: usize = 512 << 20;
/// The most that a picture which is decoded whole may take.
const WHOLE_BYTES_MAX: u64 = 4 << 30;
const TO_BYTES: &str = "gdal_translate -ot Byte -co INTERLEAVE=PIXEL makes a picture that is read";
const TO_PARTS: &str = "gdal_translate -co TILED=YES makes a picture that is read in parts";

/// What a file says about its picture before anything is decoded.
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

struct Parts {
    decoder: Decoder<BufReader<File>>,
    layout: Layout,
    nodata: Option<u8>,
    chunk_px: [u32; 2],
    across: u32,
    /// By number, which rises from left to right and from top to bottom as tiles are cut.
    decoded: BTreeMap<u32, Rc<Part>>,
    bytes: usize,
    /// Neighbouring samples come from one part.
    last: Option<(u32, Rc<Part>)>,
}

struct Part {
    width: usize,
    samples: Vec<u8>,
}

/// What the samples of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// With bands that are no transparency: near infrared, as a rule.
    RgbAndMore(usize),
    YCbCr,
}

impl Header {
    /// Reads the header of a picture.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::Refused { path: path.to_owned(), reason };
        if is_tiff(path) {
            let mut decoder = decoder(path)?;
            let (width, height) = decoder.dimensions().map_err(|error| refused(error.to_string()))?;
            let georeference = Georeference::of_tiff(&mut decoder).map_err(refused)?;
            return Ok(Self { size_px: [f64::from(width), f64::from(height)], georeference });
        }
        let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
        let reader = reader.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        let size = reader.into_dimensions();
        let (width, height) = size.map_err(|source| DataError::Picture { path: path.to_owned(), source })?;
        Ok(Self { size_px: [f64::from(width), f64::from(height)], georeference: None })
    }
}

impl Picture {
    /// Opens a TIFF, to be read by parts, or another picture, whole.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (width, height, pixels) = if is_tiff(path) {
            let mut decoder = decoder(path)?;
            let size = decoder.dimensions();
            let refused = |error: tiff::TiffError| DataError::Refused { path: path.into(), reason: error.to_string() };
            let (width, height) = size.map_err(refused)?;
            (width, height, Pixels::Parts(Box::new(Parts::of(decoder, width, path)?)))
        } else {
            let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
            let mut reader = reader.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(WHOLE_BYTES_MAX);
            reader.limits(limits);
            let decoded = reader.decode().map_err(|source| DataError::Picture { path: path.to_owned(), source })?;
            let picture = decoded.into_rgba8();
            (picture.width(), picture.height(), Pixels::Whole(picture))
        };
        Ok(Self { path: path.to_owned(), width: i64::from(width), height: i64::from(height), pixels })
    }

    /// The bilinear colour at a point in pixels, of those of the four pixels around it that have one; nothing where they are less
    /// than half of it.
    pub fn sample(&mut self, [u, v]: [f64; 2]) -> Result<Option<[f32; 3]>, DataError> {
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
    fn colour(&mut self, x: i64, y: i64) -> Result<Option<[u8; 3]>, DataError> {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return Ok(None);
        }
        match &mut self.pixels {
            Pixels::Whole(picture) => {
                let [red, green, blue, alpha] = picture.get_pixel(x as u32, y as u32).0;
                Ok((alpha > 0).then_some([red, green, blue]))
            }
            Pixels::Parts(parts) => parts.colour(x as u32, y as u32).map_err(|error| {
                let reason = format!("a part of it cannot be read ({error}); where it is only large, {TO_PARTS}");
                DataError::Refused { path: self.path.clone(), reason }
            }),
        }
    }
}

impl Parts {
    fn of(mut decoder: Decoder<BufReader<File>>, width: u32, path: &Path) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::Refused { path: path.to_owned(), reason };
        let colour = decoder.colortype().map_err(|error| refused(error.to_string()))?;
        // Extra samples of kind 0 are bands; 1 and 2 are transparency.
        let extra = decoder.get_tag_u16_vec(Tag::ExtraSamples).unwrap_or_default();
        let layout = Layout::of(colour, extra.first() == Some(&0));
        let layout = layout.ok_or_else(|| {
            refused(format!("PhotometricInterpretation (262) and BitsPerSample (258) say {colour:?}; {TO_BYTES}"))
        })?;
        let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).unwrap_or_default();
        if planar == Some(PlanarConfiguration::Planar.to_u16()) && layout.samples() > 1 {
            return Err(refused(format!("PlanarConfiguration (284) keeps each colour apart; {TO_BYTES}")));
        }
        let nodata = decoder.get_tag_ascii_string(Tag::GdalNodata).ok();
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        if chunk_width == 0 || chunk_height == 0 {
            return Err(refused("its parts have no size".to_owned()));
        }
        Ok(Self {
            layout,
            nodata: nodata.and_then(|text| text.trim_matches(['\0', ' ']).parse().ok()),
            chunk_px: [chunk_width, chunk_height],
            across: width.div_ceil(chunk_width),
            decoded: BTreeMap::new(),
            bytes: 0,
            last: None,
            decoder,
        })
    }

    fn colour(&mut self, x: u32, y: u32) -> Result<Option<[u8; 3]>, tiff::TiffError> {
        let [width, height] = self.chunk_px;
        let part = self.part(y / height * self.across + x / width)?;
        let samples = self.layout.samples();
        let start = ((y % height) as usize * part.width + (x % width) as usize) * samples;
        let Some(found) = part.samples.get(start..start + samples) else { return Ok(None) };
        let is_empty = self.nodata.is_some_and(|nodata| found.iter().take(3).all(|sample| *sample == nodata));
        Ok(if is_empty { None } else { self.layout.colour(found) })
    }

    fn part(&mut self, index: u32) -> Result<Rc<Part>, tiff::TiffError> {
        if let Some((last, part)) = &self.last
            && *last == index
        {
            return Ok(part.clone());
        }
        let part = match self.decoded.get(&index) {
            Some(part) => part.clone(),
            None => self.decode(index)?,
        };
        self.last = Some((index, part.clone()));
        Ok(part)
    }

    fn decode(&mut self, index: u32) -> Result<Rc<Part>, tiff::TiffError> {
        let (width, _) = self.decoder.chunk_data_dimensions(index);
        let samples = match self.decoder.read_chunk(index)? {
            DecodingResult::U8(samples) => samples,
            _ => Vec::new(),
        };
        self.bytes += samples.len();
        let part = Rc::new(Part { width: width as usize, samples });
        self.decoded.insert(index, part.clone());
        while self.bytes > PARTS_BYTES_MAX && self.decoded.len() > 1 {
            // The topmost is the one that is not needed again.
            let Some((_, passed)) = self.decoded.pop_first() else { break };
            self.bytes -= passed.samples.len();
        }
        Ok(part)
    }
}

impl Layout {
    fn of(colour: ColorType, has_bands: bool) -> Option<Self> {
        match colour {
            ColorType::Gray(8) => Some(Self::Gray),
            ColorType::GrayA(8) => Some(Self::GrayAlpha),
            ColorType::RGB(8) => Some(Self::Rgb),
            ColorType::RGBA(8) if has_bands => Some(Self::RgbAndMore(4)),
            ColorType::RGBA(8) => Some(Self::Rgba),
            ColorType::Multiband { bit_depth: 8, num_samples } if num_samples >= 3 => {
                Some(Self::RgbAndMore(usize::from(num_samples)))
            }
            ColorType::YCbCr(8) => Some(Self::YCbCr),
            _ => None,
        }
    }

    fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb | Self::YCbCr => 3,
            Self::Rgba => 4,
            Self::RgbAndMore(samples) => samples,
        }
    }

    /// The colour of a pixel; nothing where it is transparent.
    fn colour(self, samples: &[u8]) -> Option<[u8; 3]> {
        match (self, samples) {
            (Self::Gray, [gray]) => Some([*gray; 3]),
            (Self::GrayAlpha, [gray, alpha]) => (*alpha > 0).then_some([*gray; 3]),
            (Self::Rgb, [red, green, blue]) => Some([*red, *green, *blue]),
            (Self::RgbAndMore(_), [red, green, blue, ..]) => Some([*red, *green, *blue]),
            (Self::Rgba, [red, green, blue, alpha]) => (*alpha > 0).then_some([*red, *green, *blue]),
            (Self::YCbCr, [y, cb, cr]) => Some(rgb_of_ycbcr(*y, *cb, *cr)),
            _ => None,
        }
    }
}

fn is_tiff(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["tif", "tiff"].iter().any(|tiff| extension.eq_ignore_ascii_case(tiff)))
}

fn decoder(path: &Path) -> Result<Decoder<BufReader<File>>, DataError> {
    let file = File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    Decoder::new(BufReader::new(file))
        .map_err(|error| DataError::Refused { path: path.to_owned(), reason: error.to_string() })
}

/// Full-range BT.601, as JPEG has it.
fn rgb_of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}
