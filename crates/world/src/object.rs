//! What stands in a town, as truth: the objects an operator may click on, with where they are.

use serde::Serialize;
use smgeo_geo::LatLon;

/// Names an object within its town.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectId(pub u32);

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A detached or row house.
    House,
    /// A block of flats.
    Apartment,
    /// A shop or market hall.
    Store,
    /// A factory or storage hall.
    Warehouse,
    /// A church.
    Church,
    /// A tennis court.
    TennisCourt,
    /// A basketball court.
    BasketballCourt,
    /// A football field.
    FootballField,
    /// A roundabout, its outer kerb.
    Roundabout,
    /// A bridge, its deck.
    Bridge,
    /// A storage tank.
    Tank,
    /// A swimming pool.
    Pool,
    /// A car park.
    CarPark,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [ObjectKind; 13] = [
        ObjectKind::House,
        ObjectKind::Apartment,
        ObjectKind::Store,
        ObjectKind::Warehouse,
        ObjectKind::Church,
        ObjectKind::TennisCourt,
        ObjectKind::BasketballCourt,
        ObjectKind::FootballField,
        ObjectKind::Roundabout,
        ObjectKind::Bridge,
        ObjectKind::Tank,
        ObjectKind::Pool,
        ObjectKind::CarPark,
    ];

    /// The name used in pair sets and reports.
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::House => "house",
            ObjectKind::Apartment => "apartment",
            ObjectKind::Store => "store",
            ObjectKind::Warehouse => "warehouse",
            ObjectKind::Church => "church",
            ObjectKind::TennisCourt => "tennis_court",
            ObjectKind::BasketballCourt => "basketball_court",
            ObjectKind::FootballField => "football_field",
            ObjectKind::Roundabout => "roundabout",
            ObjectKind::Bridge => "bridge",
            ObjectKind::Tank => "tank",
            ObjectKind::Pool => "pool",
            ObjectKind::CarPark => "car_park",
        }
    }
}

/// A rectangle along east and north in the town's tangent plane, metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BoxEnu {
    /// Smallest east coordinate.
    pub west_m: f64,
    /// Smallest north coordinate.
    pub south_m: f64,
    /// Largest east coordinate.
    pub east_m: f64,
    /// Largest north coordinate.
    pub north_m: f64,
}

impl BoxEnu {
    /// The smallest box around some points.
    pub fn around(points: &[[f64; 2]]) -> BoxEnu {
        let empty = BoxEnu { west_m: f64::MAX, south_m: f64::MAX, east_m: f64::MIN, north_m: f64::MIN };
        points.iter().fold(empty, |b, &[east, north]| BoxEnu {
            west_m: b.west_m.min(east),
            south_m: b.south_m.min(north),
            east_m: b.east_m.max(east),
            north_m: b.north_m.max(north),
        })
    }

    /// The middle, east and north.
    pub fn centre(&self) -> [f64; 2] {
        [(self.west_m + self.east_m) / 2.0, (self.south_m + self.north_m) / 2.0]
    }

    /// East and north extent.
    pub fn size_m(&self) -> [f64; 2] {
        [self.east_m - self.west_m, self.north_m - self.south_m]
    }
}

/// One object and where it is.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name within the town.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// The outline seen from straight above (roof or paved edge), ENU metres; it may be concave.
    pub footprint: Vec<[f64; 2]>,
    /// The box around the footprint.
    pub box_enu: BoxEnu,
    /// The middle of the box on the ground: east, north, height above the origin, metres.
    pub centre_enu: [f64; 3],
    /// The same on the Earth.
    pub centre: LatLon,
    /// Height of its highest part above the ground at the middle, metres; 0 for what is painted on the ground.
    pub height_m: f64,
}
