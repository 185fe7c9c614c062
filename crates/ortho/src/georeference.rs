//! Where the pixels of a picture lie: on the plane of its coordinate system, from a GeoTIFF's tags, from stated bounds or from a stated
//! pixel size.

use std::io::{Read, Seek};

use smgeo_geo::{LatLon, TileBounds, mercator};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use crate::System;

// GeoTIFF keys (OGC 19-008r4).
const KEY_RASTER_TYPE: u16 = 1025;
const KEY_GEOGRAPHIC: u16 = 2048;
const KEY_PROJECTED: u16 = 3072;
const KEY_UNIT: u16 = 3076;
/// RasterPixelIsPoint: the tie point is the middle of a pixel.
const PIXEL_IS_POINT: u16 = 2;
pub(crate) const WAY_OUT: &str =
    "gdalwarp -t_srs EPSG:326NN (UTM, NN the zone; 327NN in the south) makes a picture that is read";

/// Maps between pixels of a picture, from the outer corner of the first one, and its plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Georeference {
    /// Whose plane.
    pub system: System,
    /// Plane x and y of a pixel: x = a u + b v + c, y = d u + e v + f.
    affine: [f64; 6],
}

impl Georeference {
    /// Reads the tags of a GeoTIFF: nothing where it has none, and a sentence where they cannot be used.
    pub fn of_tiff<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<Option<Self>, String> {
        let keys = decoder.get_tag_u16_vec(Tag::GeoKeyDirectoryTag).ok();
        let (keys, affine) = match (keys, affine(decoder)?) {
            (None, None) => return Ok(None),
            (Some(keys), Some(affine)) => (keys, affine),
            (None, Some(_)) => {
                return Err(
                    "GeoKeyDirectoryTag (34735) is missing, so its coordinate system is not known; gdal_translate \
                            -a_srs EPSG:NNNN writes it"
                        .to_owned(),
                );
            }
            (Some(_), None) => {
                return Err(format!("ModelPixelScaleTag (33550) or ModelTiepointTag (33922) is missing; {WAY_OUT}"));
            }
        };
        let key = |id: u16| {
            keys.as_chunks::<4>().0.iter().skip(1).find(|entry| entry[0] == id && entry[1] == 0).map(|entry| entry[3])
        };
        let system = System::of_keys(key(KEY_PROJECTED), key(KEY_GEOGRAPHIC), key(KEY_UNIT))?;
        let [a, b, c, d, e, f] = affine;
        let shift_px = if key(KEY_RASTER_TYPE) == Some(PIXEL_IS_POINT) { -0.5 } else { 0.0 };
        let affine = [a, b, c + (a + b) * shift_px, d, e, f + (d + e) * shift_px];
        if affine.iter().all(|value| value.is_finite()) && (a * e - b * d).abs() > 0.0 {
            return Ok(Some(Self { system, affine }));
        }
        Err(format!("ModelPixelScaleTag (33550) or ModelTiepointTag (33922) holds no usable numbers; {WAY_OUT}"))
    }

    /// Lays a picture with nothing known but the size of its pixels.
    pub fn of_pixel_size(gsd_m: f64) -> Self {
        Self { system: System::Picture, affine: [gsd_m, 0.0, 0.0, 0.0, -gsd_m, 0.0] }
    }

    /// Lays a north-up picture into bounds, as web maps do: evenly in web-Mercator metres. Says what is wrong with bounds that are
    /// none.
    pub fn of_bounds(bounds: &TileBounds, [width, height]: [f64; 2]) -> Result<Self, String> {
        if !(bounds.west_deg < bounds.east_deg && bounds.south_deg < bounds.north_deg) {
            return Err("write west,south,east,north with west < east and south < north".to_owned());
        }
        let corner = |lat, lon| LatLon::new(lat, lon).map(mercator::metres).map_err(|error| error.to_string());
        let (west_m, north_m) = corner(bounds.north_deg, bounds.west_deg)?;
        let (east_m, south_m) = corner(bounds.south_deg, bounds.east_deg)?;
        let (east_px, south_px) = ((east_m - west_m) / width, (south_m - north_m) / height);
        Ok(Self { system: System::Mercator, affine: [east_px, 0.0, west_m, 0.0, south_px, north_m] })
    }

    /// Returns the pixel at a point of the plane.
    pub fn pixel_of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.affine;
        let (dx, dy, area) = (x - c, y - f, a * e - b * d);
        [(e * dx - b * dy) / area, (a * dy - d * dx) / area]
    }

    /// Returns left, bottom, right, top on the plane of a picture of this size.
    pub fn bounds(&self, [width, height]: [f64; 2]) -> [f64; 4] {
        let corners = [[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]].map(|corner| self.point_of(corner));
        let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
        let most = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
        [least(0), least(1), most(0), most(1)]
    }

    /// Returns metres a pixel in the middle of a picture of this size; nothing where that is not on the Earth.
    pub fn gsd_m(&self, [width, height]: [f64; 2]) -> Option<f64> {
        let [east_m, north_m] = self.system.metres_per_unit(self.point_of([width / 2.0, height / 2.0]))?;
        let [a, b, _, d, e, _] = self.affine;
        Some(((a * e - b * d).abs() * east_m * north_m).sqrt())
    }

    /// Returns the point of the plane at a pixel.
    pub fn point_of(&self, [u, v]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.affine;
        [a * u + b * v + c, d * u + e * v + f]
    }
}

/// The affine map of the raster's corner-based pixels, from the transformation or from the tie point and the scale.
fn affine<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<Option<[f64; 6]>, String> {
    if let Ok(matrix) = decoder.get_tag_f64_vec(Tag::ModelTransformationTag)
        && let [a, b, _, c, d, e, _, f, ..] = matrix[..]
    {
        return Ok(Some([a, b, c, d, e, f]));
    }
    let scale = decoder.get_tag_f64_vec(Tag::ModelPixelScaleTag).unwrap_or_default();
    let tie = decoder.get_tag_f64_vec(Tag::ModelTiepointTag).unwrap_or_default();
    match (&scale[..], &tie[..]) {
        ([scale_x, scale_y, ..], [u, v, _, x, y, ..]) => {
            Ok(Some([*scale_x, 0.0, x - u * scale_x, 0.0, -scale_y, y + v * scale_y]))
        }
        ([], [_, _, _, _, _, _, _, ..]) => {
            let points = tie.len() / 6;
            Err(format!("ModelTiepointTag (33922) lists {points} control points and no scale; {WAY_OUT}"))
        }
        _ => Ok(None),
    }
}
