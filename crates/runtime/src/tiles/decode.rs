//! From bytes to a picture, within limits.
//!
//! Tiles come from the network: a few kilobytes may claim to be a picture of gigabytes. So the kind, the size and the
//! memory are bounded before anything is decoded.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};
use sha2::{Digest, Sha256};
use smgeo_geo::{TILE_PX, TileId};

use super::{EncodedTile, TileError, TilePicture, TilesInfo};

/// The most bytes an encoded tile may have: a 1024 px PNG of noise stays below.
pub const TILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest side that is read: 4 times a tile, as servers for dense screens send.
const SIDE_PX_MAX: u32 = 1024;

/// The most memory a decoder may take: 1024 x 1024 RGBA of 16 bits is half of it.
const DECODE_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl EncodedTile {
    /// Takes the bytes of a tile after a look at their size and kind.
    pub fn new(bytes: Bytes, tile: TileId, store: &Arc<str>) -> Result<Self, TileError> {
        if bytes.len() > TILE_BYTES_MAX {
            return Err(TileError::TooLarge { tile, store: store.clone(), bytes_max: TILE_BYTES_MAX });
        }
        let media_type = match image::guess_format(&bytes) {
            Ok(ImageFormat::Png) => "image/png",
            Ok(ImageFormat::Jpeg) => "image/jpeg",
            Ok(ImageFormat::WebP) => "image/webp",
            other => return Err(TileError::Format { tile, store: store.clone(), found: describe(&bytes, other.ok()) }),
        };
        Ok(Self { bytes, media_type })
    }
}

/// Decodes a tile to 256 x 256 RGB. Squares of 512 and 1024 px cover the same ground and are averaged down. A picture that is
/// transparent all over counts as missing.
pub fn decode(encoded: &EncodedTile, tile: TileId, info: &TilesInfo) -> Result<TilePicture, TileError> {
    let store = &info.name;
    let corrupt = |error: ImageError| TileError::Corrupt { tile, store: store.clone(), reason: error.to_string() };
    let mut reader = ImageReader::new(Cursor::new(encoded.bytes.as_ref()))
        .with_guessed_format()
        .map_err(|error| TileError::io(store, &error))?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_PX_MAX);
    limits.max_image_height = Some(SIDE_PX_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let picture = reader.decode().map_err(corrupt)?;
    let (width_px, height_px) = (picture.width(), picture.height());
    if width_px != height_px || ![TILE_PX, 2 * TILE_PX, 4 * TILE_PX].contains(&width_px) {
        return Err(TileError::Size { tile, store: store.clone(), width_px, height_px });
    }
    if is_transparent(&picture) {
        return Err(TileError::Missing { tile, store: store.clone() });
    }
    let rgb = averaged_down(picture.into_rgb8().into_raw(), width_px / TILE_PX);
    let sha256 = Sha256::digest(&encoded.bytes).into();
    Ok(TilePicture { id: tile, rgb: rgb.into(), sha256, date: info.date.clone() })
}

/// Decodes a tile whose numbers mean something other than colours, such as heights: lossless, and with nothing averaged.
pub fn decode_exact(encoded: &EncodedTile, tile: TileId, info: &TilesInfo) -> Result<TilePicture, TileError> {
    let store = &info.name;
    if encoded.media_type != "image/png" {
        return Err(TileError::Heights { tile, store: store.clone(), found: encoded.media_type.to_owned() });
    }
    let size = ImageReader::with_format(Cursor::new(encoded.bytes.as_ref()), ImageFormat::Png).into_dimensions();
    match size {
        Ok((TILE_PX, TILE_PX)) => decode(encoded, tile, info),
        Ok((width_px, height_px)) => {
            let found = format!("{width_px} x {height_px} px");
            Err(TileError::Heights { tile, store: store.clone(), found })
        }
        Err(error) => Err(TileError::Corrupt { tile, store: store.clone(), reason: error.to_string() }),
    }
}

fn is_transparent(picture: &DynamicImage) -> bool {
    picture.color().has_alpha() && picture.to_rgba8().pixels().all(|pixel| pixel[3] == 0)
}

/// Averages squares of `times` x `times` pixels of a picture of 256 `times` px.
fn averaged_down(rgb: Vec<u8>, times: u32) -> Vec<u8> {
    if times == 1 {
        return rgb;
    }
    let (side, times) = (TILE_PX as usize, times as usize);
    let row_bytes = side * times * 3;
    let mut small = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        for x in 0..side {
            for channel in 0..3 {
                let sum: usize = (0..times * times)
                    .map(|at| {
                        let (dy, dx) = (at / times, at % times);
                        usize::from(rgb[(y * times + dy) * row_bytes + (x * times + dx) * 3 + channel])
                    })
                    .sum();
                small.push(((sum + times * times / 2) / (times * times)) as u8);
            }
        }
    }
    small
}

fn describe(bytes: &[u8], format: Option<ImageFormat>) -> String {
    match (format, bytes) {
        (Some(format), _) => format!("{format:?}"),
        (None, []) => "empty".to_owned(),
        (None, [0x1f, 0x8b, ..]) => "gzip, as vector tiles are".to_owned(),
        (None, [b'<', ..] | [b'{', ..]) => "text".to_owned(),
        (None, _) => "of an unknown kind".to_owned(),
    }
}
