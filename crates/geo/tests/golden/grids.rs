//! UTM against PROJ, MGRS against GEOTRANS and pygeodesy, the polar grid against pygeodesy.

use smgeo_geo::grid::{Hemisphere, Mgrs, Ups, Utm};
use smgeo_geo::{LatLon, geodesic};

use crate::reading::{count, holds, near, number, parsed, rows, text, turn_deg};

const GOLDEN: &str = include_str!("grids.json");

fn place(row: &serde_json::Value) -> LatLon {
    LatLon::new(number(row, "lat_deg"), number(row, "lon_deg")).unwrap()
}

#[test]
fn utm_agrees_with_proj_there_and_back() {
    for row in rows(&parsed(GOLDEN), "places") {
        let name = text(row, "name");
        let at = place(row);
        let utm = Utm::of(at).unwrap();
        assert_eq!(u64::from(utm.zone), count(row, "zone"), "{name}");
        assert_eq!(utm.hemisphere == Hemisphere::South, holds(row, "south"), "{name}");
        near(utm.easting_m, number(row, "easting_m"), 1e-6, name);
        near(utm.northing_m, number(row, "northing_m"), 1e-6, name);
        let back = utm.to_lat_lon().unwrap();
        near(back.lat_deg(), number(row, "back_lat_deg"), 1e-10, name);
        assert!(turn_deg(back.lon_deg(), number(row, "back_lon_deg")) < 1e-10, "{name}");
        // PROJ differentiates these numerically.
        let north = Utm::grid_north(at, utm.zone).unwrap();
        near(north.convergence_rad.to_degrees(), number(row, "convergence_deg"), 1e-8, name);
        near(north.scale, number(row, "scale"), 1e-9, name);
    }
}

#[test]
fn a_forced_zone_agrees_with_proj() {
    for row in rows(&parsed(GOLDEN), "forced_zone") {
        let at = place(row);
        let zone = count(row, "forced_zone") as u8;
        let utm = Utm::in_zone(at, zone).unwrap();
        near(utm.easting_m, number(row, "easting_m"), 1e-6, "easting");
        near(utm.northing_m, number(row, "northing_m"), 1e-6, "northing");
        assert!(geodesic::distance_m(utm.to_lat_lon().unwrap(), at) < 1e-6, "{at} in zone {zone}");
    }
}

#[test]
fn mgrs_agrees_with_geotrans_and_pygeodesy() {
    for row in rows(&parsed(GOLDEN), "places") {
        let name = text(row, "name");
        let mgrs = Mgrs::of(place(row)).unwrap();
        // These are exact even where the peers sit on the edge of a metre.
        assert_eq!(mgrs.to_string(), text(row, "mgrs_1m_geotrans"), "{name}");
        assert_eq!(mgrs.truncated(4).to_string(), text(row, "mgrs_10m_geotrans"), "{name}");
        if let Some(peer) = row["mgrs_1m_truncated"].as_str() {
            assert_eq!(mgrs.to_string(), peer, "{name}");
            assert_eq!(mgrs.truncated(4).to_string(), text(row, "mgrs_10m_truncated"), "{name}");
        }
    }
}

#[test]
fn the_middle_of_an_mgrs_square_is_where_geotrans_puts_it() {
    for row in rows(&parsed(GOLDEN), "places") {
        let name = text(row, "name");
        let square: Mgrs = text(row, "mgrs_1m_geotrans").parse().unwrap();
        // The file calls these corners, but GEOTRANS answers with the middle: half a metre north and east of the
        // digits.
        let middle = square.centre().unwrap();
        near(middle.lat_deg(), number(row, "mgrs_corner_lat_deg"), 1e-10, name);
        assert!(turn_deg(middle.lon_deg(), number(row, "mgrs_corner_lon_deg")) < 1e-10, "{name}");
        let corner = Utm::in_zone(square.corner().unwrap(), count(row, "zone") as u8).unwrap();
        let utm = Utm::of(place(row)).unwrap();
        near(corner.easting_m, (utm.easting_m + 1e-7).floor(), 1e-6, name);
        near(corner.northing_m.rem_euclid(1e7), (utm.northing_m + 1e-7).floor(), 1e-6, name);
    }
}

#[test]
fn the_polar_grid_and_its_references_agree() {
    for row in rows(&parsed(GOLDEN), "polar_ups") {
        let at = place(row);
        let ups = Ups::of(at).unwrap();
        assert_eq!(ups.pole == Hemisphere::North, text(row, "pole") == "N");
        near(ups.easting_m, number(row, "easting_m"), 1e-6, "easting");
        near(ups.northing_m, number(row, "northing_m"), 1e-6, "northing");
        assert!(geodesic::distance_m(ups.to_lat_lon().unwrap(), at) < 1e-6, "{at}");
        let mgrs = Mgrs::of(at).unwrap();
        assert_eq!(mgrs.to_string(), text(row, "mgrs_1m_geotrans"));
        let read: Mgrs = mgrs.to_string().parse().unwrap();
        assert!(geodesic::distance_m(read.centre().unwrap(), at) < 0.8, "{at}");
    }
}

#[test]
fn where_the_peers_disagree_geotrans_is_followed() {
    for row in rows(&parsed(GOLDEN), "peers_disagree") {
        assert_eq!(Mgrs::of(LatLon::new(84.0, 20.0).unwrap()).unwrap().to_string(), text(row, "geotrans"));
    }
}
