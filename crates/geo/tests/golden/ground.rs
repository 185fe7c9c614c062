//! Rays against the Earth, an elevation model and a plane; the covariance against a numerical Jacobian and Monte Carlo.

use nalgebra::Vector3;
use serde_json::Value;
use smgeo_geo::ground::jacobian;
use smgeo_geo::local_frame::swap_ned_enu;
use smgeo_geo::{
    Altitude, Camera, Euler, FirstOrder, FlatGround, Geodetic, GridShape, GridTerrain, LevelGround, LocalFrame, Pixel,
    PlaneGround, Pose, PoseSigma, RayGround, Sight, SightSigma, Terrain, earth_ray, intersect,
};

use crate::reading::{all_near, holds, near, number, numbers, parsed, rows, text, turn_deg};

const GOLDEN: &str = include_str!("ground.json");

fn is_grazing(row: &Value) -> bool {
    text(row, "name").starts_with("grazing")
}

#[test]
fn rays_meet_the_earth_where_the_peers_do() {
    let golden = parsed(GOLDEN);
    for row in rows(&golden, "earth") {
        let name = text(row, "name");
        let eye = Geodetic::new(number(row, "lat_deg"), number(row, "lon_deg"), number(row, "h_m")).unwrap();
        let ground = Altitude::from_m(number(row, "ground_h_m"));
        let frame = LocalFrame::new(eye);
        let ray_ned = Vector3::from_vec(numbers(row, "ray_ned"));
        let ray = frame.ecef_from_ned() * ray_ned;
        let tolerance_m = if is_grazing(row) { 1e-2 } else { 1e-5 };

        let plane = FlatGround { height_m: ground.above_m(eye.height) };
        let flat = intersect(Vector3::zeros(), swap_ned_enu(ray_ned), &plane);
        assert_eq!(flat.is_some(), !row["flat"].is_null(), "{name}");
        if let Some(hit) = flat {
            near(hit.range_m, number(&row["flat"], "range_m"), 1e-6, name);
            near(hit.enu_m.x, number(&row["flat"], "east_m"), 1e-6, name);
            near(hit.enu_m.y, number(&row["flat"], "north_m"), 1e-6, name);
        }
        for (kind, hit) in [
            ("scaled_ellipsoid", earth_ray::scaled_ellipsoid(eye, ray, ground)),
            ("constant_height", earth_ray::constant_height(eye, ray, ground)),
        ] {
            let want = &row[kind];
            assert_eq!(hit.is_some(), !want.is_null(), "{name} {kind}");
            let Some(hit) = hit else { continue };
            near(hit.range_m, number(want, "range_m"), tolerance_m, name);
            let there = Geodetic::new(number(want, "lat_deg"), number(want, "lon_deg"), number(want, "h_m")).unwrap();
            assert!((hit.point.to_ecef() - there.to_ecef()).norm() < tolerance_m, "{name} {kind}");
        }
        let sphere = earth_ray::sphere(eye, ray, ground, number(&golden, "sphere_radius_m"));
        assert_eq!(sphere.is_some(), !row["sphere"].is_null(), "{name}");
        if let Some((range_m, at)) = sphere {
            near(range_m, number(&row["sphere"], "range_m"), tolerance_m, name);
            near(at.lat_deg(), number(&row["sphere"], "lat_deg"), tolerance_m * 1e-5, name);
            let off_deg = turn_deg(at.lon_deg(), number(&row["sphere"], "lon_deg"));
            assert!(off_deg * at.lat_rad().cos() < tolerance_m * 1e-5, "{name}");
        }
    }
}

#[test]
fn level_ground_stands_for_constant_height_at_the_ranges_of_a_drone() {
    for row in rows(&parsed(GOLDEN), "earth") {
        let name = text(row, "name");
        let want = &row["constant_height"];
        if want.is_null() || number(want, "range_m") > 25_000.0 {
            continue;
        }
        let eye = Geodetic::new(number(row, "lat_deg"), number(row, "lon_deg"), number(row, "h_m")).unwrap();
        let frame = LocalFrame::new(eye);
        let ground = LevelGround::new(&frame, Altitude::from_m(number(row, "ground_h_m")));
        let ray_enu = swap_ned_enu(Vector3::from_vec(numbers(row, "ray_ned")));
        let hit = intersect(Vector3::zeros(), ray_enu, &ground).unwrap();
        near(hit.range_m, number(want, "range_m"), 0.02, name);
        near(hit.enu_m.z, ground.height_m(hit.enu_m.x, hit.enu_m.y).unwrap(), 1e-6, name);
    }
}

fn hills(golden: &Value) -> GridTerrain {
    let node = |e: f64, n: f64| {
        40.0 * (-((e - 120.0).powi(2) + (n - 60.0).powi(2)) / 7200.0).exp()
            + 25.0 * (-((e + 100.0).powi(2) + (n - 150.0).powi(2)) / 3200.0).exp()
            + 0.05 * e
            - 0.02 * n
            + 3.0 * (e / 17.0).sin() * (n / 23.0).cos()
    };
    for check in numbers(&golden["dem_grid"], "check_nodes_east_north_height").chunks(3) {
        near(node(check[0], check[1]), check[2], 1e-12, "node");
    }
    let shape = GridShape { west_m: -300.0, south_m: -300.0, cell_m: 10.0, columns: 61, rows: 61 };
    let at = |k: usize| -300.0 + 10.0 * k as f64;
    GridTerrain::new(shape, (0..61 * 61).map(|k| node(at(k % 61), at(k / 61))).collect()).unwrap()
}

/// Hides that a terrain is a grid, so that the general walk has to do.
struct Anything<'a>(&'a GridTerrain);

impl Terrain for Anything<'_> {
    fn height_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        self.0.height_m(east_m, north_m)
    }

    fn slope_max(&self) -> f64 {
        self.0.slope_max()
    }
}

#[test]
fn rays_meet_an_elevation_model_exactly() {
    let golden = parsed(GOLDEN);
    let hills = hills(&golden);
    for row in rows(&golden, "dem") {
        let name = text(row, "name");
        let origin = Vector3::from_vec(numbers(row, "origin_enu_m"));
        let ray = Vector3::from_vec(numbers(row, "ray_enu"));
        let exact = intersect(origin, ray, &hills);
        let walked = intersect(origin, ray, &Anything(&hills));
        if row["hit"].is_null() {
            assert_eq!((exact, walked), (None, None), "{name}");
            continue;
        }
        let want = &row["hit"];
        let tolerance_m = 1e-6 / number(want, "closing_slope");
        for hit in [exact.unwrap(), walked.unwrap()] {
            near(hit.range_m, number(want, "range_m"), tolerance_m, name);
            all_near(hit.enu_m.iter(), &numbers(want, "enu_m"), tolerance_m, name);
        }
    }
}

/// A golden covariance case, with its plane and the frame below the camera.
struct Case {
    frame: LocalFrame,
    pose: Pose,
    camera: Camera,
    pixel: Pixel<smgeo_geo::Frame>,
    sigma: SightSigma,
    plane: PlaneGround,
}

fn case(row: &Value) -> Case {
    let state = numbers(row, "state");
    let lens = numbers(row, "lens_fx_fy_cx_cy");
    let sigma = numbers(row, "sigma");
    let slope = numbers(row, "plane_slope_east_north");
    let frame = LocalFrame::new(Geodetic::new(25.2, 55.3, 30.0).unwrap());
    let position = frame.geodetic_from(Vector3::new(state[4], state[3], state[5])).unwrap();
    assert!(sigma[3] == sigma[4] && sigma[6] == sigma[7], "one sigma for both directions");
    Case {
        frame,
        pose: Pose::from_euler(position, Euler::new(state[0], state[1], state[2])),
        camera: Camera {
            width_px: 1280,
            height_px: 720,
            fx_px: lens[0],
            fy_px: lens[1],
            cx_px: lens[2],
            cy_px: lens[3],
            distortion: [0.0; 5],
        },
        pixel: Pixel::new(state[6], state[7]),
        sigma: SightSigma {
            pose: PoseSigma {
                yaw_rad: sigma[0],
                pitch_rad: sigma[1],
                roll_rad: sigma[2],
                horizontal_m: sigma[3],
                vertical_m: sigma[5],
            },
            pixel_px: sigma[6],
            terrain_m: sigma[8],
        },
        plane: PlaneGround { height_m: state[8], slope_east: slope[0], slope_north: slope[1] },
    }
}

#[test]
fn a_rays_covariance_agrees_with_the_numerical_one_and_with_monte_carlo() {
    for row in rows(&parsed(GOLDEN), "covariance") {
        let name = text(row, "name");
        let case = case(row);
        let sight = Sight { frame: &case.frame, pose: &case.pose, camera: &case.camera, pixel: case.pixel };
        let view = case.pose.view(&case.frame);
        let ray = view.ray_enu(&case.camera, case.pixel);
        let point = intersect(view.eye_enu_m, ray, &case.plane).unwrap();
        let range_m = number(row, "range_m");
        near(point.range_m, range_m, 1e-6 * range_m, name);
        all_near([point.enu_m.y, point.enu_m.x].iter(), &numbers(row, "point_ne_m"), 1e-7 * range_m, name);

        let want = numbers(row, "jacobian_ne_by_state");
        let scale = want.iter().fold(0.0_f64, |most, part| most.max(part.abs()));
        let got = jacobian(&sight, &view, &point).unwrap();
        all_near(got.transpose().iter(), &want, 1e-6 * scale, name);

        let cast = RayGround::cast(&sight, &case.sigma, &case.plane).unwrap();
        let linear = numbers(row, "covariance_first_order_m2");
        let trace = linear[0] + linear[3];
        assert_eq!(cast.first_order == FirstOrder::Sound, holds(row, "first_order_valid"), "{name}");
        if cast.first_order == FirstOrder::Sound {
            all_near(cast.covariance.matrix().iter(), &linear, 1e-6 * trace, name);
            let sampled = numbers(row, "covariance_monte_carlo_m2");
            let tolerance = number(row, "tolerance_over_trace") * (sampled[0] + sampled[3]);
            all_near(cast.covariance.matrix().iter(), &sampled, tolerance, name);
            continue;
        }
        // Where the first order fails the widened sigma holds what Monte Carlo found, on both sides.
        let percentiles = numbers(row, "distance_percentiles_5_50_95_m");
        let along = point.enu_m.xy().normalize();
        let along_ne = nalgebra::Vector2::new(along.y, along.x);
        let reach_m = 1.645 * along_ne.dot(&(cast.covariance.matrix() * along_ne)).sqrt();
        let distance_m = number(row, "distance_m");
        assert!(distance_m - reach_m <= percentiles[0] && percentiles[2] <= distance_m + reach_m, "{name}: {reach_m}");
    }
}
