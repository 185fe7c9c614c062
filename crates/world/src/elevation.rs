//! The elevation of a town's ground as Terrarium tiles in an MBTiles file, the form in which web maps carry it: PNG, metres
//! above mean sea level = 256 R + G + B / 256 - 32768. The relief reaches 6 km from the town;
//! beyond it the ground is taken to be as high as the origin.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rusqlite::Connection;
use smgeo_geo::{Geodetic, TILE_PX, Terrain, TileId, mercator};

use crate::error::WorldError;
use crate::tiles::{TilePlan, create, insert};
use crate::town::Town;

/// Writes the tiles of `plan` into a new file; `progress` is told tiles done and tiles in all.
pub fn write_elevation(
    path: &Path,
    town: &Town,
    plan: &TilePlan,
    mut progress: impl FnMut(usize, usize),
) -> Result<usize, WorldError> {
    if path.exists() {
        return Err(WorldError::Exists(path.to_owned()));
    }
    let failed = |source| WorldError::Tiles { path: path.to_owned(), source };
    let tiles = plan.tiles(town);
    let mut store = Connection::open(path).map_err(failed)?;
    let kind = [("format", "png".to_owned()), ("type", "overlay".to_owned()), ("encoding", "terrarium".to_owned())];
    create(&store, town, &kind, plan, &tiles).map_err(failed)?;
    for (done, tile) in tiles.iter().enumerate() {
        insert(&mut store, &[*tile], &[png(town, *tile)?]).map_err(failed)?;
        progress(done + 1, tiles.len());
    }
    Ok(tiles.len())
}

fn png(town: &Town, tile: TileId) -> Result<Vec<u8>, WorldError> {
    let (left, top) = tile.origin_px();
    // The sea is where the geoid is: its height above the ellipsoid changes by millimetres over a town.
    let origin = town.frame().origin();
    let geoid_m = origin.height.m() - origin.height.to_msl(origin.at).m();
    let mut rgb = Vec::with_capacity((TILE_PX * TILE_PX * 3) as usize);
    for row in 0..TILE_PX {
        for column in 0..TILE_PX {
            let (x, y) = (left + f64::from(column) + 0.5, top + f64::from(row) + 0.5);
            let height_m = mercator::lat_lon(x, y, tile.z).map_or(0.0, |at| height_m_msl(town, at, geoid_m));
            let coded = ((height_m + 32_768.0) * 256.0).round().clamp(0.0, f64::from(0xFF_FFFF)) as u32;
            rgb.extend_from_slice(&coded.to_be_bytes()[1..]);
        }
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&rgb, TILE_PX, TILE_PX, ExtendedColorType::Rgb8)
        .map_err(|source| WorldError::Encode { px: TILE_PX, source })?;
    Ok(bytes)
}

fn height_m_msl(town: &Town, at: smgeo_geo::LatLon, geoid_m: f64) -> f64 {
    let frame = town.frame();
    let place = frame.enu_from(Geodetic { at, height: frame.origin().height });
    let up_m = town.terrain().height_m(place.x, place.y).unwrap_or(0.0);
    let point = nalgebra::Vector3::new(place.x, place.y, up_m);
    frame.geodetic_from(point).map_or(0.0, |point| point.height.m() - geoid_m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiles_tell_the_height_of_the_ground() {
        let town = Town::from_seed(3);
        let tile = TileId::containing(town.frame().origin().at, 15);
        let picture = image::load_from_memory(&png(&town, tile).unwrap()).unwrap().to_rgb8();
        for (column, row) in [(3, 7), (128, 128), (250, 99)] {
            let (left, top) = tile.origin_px();
            let at = mercator::lat_lon(left + f64::from(column) + 0.5, top + f64::from(row) + 0.5, 15).unwrap();
            let place = town.frame().enu_from(Geodetic { at, height: town.frame().origin().height });
            let Some(up_m) = town.terrain().height_m(place.x, place.y) else { continue };
            let truth_m = town.geodetic([place.x, place.y, up_m]).unwrap().height.to_msl(at).m();
            let [red, green, blue] = picture.get_pixel(column, row).0.map(f64::from);
            let told_m = 256.0 * red + green + blue / 256.0 - 32_768.0;
            assert!((told_m - truth_m).abs() < 0.05, "{told_m} is not {truth_m}");
        }
    }
}
