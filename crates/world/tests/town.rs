//! A town as its users see it: repeatable, true to its own truth, the same from above and from the side.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use smgeo_geo::{Camera, Euler, Pose, Terrain, TileId, intersect};
use smgeo_world::flight::Flight;
use smgeo_world::render::{self, DroneLook, SatelliteLook};
use smgeo_world::telemetry::{Sensor, SensorSigma};
use smgeo_world::tiles::{TilePlan, write_mbtiles};
use smgeo_world::truth::visible_objects;
use smgeo_world::{Date, Day, ObjectKind, Town, WorldError};

const SEED: u64 = 7;
/// Coarser than usual, for speed.
const TEXEL_M: f32 = 0.5;

fn town() -> &'static (Arc<Town>, Arc<Day>) {
    static TOWN: OnceLock<(Arc<Town>, Arc<Day>)> = OnceLock::new();
    TOWN.get_or_init(|| {
        let town = Town::with_texel(SEED, TEXEL_M);
        let day = Day::new(&town, Date::from_seed(1));
        (town, day)
    })
}

/// A camera `up` metres above the ground at a place, looking along `yaw` and down by `pitch`.
fn pose(town: &Town, [east, north]: [f64; 2], up: f64, yaw_deg: f64, pitch_deg: f64) -> Pose {
    let ground = town.terrain().height_m(east, north).unwrap();
    Pose::from_euler(town.geodetic([east, north, ground + up]).unwrap(), Euler::from_deg(yaw_deg, pitch_deg, 0.0))
}

fn camera() -> Camera {
    Camera { distortion: [-0.05, 0.008, 0.0004, -0.0003, 0.0], ..Camera::from_hfov(480, 270, 1.1) }
}

fn mean(image: &RgbImage, x: f64, y: f64) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for dy in -1..=1 {
        for dx in -1..=1 {
            let column = (x as i64 + dx).clamp(0, i64::from(image.width()) - 1) as u32;
            let row = (y as i64 + dy).clamp(0, i64::from(image.height()) - 1) as u32;
            (0..3).for_each(|c| sum[c] += f64::from(image.get_pixel(column, row)[c]) / 9.0);
        }
    }
    sum
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_seed_another_town() {
    let (town, day) = town();
    let shot = |town: &Town, day: &Day| {
        let satellite = render::satellite_crop(town, day, &SatelliteLook::from_seed(3), [20.0, 30.0], 0.5, 128);
        let drone = render::drone(
            town,
            day,
            &camera(),
            &pose(town, [-60.0, 10.0], 90.0, 80.0, -50.0),
            &DroneLook::from_seed(4),
        );
        (satellite.into_raw(), drone.into_raw())
    };
    let again = Town::with_texel(SEED, TEXEL_M);
    assert_eq!(shot(town, day), shot(&again, &Day::new(&again, Date::from_seed(1))));
    let other = Town::with_texel(SEED + 1, TEXEL_M);
    assert_ne!(shot(town, day), shot(&other, &Day::new(&other, Date::from_seed(1))));
    assert_ne!(town.frame().origin(), other.frame().origin());
}

#[test]
fn another_day_shows_the_same_town_in_another_light() {
    let (town, day) = town();
    let other = Day::new(town, Date::from_seed(2));
    let look = SatelliteLook::default();
    let (a, b) = (
        render::satellite_crop(town, day, &look, [0.0, 0.0], 0.6, 128),
        render::satellite_crop(town, &other, &look, [0.0, 0.0], 0.6, 128),
    );
    assert_ne!(a, b);
}

#[test]
fn a_shadow_falls_away_from_the_sun() {
    let (town, _) = town();
    // A winter morning: long shadows to the north-west.
    let day = Day::new(town, Date { year: 2021, day_of_year: 350, hour: 10.5, seed: 3 });
    let (azimuth, _) = day.date.sun(town.frame().origin().at.lat_deg());
    let look = SatelliteLook { noise: 0.0, ..SatelliteLook::default() };
    let (mut darker, mut count) = (0, 0);
    for hall in town.objects().iter().filter(|object| object.height_m > 8.0) {
        let picture = render::satellite_crop(town, &day, &look, [hall.centre_enu[0], hall.centre_enu[1]], 0.5, 200);
        let [width, depth] = hall.box_enu.size_m();
        let reach = (azimuth.sin().abs() * width + azimuth.cos().abs() * depth) / 2.0;
        let brightness = |sign: f64| {
            let along = |metres: f64| {
                (100.0 + sign * azimuth.sin() * metres / 0.5, 100.0 - sign * azimuth.cos() * metres / 0.5)
            };
            let spots = [0.0, 2.0, 4.0].map(|further| along(reach + further));
            spots.iter().map(|&(x, y)| mean(&picture, x, y).iter().sum::<f64>()).sum::<f64>()
        };
        count += 1;
        darker += usize::from(brightness(-1.0) < brightness(1.0));
    }
    assert!(count >= 5 && darker * 20 >= count * 13, "{darker} of {count}");
}

#[test]
fn a_town_has_enough_to_click_on() {
    let (town, _) = town();
    let kinds: BTreeSet<ObjectKind> = town.objects().iter().map(|object| object.kind).collect();
    assert!(kinds.len() >= 7, "only {kinds:?}");
    assert!(town.objects().len() >= 200);
    for (index, object) in town.objects().iter().enumerate() {
        assert_eq!(object.id.0 as usize, index);
        assert!(object.footprint.len() >= 3 && object.footprint.iter().flatten().all(|c| c.is_finite()), "{object:?}");
        let enu = town
            .frame()
            .enu_from(smgeo_geo::Geodetic { at: object.centre, ..town.geodetic(object.centre_enu).unwrap() });
        assert!((enu.x - object.centre_enu[0]).hypot(enu.y - object.centre_enu[1]) < 1e-3);
    }
}

#[test]
fn a_click_on_a_court_meets_the_ground_inside_the_court() {
    let (town, day) = town();
    let camera = camera();
    let mut checked = 0;
    for target in town.objects().iter().filter(|object| object.height_m == 0.0).step_by(3) {
        let [east, north, _] = target.centre_enu;
        let pose = pose(town, [east - 60.0, north - 20.0], 110.0, 60.0, -58.0);
        let seen = visible_objects(town, day, &camera, &pose);
        for sighting in seen.iter().filter(|sighting| town.object(sighting.id).is_some_and(|o| o.height_m == 0.0)) {
            let object = town.object(sighting.id).unwrap();
            let view = pose.view(town.frame());
            let hit = intersect(view.eye_enu_m, view.ray_enu(&camera, sighting.click), town.terrain()).unwrap();
            let bounds = &object.box_enu;
            let margin = 0.5;
            assert!(
                hit.enu_m.x > bounds.west_m - margin
                    && hit.enu_m.x < bounds.east_m + margin
                    && hit.enu_m.y > bounds.south_m - margin
                    && hit.enu_m.y < bounds.north_m + margin,
                "{sighting:?} meets the ground at {hit:?}, outside {bounds:?}"
            );
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} clicks");
}

#[test]
fn a_pool_is_blue_where_the_truth_says_it_is_in_both_views() {
    let (town, day) = town();
    let (camera, plain) = (camera(), DroneLook { noise: 0.0, vignette: 0.0, ..DroneLook::default() });
    let sharp = SatelliteLook { noise: 0.0, blur_m: 0.2, ..SatelliteLook::default() };
    let bluish = |[r, _, b]: [f64; 3]| b > r + 15.0;
    let (mut above, mut aside, mut count) = (0, 0, 0);
    for pool in town.objects().iter().filter(|object| object.kind == ObjectKind::Pool).take(12) {
        let [east, north, _] = pool.centre_enu;
        let tile = render::satellite_crop(town, day, &sharp, [east, north], 0.3, 32);
        let pose = pose(town, [east - 40.0, north], 100.0, 90.0, -68.0);
        let seen = visible_objects(town, day, &camera, &pose);
        let Some(sighting) = seen.iter().find(|sighting| sighting.id == pool.id && sighting.visible > 0.6) else {
            continue;
        };
        let frame = render::drone(town, day, &camera, &pose, &plain);
        count += 1;
        above += usize::from(bluish(mean(&tile, 16.0, 16.0)));
        aside += usize::from(bluish(mean(&frame, sighting.click.x, sighting.click.y)));
    }
    // A crown may hang over the middle of one or the other.
    assert!(count >= 4 && above * 10 >= count * 8 && aside * 10 >= count * 8, "{above} and {aside} of {count}");
}

#[test]
fn tiles_and_crops_show_the_same_ground() {
    let (town, day) = town();
    let look = SatelliteLook { noise: 0.0, ..SatelliteLook::default() };
    let tile = TileId::containing(town.frame().origin().at, 19);
    let picture = render::satellite(town, day, &look, tile, 256);
    let bounds = tile.bounds();
    let middle =
        smgeo_geo::LatLon::new((bounds.north_deg + bounds.south_deg) / 2.0, (bounds.east_deg + bounds.west_deg) / 2.0)
            .unwrap();
    let enu = town.frame().enu_from(smgeo_geo::Geodetic { at: middle, height: town.frame().origin().height });
    let gsd_m = smgeo_geo::mercator::ground_resolution_m_px(middle, 19);
    let crop = render::satellite_crop(town, day, &look, [enu.x, enu.y], gsd_m, 256);
    let difference: f64 = picture.as_raw().iter().zip(crop.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let mean = difference / picture.as_raw().len() as f64;
    assert!(mean < 4.0, "the two differ by {mean} grey levels");
}

#[test]
fn bad_input_gives_a_picture_and_no_panic() {
    let (town, day) = town();
    let good = pose(town, [0.0, 0.0], 100.0, 0.0, -60.0);
    let lost = Pose {
        ned_from_camera: nalgebra::UnitQuaternion::new_unchecked(nalgebra::Quaternion::new(f64::NAN, 0.0, 0.0, 0.0)),
        ..good
    };
    let underground = pose(town, [0.0, 0.0], -40.0, 0.0, -60.0);
    let upward = pose(town, [0.0, 0.0], 2.0, 0.0, 60.0);
    let folded = Camera { distortion: [3.0, -8.0, 0.2, 0.2, f64::NAN], ..camera() };
    let empty = Camera { width_px: 0, height_px: 0, ..camera() };
    for (camera, pose) in [(camera(), lost), (camera(), underground), (camera(), upward), (folded, good), (empty, good)]
    {
        let frame = render::drone(
            town,
            day,
            &camera,
            &pose,
            &DroneLook { motion_px: [f32::NAN, 3.0], ..DroneLook::from_seed(1) },
        );
        assert_eq!(frame.dimensions(), (camera.width_px, camera.height_px));
        visible_objects(town, day, &camera, &pose);
    }
    for (at, gsd_m, px) in [
        ([0.0, 0.0], 0.0, 8),
        ([f64::NAN, 0.0], 0.5, 8),
        ([1e9, 0.0], 0.5, 8),
        ([0.0, 0.0], f64::NAN, 8),
        ([0.0, 0.0], 0.5, 0),
    ] {
        assert_eq!(render::satellite_crop(town, day, &SatelliteLook::default(), at, gsd_m, px).width(), px);
    }
    let flight = Flight::new(town, 1, 60.0);
    assert!(flight.pose(f64::NAN).is_finite() && flight.pose(-1e12).is_finite());
}

#[test]
fn a_flight_keeps_its_height_speed_and_pitch() {
    let (town, _) = town();
    for (seed, period_s) in [(0, 60.0), (1, 900.0), (2, 47.3), (3, 240.0)] {
        let flight = Flight::new(town, seed, period_s);
        assert!((8.0..=15.0).contains(&flight.speed_mps()));
        for step in 0..2400 {
            let t_s = f64::from(step) * 0.5;
            let pose = flight.pose(t_s);
            let enu = town.frame().enu_from(pose.position);
            let above = enu.z - town.terrain().height_m(enu.x, enu.y).unwrap();
            assert!((75.0..=155.0).contains(&above), "{above} m above ground at {t_s} s of flight {seed}");
            let pitch = pose.euler().pitch_rad.to_degrees();
            assert!((-75.0..=-35.0).contains(&pitch), "pitch {pitch} at {t_s} s");
            assert!(enu.x.abs().max(enu.y.abs()) < 480.0, "{enu:?} at {t_s} s of flight {seed}");
            let next = flight.pose(t_s + 0.1);
            let turned = (next.euler().yaw_rad - pose.euler().yaw_rad).sin().abs().to_degrees();
            assert!(turned < 6.0, "turned {turned} degrees in 0.1 s at {t_s} s");
            let moved = (town.frame().enu_from(next.position) - enu).norm();
            assert!((0.3..2.2).contains(&moved), "moved {moved} m in 0.1 s at {t_s} s of flight {seed}");
        }
    }
}

#[test]
fn a_flight_ends_where_and_as_it_began() {
    let (town, _) = town();
    for (seed, period_s) in [(0, 60.0), (1, 900.0), (2, 47.3)] {
        let flight = Flight::new(town, seed, period_s);
        let steps = (0..40).map(|step| f64::from(step) * 0.05 - 1.0);
        for (before, after) in steps.clone().zip(steps.skip(1)) {
            let (a, b) = (flight.pose(period_s + before), flight.pose(after));
            let moved_m = (town.frame().enu_from(b.position) - town.frame().enu_from(a.position)).norm();
            assert!((moved_m / (0.05 * flight.speed_mps()) - 1.0).abs() < 0.15, "{moved_m} m at {before} s");
            let turned = (b.euler().yaw_rad - a.euler().yaw_rad).sin().abs().to_degrees();
            assert!(turned < 3.0, "turned {turned} degrees at {before} s of flight {seed}");
            let (u, v) = (flight.velocity_ned(before), flight.velocity_ned(after));
            let change = u.iter().zip(v).map(|(u, v)| (u - v).powi(2)).sum::<f64>().sqrt();
            assert!(change < 1.0, "velocity changes by {change} m/s at {before} s of flight {seed}");
        }
    }
}

#[test]
fn telemetry_errs_as_stated() {
    let (town, _) = town();
    let truth = pose(town, [0.0, 0.0], 100.0, 30.0, -50.0);
    let sigma = SensorSigma::default();
    let here = smgeo_geo::LocalFrame::new(truth.position);
    let (mut yaw, mut east, mut up) = (0.0, 0.0, 0.0);
    let count = 800;
    for seed in 0..count {
        let wrong = Sensor::new(seed, sigma, 20.0).measured(&truth, seed * 31);
        yaw += (wrong.euler().yaw_rad - truth.euler().yaw_rad).powi(2);
        let offset = here.enu_from(wrong.position);
        east += offset.x.powi(2);
        up += offset.z.powi(2);
    }
    let total = sigma.total();
    for (name, square, stated) in
        [("yaw", yaw, total.yaw_rad), ("east", east, total.horizontal_m), ("up", up, total.vertical_m)]
    {
        let measured = (square / count as f64).sqrt();
        assert!((measured / stated - 1.0).abs() < 0.1, "{name}: {measured} instead of {stated}");
    }
    let sensor = Sensor::new(5, sigma, 20.0);
    let flight = Flight::new(town, 2, 60.0);
    assert_eq!(sensor.reading(&flight, 77), sensor.reading(&flight, 77));
    assert_ne!(sensor.reading(&flight, 77).pose, sensor.reading(&flight, 78).pose);
}

#[test]
fn an_mbtiles_file_holds_the_town_in_tms_rows() {
    let (town, day) = town();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("town.mbtiles");
    let plan = TilePlan { half_m: 120.0, ..TilePlan::town(18) };
    let mut told = (0, 0);
    let count =
        write_mbtiles(&path, town, day, &SatelliteLook::default(), &plan, |done, all| told = (done, all)).unwrap();
    assert_eq!(told, (count, count));
    let store = rusqlite::Connection::open(&path).unwrap();
    let stored: i64 = store.query_row("SELECT count(*) FROM tiles", [], |row| row.get(0)).unwrap();
    assert_eq!(stored as usize, count);
    let tile = TileId::containing(town.frame().origin().at, 18);
    let bytes: Vec<u8> = store
        .query_row(
            "SELECT tile_data FROM tiles WHERE zoom_level = 18 AND tile_column = ?1 AND tile_row = ?2",
            [i64::from(tile.x), (1i64 << 18) - 1 - i64::from(tile.y)],
            |row| row.get(0),
        )
        .unwrap();
    let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (256, 256));
    let value = |name: &str| -> String {
        store.query_row("SELECT value FROM metadata WHERE name = ?1", [name], |row| row.get(0)).unwrap()
    };
    assert_eq!((value("format"), value("date")), ("jpg".to_owned(), day.date.iso()));
    assert_eq!(value("bounds").split(',').filter_map(|edge| edge.parse::<f64>().ok()).count(), 4);
    let again = write_mbtiles(&path, town, day, &SatelliteLook::default(), &plan, |_, _| ());
    assert!(matches!(again, Err(WorldError::Exists(_))));
    let deep =
        write_mbtiles(&folder.path().join("b"), town, day, &SatelliteLook::default(), &TilePlan::town(30), |_, _| ());
    assert!(matches!(deep, Err(WorldError::Zoom(30))));
}

#[test]
fn the_sun_stands_in_the_south_at_noon_and_higher_in_summer() {
    let date = |day_of_year: u16, hour: f64| Date { year: 2023, day_of_year, hour, seed: 0 };
    let (azimuth, summer) = date(172, 12.0).sun(34.0);
    assert!((azimuth.to_degrees() - 180.0).abs() < 0.1 && (summer.to_degrees() - 79.4).abs() < 0.5);
    let (_, winter) = date(355, 12.0).sun(34.0);
    assert!((winter.to_degrees() - 32.6).abs() < 0.5);
    let (morning, _) = date(172, 9.0).sun(34.0);
    assert!((60.0..120.0).contains(&morning.to_degrees()), "{morning}");
    for (day_of_year, iso) in [(1, "2023-01-01"), (60, "2023-03-01"), (365, "2023-12-31"), (400, "2023-12-31")] {
        assert_eq!(date(day_of_year, 12.0).iso(), iso);
    }
}
