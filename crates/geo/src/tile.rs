//! A map tile of the web-Mercator pyramid: zoom, column, row from the north-west corner.

use std::fmt;

use crate::{EarthError, LatLon, mercator};

/// The side of a tile in pixels.
pub const TILE_PX: u32 = 256;
/// The deepest zoom; columns and rows still fit 32 bits.
pub const ZOOM_MAX: u8 = 30;

/// A tile of the pyramid, in the XYZ scheme (y down).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Zoom: the world is 2^z tiles wide.
    pub z: u8,
    /// Column, from 180 W.
    pub x: u32,
    /// Row, from the north.
    pub y: u32,
}

/// The edges of a tile in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileBounds {
    /// Western edge.
    pub west_deg: f64,
    /// Southern edge.
    pub south_deg: f64,
    /// Eastern edge; 180 for the last column.
    pub east_deg: f64,
    /// Northern edge.
    pub north_deg: f64,
}

impl TileBounds {
    /// The smallest bounds that hold both.
    pub fn with(self, other: TileBounds) -> TileBounds {
        TileBounds {
            west_deg: self.west_deg.min(other.west_deg),
            south_deg: self.south_deg.min(other.south_deg),
            east_deg: self.east_deg.max(other.east_deg),
            north_deg: self.north_deg.max(other.north_deg),
        }
    }
}

impl TileId {
    /// Checks a tile from outside.
    pub fn new(z: u8, x: u32, y: u32) -> Result<TileId, EarthError> {
        if z > ZOOM_MAX || x >= 1 << z || y >= 1 << z {
            return Err(EarthError::Tile { z, x, y });
        }
        Ok(TileId { z, x, y })
    }

    /// The tile that holds a place. Zooms beyond 30 count as 30, latitudes beyond the square world as its edge.
    pub fn containing(at: LatLon, z: u8) -> TileId {
        let zoom = z.min(ZOOM_MAX);
        let (x_px, y_px) = mercator::world_px(at, zoom);
        TileId::holding(x_px, y_px, zoom)
    }

    /// The tile that holds a world pixel; pixels outside the world go to its outermost tiles. None of what is not a
    /// number.
    pub fn at_world_px(x_px: f64, y_px: f64, z: u8) -> Option<TileId> {
        (x_px.is_finite() && y_px.is_finite()).then(|| TileId::holding(x_px, y_px, z.min(ZOOM_MAX)))
    }

    fn holding(x_px: f64, y_px: f64, zoom: u8) -> TileId {
        let last = (1_u32 << zoom) - 1;
        // `as` saturates, so what lies outside goes to the edge.
        let index = |px: f64| ((px / f64::from(TILE_PX)).floor() as u32).min(last);
        TileId { z: zoom, x: index(x_px), y: index(y_px) }
    }

    /// The edges.
    pub fn bounds(self) -> TileBounds {
        let lon_deg = |x: u32| f64::from(x) / f64::from(self.z).exp2() * 360.0 - 180.0;
        let lat_deg = |y: u32| mercator::latitude_deg(f64::from(y) / f64::from(self.z).exp2());
        TileBounds {
            west_deg: lon_deg(self.x),
            south_deg: lat_deg(self.y.saturating_add(1)),
            east_deg: lon_deg(self.x.saturating_add(1)),
            north_deg: lat_deg(self.y),
        }
    }

    /// World pixel of the tile's top-left corner at its own zoom.
    pub fn origin_px(self) -> (f64, f64) {
        (f64::from(self.x) * f64::from(TILE_PX), f64::from(self.y) * f64::from(TILE_PX))
    }

    /// The middle of the tile's picture.
    pub fn centre(self) -> LatLon {
        let (x_px, y_px) = self.origin_px();
        let half = f64::from(TILE_PX) / 2.0;
        mercator::place(x_px + half, y_px + half, self.z)
    }

    /// The tile one zoom up that covers this one; none above zoom 0.
    pub fn parent(self) -> Option<TileId> {
        let z = self.z.checked_sub(1)?;
        Some(TileId { z, x: self.x / 2, y: self.y / 2 })
    }

    /// The tile so many columns east and rows south, around the antimeridian; none beyond the top and bottom row.
    pub fn neighbour(self, columns: i64, rows: i64) -> Option<TileId> {
        let side = 1_i64 << self.z.min(ZOOM_MAX);
        let x = i64::from(self.x).checked_add(columns)?.rem_euclid(side);
        let y = i64::from(self.y).checked_add(rows)?;
        if !(0..side).contains(&y) {
            return None;
        }
        Some(TileId { z: self.z, x: u32::try_from(x).ok()?, y: u32::try_from(y).ok()? })
    }

    /// The row counted from the south, as in MBTiles.
    pub fn row_from_south(self) -> u32 {
        ((1_u32 << self.z.min(ZOOM_MAX)) - 1).saturating_sub(self.y)
    }

    /// The quadkey: one digit a zoom, column bit plus twice the row bit.
    pub fn quadkey(self) -> String {
        (0..self.z.min(ZOOM_MAX))
            .rev()
            .map(|bit| char::from(b'0' + ((self.x >> bit) & 1) as u8 + 2 * ((self.y >> bit) & 1) as u8))
            .collect()
    }

    /// The tile of a quadkey.
    pub fn from_quadkey(quadkey: &str) -> Result<TileId, EarthError> {
        if quadkey.len() > usize::from(ZOOM_MAX) {
            return Err(EarthError::Quadkey(quadkey.to_owned()));
        }
        let mut tile = TileId { z: 0, x: 0, y: 0 };
        for digit in quadkey.chars() {
            let quarter = digit.to_digit(4).ok_or_else(|| EarthError::Quadkey(quadkey.to_owned()))?;
            tile = TileId { z: tile.z + 1, x: tile.x * 2 + (quarter & 1), y: tile.y * 2 + (quarter >> 1) };
        }
        Ok(tile)
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.z, self.x, self.y)
    }
}
