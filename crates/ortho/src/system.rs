//! The coordinate systems of orthophotos.

use std::fmt;

use smgeo_geo::grid::{Hemisphere, Utm};
use smgeo_geo::{LatLon, mercator};

use crate::georeference::WAY_OUT;

/// From here on a code is none of EPSG's: 32767 stands for a system that the file describes itself.
const EPSG_END: u16 = 32767;
/// WGS 84, ETRS89 and NAD83, which differ by less than two metres.
const DEGREES: [u16; 3] = [4326, 4258, 4269];
/// World maps whose metres are metres at the equator only.
const NOT_TO_SCALE: [u16; 4] = [3395, 4087, 6933, 32662];
/// Length of a unit by its code: metre, foot, US survey foot.
const UNITS_M: [(u16, f64); 3] = [(9001, 1.0), (9002, 0.3048), (9003, 1200.0 / 3937.0)];
const FALSE_NORTHING_M: f64 = 10_000_000.0;

/// Is a coordinate system, as far as tiles need to know it.
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

impl System {
    /// Finds the system that GeoTIFF keys name, or says why it is none that is read.
    pub(crate) fn of_keys(projected: Option<u16>, geographic: Option<u16>, unit: Option<u16>) -> Result<Self, String> {
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

    /// Returns metres on the ground of a unit right and a unit up at a point of the plane; nothing where that is not on the Earth.
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
                let size = mercator::metres_per_px(mercator_place([x, y])?, 0);
                Some([size.east * px_per_m, size.north * px_per_m])
            }
        }
    }

    /// Says whether places on the Earth can be found on the plane: in degrees, web Mercator and UTM.
    pub fn is_on_earth(self) -> bool {
        match self {
            Self::Picture => false,
            Self::Degrees | Self::Mercator => true,
            Self::Projected { epsg, .. } => utm_zone(epsg).is_some(),
        }
    }

    /// Returns the point of a place on the plane, to two metres; nothing where the system [has none](Self::is_on_earth) or ends.
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

    /// Returns the place of a point of the plane, to two metres; nothing where the system [has none](Self::is_on_earth), or off the
    /// Earth.
    pub fn place_of(self, [x, y]: [f64; 2]) -> Option<LatLon> {
        match self {
            Self::Picture => None,
            Self::Degrees => LatLon::new(y, x).ok(),
            Self::Mercator => mercator_place([x, y]),
            Self::Projected { epsg, .. } => {
                let (zone, hemisphere) = utm_zone(epsg)?;
                Utm { zone, hemisphere, easting_m: x, northing_m: y }.to_lat_lon().ok()
            }
        }
    }

    /// Says whether an EPSG code means this system.
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

fn mercator_place([x_m, y_m]: [f64; 2]) -> Option<LatLon> {
    let px_per_m = mercator::world_side_px(0) / (2.0 * mercator::HALF_WORLD_M);
    let world_px = |metres: f64| (metres + mercator::HALF_WORLD_M) * px_per_m;
    mercator::lat_lon(world_px(x_m), world_px(-y_m), 0)
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
