//! Where a picture's pixels lie on the Earth: from a GeoTIFF's tags, or from stated bounds.

use smgeo_geo::grid::{Hemisphere, Utm};
use smgeo_geo::{LatLon, TileBounds, mercator};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::OrthoError;

/// GeoTIFF keys: GTModelTypeGeoKey is not needed, the two codes say it.
const KEY_RASTER_TYPE: u16 = 1025;
const KEY_GEOGRAPHIC: u16 = 2048;
const KEY_PROJECTED: u16 = 3072;
/// RasterPixelIsPoint: the tie point is the middle of a pixel.
const PIXEL_IS_POINT: u16 = 2;
const FALSE_NORTHING_M: f64 = 10_000_000.0;

/// Maps places to pixels of a picture; pixels from the outer corner of the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Georeference {
    plane: Plane,
    /// Plane x and y of a pixel: x = a u + b v + c, y = d u + e v + f.
    affine: [f64; 6],
}

/// Is the coordinate system of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plane {
    /// EPSG:4326: degrees.
    Degrees,
    /// EPSG:3857: web-Mercator metres.
    Mercator,
    /// EPSG:326xx, 327xx.
    Utm { zone: u8, hemisphere: Hemisphere },
}

impl Georeference {
    /// Reads the tags of a GeoTIFF; `None` when it has none.
    pub fn of_tiff<R: std::io::Read + std::io::Seek>(
        decoder: &mut Decoder<R>,
        file: &str,
    ) -> Result<Option<Self>, OrthoError> {
        let Some(keys) = tags_u16(decoder, Tag::GeoKeyDirectoryTag) else { return Ok(None) };
        let Some(corner) = affine(decoder) else { return Ok(None) };
        let key = |id: u16| {
            keys.as_chunks::<4>().0.iter().skip(1).find(|entry| entry[0] == id && entry[1] == 0).map(|entry| entry[3])
        };
        let epsg = key(KEY_PROJECTED).or_else(|| key(KEY_GEOGRAPHIC));
        let unknown = || OrthoError::System { file: file.to_owned(), epsg: epsg.unwrap_or(0) };
        let plane = match epsg.ok_or_else(unknown)? {
            4326 => Plane::Degrees,
            3857 => Plane::Mercator,
            code @ 32601..=32660 => Plane::Utm { zone: (code - 32600) as u8, hemisphere: Hemisphere::North },
            code @ 32701..=32760 => Plane::Utm { zone: (code - 32700) as u8, hemisphere: Hemisphere::South },
            _ => return Err(unknown()),
        };
        let [a, b, c, d, e, f] = corner;
        let shift_px = if key(KEY_RASTER_TYPE) == Some(PIXEL_IS_POINT) { -0.5 } else { 0.0 };
        let affine = [a, b, c + (a + b) * shift_px, d, e, f + (d + e) * shift_px];
        let is_sound = affine.iter().all(|value| value.is_finite()) && (a * e - b * d).abs() > 0.0;
        if is_sound { Ok(Some(Self { plane, affine })) } else { Err(OrthoError::Corner { file: file.to_owned() }) }
    }

    /// Lays a north-up picture of `width_px` x `height_px` into bounds, as web maps do: evenly in web-Mercator metres.
    pub fn of_bounds(bounds: &TileBounds, width_px: u32, height_px: u32) -> Result<Self, OrthoError> {
        let corner = |lat, lon| {
            LatLon::new(lat, lon).map(mercator::metres).map_err(|error| OrthoError::Bounds(error.to_string()))
        };
        if !(bounds.west_deg < bounds.east_deg && bounds.south_deg < bounds.north_deg) {
            return Err(OrthoError::Bounds(
                "write west,south,east,north with west < east and south < north".to_owned(),
            ));
        }
        let (west_m, north_m) = corner(bounds.north_deg, bounds.west_deg)?;
        let (east_m, south_m) = corner(bounds.south_deg, bounds.east_deg)?;
        let (east_px, south_px) = ((east_m - west_m) / f64::from(width_px), (south_m - north_m) / f64::from(height_px));
        Ok(Self { plane: Plane::Mercator, affine: [east_px, 0.0, west_m, 0.0, south_px, north_m] })
    }

    /// Returns the pixel at a place; `None` where the coordinate system ends.
    pub fn pixel_of(&self, at: LatLon) -> Option<[f64; 2]> {
        let (x, y) = match self.plane {
            Plane::Degrees => (at.lon_deg(), at.lat_deg()),
            Plane::Mercator => mercator::metres(at),
            Plane::Utm { zone, hemisphere } => {
                let utm = Utm::in_zone(at, zone).ok()?;
                // The grid of one hemisphere goes on over the equator.
                let over = match (hemisphere, utm.hemisphere) {
                    (Hemisphere::North, Hemisphere::South) => -FALSE_NORTHING_M,
                    (Hemisphere::South, Hemisphere::North) => FALSE_NORTHING_M,
                    _ => 0.0,
                };
                (utm.easting_m, utm.northing_m + over)
            }
        };
        let [a, b, c, d, e, f] = self.affine;
        let (dx, dy, area) = (x - c, y - f, a * e - b * d);
        Some([(e * dx - b * dy) / area, (a * dy - d * dx) / area])
    }

    /// Returns the place of a pixel; `None` off the Earth.
    pub fn place_of(&self, u_px: f64, v_px: f64) -> Option<LatLon> {
        let [a, b, c, d, e, f] = self.affine;
        let (x, y) = (a * u_px + b * v_px + c, d * u_px + e * v_px + f);
        match self.plane {
            Plane::Degrees => LatLon::new(y, x).ok(),
            Plane::Mercator => {
                let world_px = |metres: f64| metres / mercator::HALF_WORLD_M * 128.0 + 128.0;
                mercator::lat_lon(world_px(x), world_px(-y), 0)
            }
            Plane::Utm { zone, hemisphere } => Utm { zone, hemisphere, easting_m: x, northing_m: y }.to_lat_lon().ok(),
        }
    }
}

/// Reads the affine map of the raster's corner-based pixels, from the transformation or the tie point and scale.
fn affine<R: std::io::Read + std::io::Seek>(decoder: &mut Decoder<R>) -> Option<[f64; 6]> {
    if let Ok(matrix) = decoder.get_tag_f64_vec(Tag::ModelTransformationTag)
        && let [a, b, _, c, d, e, _, f, ..] = matrix[..]
    {
        return Some([a, b, c, d, e, f]);
    }
    let scale = decoder.get_tag_f64_vec(Tag::ModelPixelScaleTag).ok()?;
    let tie = decoder.get_tag_f64_vec(Tag::ModelTiepointTag).ok()?;
    let ([scale_x, scale_y, ..], [u, v, _, x, y, ..]) = (&scale[..], &tie[..]) else { return None };
    Some([*scale_x, 0.0, x - u * scale_x, 0.0, -scale_y, y + v * scale_y])
}

fn tags_u16<R: std::io::Read + std::io::Seek>(decoder: &mut Decoder<R>, tag: Tag) -> Option<Vec<u16>> {
    decoder.get_tag_u16_vec(tag).ok()
}
