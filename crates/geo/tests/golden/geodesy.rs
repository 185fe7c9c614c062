//! Geodetic, Earth-centred and local coordinates against PROJ, pymap3d and pygeodesy; geodesics against GeographicLib.

use nalgebra::Vector3;
use smgeo_geo::local_frame::{ned_from_ecef, swap_ned_enu};
use smgeo_geo::{Geodetic, LatLon, LocalFrame, geodesic};

use crate::reading::{all_near, holds, near, number, numbers, parsed, rows, text, turn_deg};

const GOLDEN: &str = include_str!("geodesy.json");

fn vector(row: &serde_json::Value, key: &str) -> Vector3<f64> {
    Vector3::from_vec(numbers(row, key))
}

#[test]
fn points_agree_in_all_coordinates() {
    for row in rows(&parsed(GOLDEN), "points") {
        let name = text(row, "name");
        let height_m = number(row, "h_m");
        let ecef_tolerance_m = if height_m > 100_000.0 { 1e-5 } else { 1e-6 };
        let point = Geodetic::new(number(row, "lat_deg"), number(row, "lon_deg"), height_m).unwrap();
        let ecef = numbers(row, "ecef_m");
        all_near(point.to_ecef().iter(), &ecef, ecef_tolerance_m, name);

        let back = Geodetic::from_ecef(vector(row, "ecef_m")).unwrap();
        near(back.at.lat_deg(), number(row, "back_lat_deg"), 1e-11, name);
        if !holds(row, "lon_free") {
            assert!(turn_deg(back.at.lon_deg(), number(row, "back_lon_deg")) < 1e-11, "{name}");
        }
        near(back.height.m(), number(row, "back_h_m"), 1e-6, name);
    }
}

#[test]
fn local_frames_agree_in_both_directions() {
    for row in rows(&parsed(GOLDEN), "points") {
        let name = text(row, "name");
        let height_m = number(row, "h_m");
        let at = LatLon::new(number(row, "lat_deg"), number(row, "lon_deg")).unwrap();
        let want: Vec<f64> = numbers(row, "ned_from_ecef");
        all_near(ned_from_ecef(at).transpose().iter(), &want, 1e-15, name);

        let frame = LocalFrame::new(Geodetic::new(at.lat_deg(), at.lon_deg(), height_m).unwrap());
        let enu = vector(row, "target_enu_m");
        assert_eq!(swap_ned_enu(enu).as_slice(), numbers(row, "target_ned_m"), "{name}");
        let target = frame.geodetic_from(enu).unwrap();
        near(target.at.lat_deg(), number(row, "target_lat_deg"), 1e-11, name);
        assert!(turn_deg(target.at.lon_deg(), number(row, "target_lon_deg")) * at.lat_rad().cos() < 1e-11, "{name}");
        near(target.height.m(), number(row, "target_h_m"), 1e-6, name);

        let given =
            Geodetic::new(number(row, "target_lat_deg"), number(row, "target_lon_deg"), number(row, "target_h_m"))
                .unwrap();
        all_near(given.to_ecef().iter(), &numbers(row, "target_ecef_m"), 1e-5, name);
        all_near(frame.enu_from(given).iter(), enu.as_slice(), 1e-6, name);
        let look = frame.look_at(given);
        near(look.range_m, number(row, "range_m"), 1e-6, name);
        // Angles are as good as a micrometre is at that range.
        let angle_deg = (1e-6 / look.range_m).to_degrees();
        near(look.elevation_rad.to_degrees(), number(row, "elevation_deg"), angle_deg, name);
        let level_m = enu.x.hypot(enu.y);
        assert!(turn_deg(look.azimuth_rad.to_degrees(), number(row, "azimuth_deg")) < (1e-6 / level_m).to_degrees());
    }
}

#[test]
fn geodesics_agree_in_both_directions() {
    let golden = parsed(GOLDEN);
    for row in rows(&golden, "inverse") {
        let from = LatLon::new(number(row, "lat1_deg"), number(row, "lon1_deg")).unwrap();
        let to = LatLon::new(number(row, "lat2_deg"), number(row, "lon2_deg")).unwrap();
        let line = geodesic::inverse(from, to);
        let distance_m = number(row, "distance_m");
        let what = format!("{from} to {to}");
        near(line.distance_m, distance_m, 1e-6, &what);
        let azimuth_tolerance_deg = if distance_m < 10.0 { 1e-6 } else { 1e-9 };
        if distance_m > 0.0 {
            assert!(turn_deg(line.azimuth_start_deg, number(row, "azimuth1_deg")) < azimuth_tolerance_deg, "{what}");
            assert!(turn_deg(line.azimuth_end_deg, number(row, "azimuth2_deg")) < azimuth_tolerance_deg, "{what}");
        }
    }
    for row in rows(&golden, "direct") {
        let from = LatLon::new(number(row, "lat1_deg"), number(row, "lon1_deg")).unwrap();
        let (to, azimuth_deg) = geodesic::direct(from, number(row, "azimuth1_deg"), number(row, "distance_m")).unwrap();
        let want = LatLon::new(number(row, "lat2_deg"), number(row, "lon2_deg")).unwrap();
        assert!(geodesic::distance_m(to, want) < 1e-6, "{from}: {to}, not {want}");
        // At a pole the longitude is free and the azimuth goes with it.
        if want.lat_deg().abs() < 90.0 - 1e-9 {
            assert!(turn_deg(azimuth_deg, number(row, "azimuth2_deg")) < 1e-9, "{from}");
        }
    }
}
