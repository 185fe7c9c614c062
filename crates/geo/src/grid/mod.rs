//! Map grids: UTM, its polar companion UPS, and the MGRS references that people read to each other.

mod conformal;
mod mgrs;
mod transverse_mercator;
mod ups;
mod utm;

pub use mgrs::Mgrs;
pub use ups::Ups;
pub use utm::{GridNorth, Utm};

/// Which side of the equator a grid counts from. The equator is north.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hemisphere {
    /// Latitude zero and above.
    North,
    /// Below.
    South,
}

impl Hemisphere {
    /// The side of a latitude.
    pub fn of_latitude(lat_deg: f64) -> Hemisphere {
        if lat_deg < 0.0 { Hemisphere::South } else { Hemisphere::North }
    }
}
