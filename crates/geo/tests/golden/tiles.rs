//! Web-Mercator tiles against mercantile and PROJ.

use smgeo_geo::{LatLon, TileId, mercator};

use crate::reading::{all_near, count, near, number, numbers, parsed, rows, text};

const GOLDEN: &str = include_str!("tiles.json");

#[test]
fn places_have_the_same_pixels_tiles_and_quadkeys() {
    let golden = parsed(GOLDEN);
    near(mercator::LAT_MAX_DEG, number(&golden, "lat_max_deg"), 1e-13, "lat_max_deg");
    near(mercator::HALF_WORLD_M, number(&golden, "half_world_m"), 1e-8, "half_world_m");
    for row in rows(&golden, "points") {
        let what = format!("{} at {}", text(row, "name"), count(row, "zoom"));
        let z = count(row, "zoom") as u8;
        let (lat_deg, lon_deg) = (number(row, "lat_deg"), number(row, "lon_deg"));
        // The longitude as given: 180 is the right edge of the world there, the left edge of a `LatLon`.
        let (x_px, y_px) = mercator::world_px_unwrapped(lat_deg, lon_deg, z);
        all_near(&[x_px, y_px], &numbers(row, "world_px"), 1e-6, &what);
        let tile = TileId::at_world_px(x_px, y_px, z).unwrap();
        assert_eq!(vec![f64::from(tile.x), f64::from(tile.y)], numbers(row, "tile"), "{what}");
        let (left_px, top_px) = tile.origin_px();
        all_near(&[x_px - left_px, y_px - top_px], &numbers(row, "in_tile_px"), 1e-6, &what);
        assert_eq!(tile.quadkey(), text(row, "quadkey"), "{what}");
        assert_eq!(TileId::from_quadkey(&tile.quadkey()), Ok(tile), "{what}");
        let at = LatLon::new(lat_deg, lon_deg).unwrap();
        near(mercator::ground_resolution_m_px(at, z), number(row, "ground_resolution_m_px"), 1e-6, &what);
        if lon_deg < 180.0 {
            assert_eq!(TileId::containing(at, z), tile, "{what}");
        }
    }
}

#[test]
fn pixels_have_the_same_places() {
    for row in rows(&parsed(GOLDEN), "px_to_geodetic") {
        let z = count(row, "zoom") as u8;
        let pixel = numbers(row, "world_px");
        let at = mercator::lat_lon(pixel[0], pixel[1], z).unwrap();
        near(at.lat_deg(), number(row, "lat_deg"), 1e-11, "latitude");
        near((at.lon_deg() - number(row, "lon_deg")) % 360.0, 0.0, 1e-11, "longitude");
    }
}

#[test]
fn tiles_have_the_same_edges() {
    for row in rows(&parsed(GOLDEN), "bounds") {
        let zxy = numbers(row, "tile");
        let tile = TileId::new(zxy[0] as u8, zxy[1] as u32, zxy[2] as u32).unwrap();
        let what = tile.to_string();
        let bounds = tile.bounds();
        near(bounds.west_deg, number(row, "west_deg"), 1e-11, &what);
        near(bounds.south_deg, number(row, "south_deg"), 1e-11, &what);
        near(bounds.east_deg, number(row, "east_deg"), 1e-11, &what);
        near(bounds.north_deg, number(row, "north_deg"), 1e-11, &what);
        assert_eq!(tile.quadkey(), text(row, "quadkey"));
        match tile.parent() {
            Some(parent) => {
                let want = numbers(row, "parent_xyz");
                assert_eq!(vec![f64::from(parent.x), f64::from(parent.y), f64::from(parent.z)], want, "{what}");
            }
            None => assert!(row["parent_xyz"].is_null(), "{what}"),
        }
    }
}

#[test]
fn mercator_metres_agree_and_the_golden_scales_are_those_of_a_sphere() {
    for row in rows(&parsed(GOLDEN), "mercator_metres") {
        let name = text(row, "name");
        let at = LatLon::new(number(row, "lat_deg"), number(row, "lon_deg")).unwrap();
        let (x_m, y_m) = mercator::metres(at);
        let width_m = 2.0 * mercator::HALF_WORLD_M;
        near((x_m - number(row, "x_m") + width_m / 2.0).rem_euclid(width_m) - width_m / 2.0, 0.0, 1e-6, name);
        near(y_m, number(row, "y_m"), 1e-6, name);
        // PROJ's factors for EPSG:3857 are spherical, whatever the file's description says: both are 1 / cos(lat). True
        // sizes are tested against the ellipsoid itself, in properties.rs.
        let equator = mercator::ground_resolution_m_px(LatLon::new(0.0, 0.0).unwrap(), 0);
        let spherical = equator / mercator::ground_resolution_m_px(at, 0);
        near(number(row, "scale_north_south") / spherical, 1.0, 1e-8, name);
        near(number(row, "scale_east_west") / spherical, 1.0, 1e-8, name);
    }
}
