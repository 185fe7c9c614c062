//! Where the pixels of a picture lie: on the plane of its coordinate system, from a GeoTIFF's tags, or from a stated pixel size.
//!
//! Tiles are cut in the picture's own plane. That needs no projection, only the size of its unit in metres, so any projected system
//! will do as long as all pictures of an area share it.

use std::fmt;
use std::io::{Read, Seek};

use smgeo_geo::grid::{Hemisphere, Utm};
use smgeo_geo::{LatLon, mercator};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

// GeoTIFF keys (OGC 19-008r4).
const KEY_RASTER_TYPE: u16 = 1025;
const KEY_GEOGRAPHIC: u16 = 2048;
const KEY_PROJECTED: u16 = 3072;
const KEY_UNIT: u16 = 3076;
/// RasterPixelIsPoint: the tie point is the middle of a pixel.
const PIXEL_IS_POINT: u16 = 2;
/// From here on a code is none of EPSG's: 32767 stands for a system that the file describes itself.
const EPSG_END: u16 = 32767;
/// WGS 84, ETRS89 and NAD83, which differ by less than two metres.
const DEGREES: [u16; 3] = [4326, 4258, 4269];
/// World maps whose metres are metres at the equator only.
const NOT_TO_SCALE: [u16; 4] = [3395, 4087, 6933, 32662];
/// Length of a unit by its code: metre, foot, US survey foot.
const UNITS_M: [(u16, f64); 3] = [(9001, 1.0), (9002, 0.3048), (9003, 1200.0 / 3937.0)];
const WAY_OUT: &str = "gdalwarp -t_srs EPSG:326NN (UTM, NN the zone; 327NN in the south) makes a picture that is read";
const FALSE_NORTHING_M: f64 = 10_000_000.0;

/// A coordinate system, as far as cutting tiles needs to know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum System {
    /// None: metres right and up from the picture's upper left corner.
    Picture,
    /// Longitude and latitude.
    Degrees,
    /// EPSG:3857, web Mercator.
    Mercator,
    /// Any other projected system.
    Projected {
        /// Its code.
        epsg: u16,
        /// Its unit in metres.
        unit_m: f64,
    },
}

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

    /// The pixel at a point of the plane.
    pub fn pixel_of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.affine;
        let (dx, dy, area) = (x - c, y - f, a * e - b * d);
        [(e * dx - b * dy) / area, (a * dy - d * dx) / area]
    }

    /// Left, bottom, right, top on the plane of a picture of this size.
    pub fn bounds(&self, [width, height]: [f64; 2]) -> [f64; 4] {
        let corners = [[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]].map(|corner| self.point_of(corner));
        let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
        let most = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
        [least(0), least(1), most(0), most(1)]
    }

    /// Metres a pixel in the middle of a picture of this size; nothing where that is not on the Earth.
    pub fn gsd_m(&self, [width, height]: [f64; 2]) -> Option<f64> {
        let [east_m, north_m] = self.system.metres_per_unit(self.point_of([width / 2.0, height / 2.0]))?;
        let [a, b, _, d, e, _] = self.affine;
        Some(((a * e - b * d).abs() * east_m * north_m).sqrt())
    }

    fn point_of(&self, [u, v]: [f64; 2]) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.affine;
        [a * u + b * v + c, d * u + e * v + f]
    }
}

impl System {
    fn of_keys(projected: Option<u16>, geographic: Option<u16>, unit: Option<u16>) -> Result<Self, String> {
        let known = |code: u16| code > 0 && code < EPSG_END;
        match (projected, geographic) {
            (Some(3857), _) => Ok(Self::Mercator),
            (Some(epsg), _) if NOT_TO_SCALE.contains(&epsg) => Err(format!(
                "ProjectedCRSGeoKey (3072) says EPSG:{epsg}, a map of the world without one scale; {WAY_OUT}"
            )),
            (Some(epsg), _) if known(epsg) => Ok(Self::Projected { epsg, unit_m: unit_m(epsg, unit)? }),
            (Some(code), _) => {
                Err(format!("ProjectedCRSGeoKey (3072) says {code}, which is no system of EPSG's; {WAY_OUT}"))
            }
            (None, Some(code)) if DEGREES.contains(&code) => Ok(Self::Degrees),
            (None, code) => {
                let code = code.map_or("is missing".to_owned(), |code| format!("says {code}"));
                Err(format!("ProjectedCRSGeoKey (3072) is missing and GeodeticCRSGeoKey (2048) {code}; {WAY_OUT}"))
            }
        }
    }

    /// Metres on the ground of a unit right and a unit up at a point of the plane; nothing where that is not on the Earth.
    pub fn metres_per_unit(self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        match self {
            Self::Picture => Some([1.0; 2]),
            Self::Projected { unit_m, .. } => Some([unit_m; 2]),
            Self::Degrees => {
                let at = LatLon::new(y, x).ok()?;
                let (size, px_per_deg) = (mercator::metres_per_px(at, 0), mercator::world_side_px(0) / 360.0);
                // Web Mercator is stretched northwards as much as eastwards: by the cosine of the latitude.
                Some([size.east * px_per_deg, size.north * px_per_deg / at.lat_rad().cos()])
            }
            Self::Mercator => {
                let px_per_m = mercator::world_side_px(0) / (2.0 * mercator::HALF_WORLD_M);
                let world_px = |metres: f64| (metres + mercator::HALF_WORLD_M) * px_per_m;
                let size = mercator::metres_per_px(mercator::lat_lon(world_px(x), world_px(-y), 0)?, 0);
                Some([size.east * px_per_m, size.north * px_per_m])
            }
        }
    }

    /// The point of a place on the plane, to two metres; nothing where the system is not one of those that are known here.
    pub fn point_of(self, at: LatLon) -> Option<[f64; 2]> {
        match self {
            Self::Picture => None,
            Self::Degrees => Some([at.lon_deg(), at.lat_deg()]),
            Self::Mercator => Some(mercator::metres(at).into()),
            Self::Projected { epsg, .. } => {
                let (zone, hemisphere) = utm_zone(epsg)?;
                let utm = Utm::in_zone(at, zone).ok()?;
                // The grid of one hemisphere goes on over the equator.
                let over_m = match (hemisphere, utm.hemisphere) {
                    (Hemisphere::North, Hemisphere::South) => -FALSE_NORTHING_M,
                    (Hemisphere::South, Hemisphere::North) => FALSE_NORTHING_M,
                    _ => 0.0,
                };
                Some([utm.easting_m, utm.northing_m + over_m])
            }
        }
    }

    /// Whether an EPSG code means this system.
    pub fn is_epsg(self, code: u16) -> bool {
        match self {
            Self::Picture => false,
            Self::Degrees => DEGREES.contains(&code),
            Self::Mercator => code == 3857,
            Self::Projected { epsg, .. } => epsg == code,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture => write!(f, "no coordinate system"),
            Self::Degrees => write!(f, "degrees"),
            Self::Mercator => write!(f, "EPSG:3857"),
            Self::Projected { epsg, .. } => write!(f, "EPSG:{epsg}"),
        }
    }
}

/// Zone and hemisphere of a UTM grid on WGS 84, ETRS89 or NAD83.
fn utm_zone(epsg: u16) -> Option<(u8, Hemisphere)> {
    match epsg {
        32601..=32660 => Some(((epsg - 32600) as u8, Hemisphere::North)),
        32701..=32760 => Some(((epsg - 32700) as u8, Hemisphere::South)),
        25828..=25838 => Some(((epsg - 25800) as u8, Hemisphere::North)),
        26901..=26923 => Some(((epsg - 26900) as u8, Hemisphere::North)),
        _ => None,
    }
}

fn unit_m(epsg: u16, unit: Option<u16>) -> Result<f64, String> {
    let Some(code) = unit else {
        // UTM is always in metres, and other systems are not always.
        return utm_zone(epsg).map(|_| 1.0).ok_or_else(|| {
            format!("ProjLinearUnitsGeoKey (3076) is missing, so the unit of EPSG:{epsg} is not known; {WAY_OUT}")
        });
    };
    let found = UNITS_M.iter().find(|(known, _)| *known == code).map(|(_, metres)| *metres);
    found.ok_or_else(|| format!("ProjLinearUnitsGeoKey (3076) says {code}, neither metre nor foot; {WAY_OUT}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_as_long_as_the_ground_it_covers() {
        let utm = System::Projected { epsg: 32640, unit_m: 1.0 };
        let dubai = LatLon::new(25.1972, 55.2744).unwrap();
        for system in [System::Degrees, System::Mercator, utm] {
            let at = system.point_of(dubai).unwrap();
            let [east_m, north_m] = system.metres_per_unit(at).unwrap();
            // A thousandth of a degree north and east, as UTM measures it.
            let [[x0, y0], [x1, y1]] = [system, utm].map(|system| {
                let there = system.point_of(LatLon::new(25.1982, 55.2754).unwrap()).unwrap();
                let here = system.point_of(dubai).unwrap();
                [there[0] - here[0], there[1] - here[1]]
            });
            let (found, wanted) = ((x0 * east_m).hypot(y0 * north_m), x1.hypot(y1));
            assert!((found / wanted - 1.0).abs() < 2e-3, "{system}: {found} m for {wanted} m");
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_named_with_a_way_out() {
        let of = System::of_keys;
        assert_eq!(of(Some(26911), None, None), Ok(System::Projected { epsg: 26911, unit_m: 1.0 }));
        assert_eq!(of(Some(2154), None, Some(9001)), Ok(System::Projected { epsg: 2154, unit_m: 1.0 }));
        assert_eq!(of(Some(2227), None, Some(9002)), Ok(System::Projected { epsg: 2227, unit_m: 0.3048 }));
        assert_eq!(of(None, Some(4326), None), Ok(System::Degrees));
        let refused = [
            (Some(32767), None, None, "ProjectedCRSGeoKey (3072) says 32767"),
            (Some(2154), None, None, "ProjLinearUnitsGeoKey (3076) is missing"),
            (Some(2154), None, Some(9036), "ProjLinearUnitsGeoKey (3076) says 9036"),
            (Some(3395), None, Some(9001), "EPSG:3395"),
            (None, Some(4283), None, "GeodeticCRSGeoKey (2048) says 4283"),
            (None, None, None, "GeodeticCRSGeoKey (2048) is missing"),
        ];
        for (projected, geographic, unit, says) in refused {
            let error = of(projected, geographic, unit).unwrap_err();
            assert!(error.contains(says) && error.contains("gdalwarp"), "{error}");
        }
    }
}
