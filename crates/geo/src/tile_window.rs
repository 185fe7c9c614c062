//! A rectangle of tiles that is searched as one picture: reference pixels to places and back.
//!
//! Columns run on across the antimeridian. Pixel (0, 0) is the outer corner of the north-west tile.

use crate::mercator::{self, MetresPerPx};
use crate::tile::ZOOM_MAX;
use crate::{EarthError, LatLon, Pixel, Reference, TILE_PX, TileId};

/// A window of tiles at one zoom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileWindow {
    north_west: TileId,
    columns: u32,
    rows: u32,
}

impl TileWindow {
    /// The window of so many columns and rows from a north-west tile. It must fit the pyramid.
    pub fn new(north_west: TileId, columns: u32, rows: u32) -> Result<TileWindow, EarthError> {
        let tile = TileId::new(north_west.z, north_west.x, north_west.y)?;
        let side = 1_u32 << tile.z;
        if columns == 0 || rows == 0 || columns > side || rows > side - tile.y {
            return Err(EarthError::Window { z: tile.z, columns, rows });
        }
        Ok(TileWindow { north_west: tile, columns, rows })
    }

    /// The window whose middle is nearest a place, moved inwards at the top and bottom of the world.
    pub fn around(centre: LatLon, z: u8, columns: u32, rows: u32) -> Result<TileWindow, EarthError> {
        let zoom = z.min(ZOOM_MAX);
        let side = 1_i64 << zoom;
        let (x_px, y_px) = mercator::world_px(centre, zoom);
        let first = |px: f64, count: u32| (px / f64::from(TILE_PX) - f64::from(count) / 2.0).round() as i64;
        let x = first(x_px, columns).rem_euclid(side);
        let y = first(y_px, rows).clamp(0, (side - i64::from(rows)).max(0));
        let index = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        TileWindow::new(TileId { z: zoom, x: index(x), y: index(y) }, columns, rows)
    }

    /// The smallest window that reaches so many metres from a place to every side, cut at the top and bottom of the
    /// world.
    pub fn covering(centre: LatLon, east_m: f64, north_m: f64, z: u8) -> Result<TileWindow, EarthError> {
        let zoom = z.min(ZOOM_MAX);
        let size = mercator::metres_per_px(centre, zoom);
        let (x_px, y_px) = mercator::world_px(centre, zoom);
        let (right_px, down_px) = (east_m / size.east, north_m / size.north);
        if !(right_px.is_finite() && down_px.is_finite() && right_px >= 0.0 && down_px >= 0.0) {
            return Err(EarthError::NotFinite("reach of a tile window"));
        }
        let side = 1_i64 << zoom;
        let index = |px: f64| (px / f64::from(TILE_PX)).floor() as i64;
        let (west, east) = (index(x_px - right_px), index(x_px + right_px));
        let (north, south) = (index(y_px - down_px).clamp(0, side - 1), index(y_px + down_px).clamp(0, side - 1));
        let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let corner = TileId { z: zoom, x: count(west.rem_euclid(side)), y: count(north) };
        TileWindow::new(corner, count((east.saturating_sub(west)).saturating_add(1)), count(south - north + 1))
    }

    /// The smallest window that holds all the places; none of no places.
    ///
    /// The window does not cross the antimeridian: places on both sides of it make one around the Earth.
    pub fn holding(places: &[LatLon], z: u8) -> Option<TileWindow> {
        let tiles: Vec<TileId> = places.iter().map(|&place| TileId::containing(place, z)).collect();
        let (west, east) = (tiles.iter().map(|tile| tile.x).min()?, tiles.iter().map(|tile| tile.x).max()?);
        let (north, south) = (tiles.iter().map(|tile| tile.y).min()?, tiles.iter().map(|tile| tile.y).max()?);
        let corner = TileId { z: tiles[0].z, x: west, y: north };
        TileWindow::new(corner, east - west + 1, south - north + 1).ok()
    }

    /// Zoom.
    pub fn z(&self) -> u8 {
        self.north_west.z
    }

    /// The tile at the top left.
    pub fn north_west(&self) -> TileId {
        self.north_west
    }

    /// Tiles from west to east.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// Tiles from north to south.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Width of the picture.
    pub fn width_px(&self) -> f64 {
        f64::from(self.columns) * f64::from(TILE_PX)
    }

    /// Height of the picture.
    pub fn height_px(&self) -> f64 {
        f64::from(self.rows) * f64::from(TILE_PX)
    }

    /// The tiles, row by row from the north, each from west to east.
    pub fn tiles(&self) -> impl Iterator<Item = TileId> + '_ {
        let side = u64::from(1_u32 << self.z());
        (0..self.rows).flat_map(move |row| {
            (0..self.columns).map(move |column| TileId {
                z: self.z(),
                x: ((u64::from(self.north_west.x) + u64::from(column)) % side) as u32,
                y: self.north_west.y + row,
            })
        })
    }

    /// Whether a tile is one of the window's.
    pub fn contains(&self, tile: TileId) -> bool {
        let side = 1_u64 << self.z();
        let column = (u64::from(tile.x) + side - u64::from(self.north_west.x)) % side;
        tile.z == self.z()
            && u64::from(tile.x) < side
            && column < u64::from(self.columns)
            && (self.north_west.y..self.north_west.y + self.rows).contains(&tile.y)
    }

    /// The place of a reference pixel, inside the window or out; none of a pixel that is not a number.
    pub fn lat_lon(&self, pixel: Pixel<Reference>) -> Option<LatLon> {
        let (left_px, top_px) = self.north_west.origin_px();
        mercator::lat_lon(left_px + pixel.x, top_px + pixel.y, self.z())
    }

    /// The reference pixel of a place, by the shorter way around the Earth. It may lie outside the window.
    pub fn pixel(&self, at: LatLon) -> Pixel<Reference> {
        let (left_px, top_px) = self.north_west.origin_px();
        let (x_px, y_px) = mercator::world_px(at, self.z());
        let side_px = mercator::world_side_px(self.z());
        let from_middle = x_px - left_px - self.width_px() / 2.0;
        let nearest = from_middle - (from_middle / side_px).round() * side_px;
        Pixel::new(nearest + self.width_px() / 2.0, y_px - top_px)
    }

    /// The place in the middle of the picture.
    pub fn centre(&self) -> LatLon {
        let (left_px, top_px) = self.north_west.origin_px();
        mercator::place(left_px + self.width_px() / 2.0, top_px + self.height_px() / 2.0, self.z())
    }

    /// The true size of a pixel in the middle of the picture.
    pub fn metres_per_px(&self) -> MetresPerPx {
        mercator::metres_per_px(self.centre(), self.z())
    }
}
