//! The pixels of a TIFF, strip by strip or tile by tile as the file has them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use moka::sync::Cache;
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{PlanarConfiguration, Tag};

use crate::OrthoError;
use crate::layout::Layout;

/// Decoded parts kept in memory; a row of tiles needs those beside each other.
const PARTS_BYTES_MAX: u64 = 512 << 20;
const WAY_OUT: &str = "gdal_translate -ot Byte -co INTERLEAVE=PIXEL makes a picture that is read";

pub(crate) struct Parts {
    decoder: Decoder<BufReader<File>>,
    layout: Layout,
    nodata: Option<u8>,
    chunk_px: [u32; 2],
    across: u32,
    decoded: Cache<u32, Arc<Part>>,
    /// Neighbouring samples come from one part.
    last: Option<(u32, Arc<Part>)>,
}

struct Part {
    width: usize,
    samples: Vec<u8>,
}

/// Opens a TIFF and reads its header.
pub(crate) fn decoder(path: &Path) -> Result<Decoder<BufReader<File>>, OrthoError> {
    let file = File::open(path).map_err(|source| OrthoError::Read { path: path.to_owned(), source })?;
    Decoder::new(BufReader::new(file)).map_err(OrthoError::tiff(path))
}

impl Parts {
    /// Checks that the pixels of a TIFF, so many across, are of a kind that is read.
    pub fn of(mut decoder: Decoder<BufReader<File>>, width: u32, path: &Path) -> Result<Self, OrthoError> {
        let colour = decoder.colortype().map_err(OrthoError::tiff(path))?;
        // Extra samples of kind 0 are bands; 1 and 2 are transparency.
        let extra = decoder.get_tag_u16_vec(Tag::ExtraSamples).unwrap_or_default();
        let layout = Layout::of(colour, extra.first() == Some(&0)).ok_or_else(|| {
            let says = format!("PhotometricInterpretation (262) and BitsPerSample (258) say {colour:?}");
            OrthoError::refused(path, format!("{says}; {WAY_OUT}"))
        })?;
        let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).unwrap_or_default();
        if planar == Some(PlanarConfiguration::Planar.to_u16()) && layout.samples() > 1 {
            let reason = format!("PlanarConfiguration (284) keeps each colour apart; {WAY_OUT}");
            return Err(OrthoError::refused(path, reason));
        }
        let nodata = decoder.get_tag_ascii_string(Tag::GdalNodata).ok();
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        if chunk_width == 0 || chunk_height == 0 {
            return Err(OrthoError::refused(path, "its parts have no size"));
        }
        let decoded = Cache::builder().max_capacity(PARTS_BYTES_MAX);
        let decoded = decoded.weigher(|_, part: &Arc<Part>| u32::try_from(part.samples.len()).unwrap_or(u32::MAX));
        Ok(Self {
            layout,
            nodata: nodata.and_then(|text| text.trim_matches(['\0', ' ']).parse().ok()),
            chunk_px: [chunk_width, chunk_height],
            across: width.div_ceil(chunk_width),
            decoded: decoded.build(),
            last: None,
            decoder,
        })
    }

    /// Returns the colour of a pixel of the picture; nothing where it is empty.
    pub fn colour(&mut self, x: u32, y: u32) -> Result<Option<[u8; 3]>, TiffError> {
        let [width, height] = self.chunk_px;
        let part = self.part(y / height * self.across + x / width)?;
        let samples = self.layout.samples();
        let start = ((y % height) as usize * part.width + (x % width) as usize) * samples;
        let Some(found) = part.samples.get(start..start + samples) else { return Ok(None) };
        let is_empty = self.nodata.is_some_and(|nodata| found.iter().take(3).all(|sample| *sample == nodata));
        Ok(if is_empty { None } else { self.layout.colour(found) })
    }

    fn part(&mut self, index: u32) -> Result<Arc<Part>, TiffError> {
        if let Some((last, part)) = &self.last
            && *last == index
        {
            return Ok(part.clone());
        }
        let part = match self.decoded.get(&index) {
            Some(part) => part,
            None => self.decode(index)?,
        };
        self.last = Some((index, part.clone()));
        Ok(part)
    }

    fn decode(&mut self, index: u32) -> Result<Arc<Part>, TiffError> {
        let (width, _) = self.decoder.chunk_data_dimensions(index);
        let samples = match self.decoder.read_chunk(index)? {
            DecodingResult::U8(samples) => samples,
            _ => Vec::new(),
        };
        let part = Arc::new(Part { width: width as usize, samples });
        self.decoded.insert(index, part.clone());
        Ok(part)
    }
}
