//! What is not finite, not on the ground or at an edge: refused, flagged or carried on, never a wrong number.

use nalgebra::{Vector2, Vector3};
use smgeo_geo::grid::{Mgrs, Utm};
use smgeo_geo::{
    Altitude, Camera, Covariance2, Euler, FirstOrder, FlatGround, Geodetic, KalmanTrack, LatLon, LocalFrame, Motion,
    Pixel, Pose, PoseSigma, RayGround, Sight, SightSigma, Terrain, TileId, TileWindow, geodesic, intersect, mercator,
};

/// The values that must never turn into a place.
const NO_NUMBERS: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

#[test]
fn what_is_not_finite_never_becomes_a_place() {
    let camera = Camera::from_hfov(1280, 720, 1.0);
    let frame = LocalFrame::new(Geodetic::new(25.0, 55.0, 0.0).unwrap());
    let ground = FlatGround { height_m: 0.0 };
    for bad in NO_NUMBERS {
        assert!(LatLon::new(bad, 0.0).is_err() && LatLon::new(0.0, bad).is_err());
        assert!(Geodetic::new(0.0, 0.0, bad).is_err());
        assert!(Geodetic::from_ecef(Vector3::new(bad, 0.0, 7e6)).is_err());
        assert!(frame.geodetic_from(Vector3::new(0.0, bad, 0.0)).is_err());
        assert!(mercator::lat_lon(bad, 0.0, 3).is_none() && TileId::at_world_px(0.0, bad, 3).is_none());
        assert!(camera.project(Vector3::new(bad, 0.0, 1.0)).is_none());
        assert!(camera.unproject(Pixel::new(bad, 0.0)).x.is_nan());
        let down = Vector3::new(0.0, 0.0, -1.0);
        assert!(intersect(Vector3::new(0.0, 0.0, bad), down, &ground).is_none());
        assert!(intersect(Vector3::new(0.0, 0.0, 10.0), Vector3::new(bad, 0.0, -1.0), &ground).is_none());
        assert!(intersect(Vector3::new(0.0, 0.0, 10.0), down, &FlatGround { height_m: bad }).is_none());
        assert!(geodesic::direct(frame.origin().at, bad, 1.0).is_err());
        let utm = Utm { easting_m: bad, ..Utm::of(frame.origin().at).unwrap() };
        assert!(utm.to_lat_lon().is_err());
    }
}

#[test]
fn what_is_not_finite_never_becomes_an_estimate() {
    let round = Covariance2::isotropic(1.0).unwrap();
    let motion = Motion::ConstantVelocity { spectral_density_m2_s3: 0.5 };
    let good = KalmanTrack::new(Vector2::zeros(), round, 1.0, motion).unwrap();
    for bad in NO_NUMBERS {
        assert!(Covariance2::new(bad, 0.0, 1.0).is_err() && Covariance2::new(1.0, bad, 1.0).is_err());
        assert!(KalmanTrack::new(Vector2::new(bad, 0.0), round, 1.0, motion).is_err());
        let mut track = good;
        assert!(track.predict(bad).is_err());
        assert!(track.gate(Vector2::new(bad, 0.0), round, 0.99).is_err());
        assert!(track.update(Vector2::new(0.0, bad), round).is_err());
        assert_eq!(track, good, "a refused measurement changes nothing");
    }
    let mut track = good;
    assert!(track.predict(-0.1).is_err());
    assert_eq!(round.circular_error_m(f64::NAN), f64::INFINITY, "never understated");
    assert!(Covariance2::new(1.0, 2.0, 1.0).is_err(), "correlated beyond one");
    assert!(Covariance2::new(-1.0, 0.0, 1.0).is_err());
}

#[test]
fn a_damaged_pose_casts_no_ray() {
    let frame = LocalFrame::new(Geodetic::new(25.0, 55.0, 0.0).unwrap());
    let camera = Camera::from_hfov(1280, 720, 1.0);
    let sigma = SightSigma {
        pose: PoseSigma { yaw_rad: 0.02, pitch_rad: 0.01, roll_rad: 0.01, horizontal_m: 1.0, vertical_m: 2.0 },
        pixel_px: 1.0,
        terrain_m: 1.0,
    };
    let position = frame.geodetic_from(Vector3::new(0.0, 0.0, 100.0)).unwrap();
    let pose = Pose::from_euler(position, Euler::from_deg(0.0, -60.0, 0.0));
    let ground = FlatGround { height_m: 0.0 };
    let cast = |pose: &Pose, camera: &Camera, pixel, sigma: &SightSigma| {
        RayGround::cast(&Sight { frame: &frame, pose, camera, pixel }, sigma, &ground)
    };
    let middle = Pixel::new(640.0, 360.0);
    assert!(cast(&pose, &camera, middle, &sigma).is_some());
    for bad in NO_NUMBERS {
        let lost = Pose { position: Geodetic { height: Altitude::from_m(bad), ..position }, ..pose };
        assert!(!lost.is_finite() && cast(&lost, &camera, middle, &sigma).is_none());
        let spun = Pose::from_euler(position, Euler::from_deg(bad, -60.0, 0.0));
        assert!(cast(&spun, &camera, middle, &sigma).is_none());
        assert!(cast(&pose, &Camera { fx_px: bad, ..camera }, middle, &sigma).is_none());
        assert!(cast(&pose, &camera, Pixel::new(bad, 360.0), &sigma).is_none());
        assert!(cast(&pose, &camera, middle, &SightSigma { pixel_px: bad, ..sigma }).is_none());
    }
}

#[test]
fn a_ray_that_may_pass_over_a_crest_is_not_believed() {
    // Flat, but for a ridge ten metres tall 200 m to the north.
    struct Ridge;
    impl Terrain for Ridge {
        fn height_m(&self, _east_m: f64, north_m: f64) -> Option<f64> {
            Some((10.0 - (north_m - 200.0).abs()).max(0.0))
        }
    }
    let frame = LocalFrame::new(Geodetic::new(25.0, 55.0, 0.0).unwrap());
    let camera = Camera::from_hfov(1280, 720, 1.0);
    let sigma = SightSigma {
        pose: PoseSigma { yaw_rad: 0.02, pitch_rad: 0.005, roll_rad: 0.005, horizontal_m: 1.0, vertical_m: 2.0 },
        pixel_px: 1.0,
        terrain_m: 1.0,
    };
    let cast = |north_m: f64, up_m: f64| {
        let target = Vector3::new(0.0, north_m, up_m);
        let eye = Vector3::new(0.0, 0.0, 100.0);
        let pitch_rad = ((target.z - eye.z) / north_m).atan();
        let pose = Pose::from_euler(frame.geodetic_from(eye).unwrap(), Euler::new(0.0, pitch_rad, 0.0));
        let sight = Sight { frame: &frame, pose: &pose, camera: &camera, pixel: Pixel::new(640.0, 360.0) };
        RayGround::cast(&sight, &sigma, &Ridge).unwrap()
    };
    let foot = cast(100.0, 0.0);
    assert_eq!(foot.first_order, FirstOrder::Sound);
    let crest = cast(199.9, 9.9);
    assert!((crest.point_enu.y - 199.9).abs() < 0.01);
    assert_eq!(crest.first_order, FirstOrder::Grazing);
    assert!(crest.covariance.nn_m2().sqrt() > 8.0, "{:?}", crest.covariance);
}

#[test]
fn a_damaged_attitude_is_refused() {
    use smgeo_geo::{EarthError, GimbalAttitude};
    let good = GimbalAttitude { q_wxyz: [1.0, 0.0, 0.0, 0.0], flags: 64, delta_yaw_rad: None, vehicle_yaw_rad: None };
    assert!(good.ned_from_gimbal().is_ok());
    for q_wxyz in [[0.0; 4], [2.0, 0.0, 0.0, 0.0], [f64::NAN, 0.0, 0.0, 1.0]] {
        assert!(GimbalAttitude { q_wxyz, ..good }.ned_from_gimbal().is_err());
    }
    let follows = GimbalAttitude { flags: 32, ..good };
    assert_eq!(follows.ned_from_gimbal(), Err(EarthError::VehicleYaw));
    let deaf = GimbalAttitude { delta_yaw_rad: Some(f64::NAN), ..follows };
    assert_eq!(deaf.ned_from_gimbal(), Err(EarthError::VehicleYaw));
}

#[test]
fn text_that_is_no_grid_reference_is_refused() {
    for text in
        ["", "40", "40R", "40RCN2613", "40RCN26132", "61RCN2613287898", "00RCN", "40ICN", "40RIN", "40RCW", "ZZZ", "É"]
    {
        let is_square = text == "40RCN2613";
        assert_eq!(text.parse::<Mgrs>().is_ok(), is_square, "{text}");
    }
    assert_eq!("40r cn 26132 87898".parse::<Mgrs>().unwrap().to_string(), "40RCN2613287898");
    assert!(TileId::from_quadkey("0124").is_err() && TileId::from_quadkey(&"0".repeat(31)).is_err());
    assert!(TileId::new(3, 8, 0).is_err() && TileId::new(31, 0, 0).is_err());
}

#[test]
fn a_pixels_covariance_becomes_north_and_east() {
    let at = LatLon::new(25.0, 55.0).unwrap();
    let size = mercator::metres_per_px(at, 18);
    let ground = size.covariance(4.0, 1.0, 9.0).unwrap();
    assert!((ground.ee_m2() - 4.0 * size.east.powi(2)).abs() < 1e-12);
    assert!((ground.nn_m2() - 9.0 * size.north.powi(2)).abs() < 1e-12);
    // Right and down is east and south.
    assert!((ground.ne_m2() + size.east * size.north).abs() < 1e-12);
    assert!(size.covariance(f64::NAN, 0.0, 1.0).is_err());
}

#[test]
fn a_level_camera_sees_to_the_cut_and_one_that_looks_up_sees_nothing() {
    let frame = LocalFrame::new(Geodetic::new(25.0, 55.0, 0.0).unwrap());
    let camera = Camera::from_hfov(1280, 720, 1.0);
    let ground = FlatGround { height_m: 0.0 };
    let seen = |pitch_deg: f64| {
        let position = frame.geodetic_from(Vector3::new(0.0, 0.0, 100.0)).unwrap();
        let view = Pose::from_euler(position, Euler::from_deg(0.0, pitch_deg, 0.0)).view(&frame);
        view.footprint(&camera, &ground, 2_000.0)
    };
    let level = seen(-5.0);
    let furthest = level.iter().map(|point| point.xy().norm()).fold(0.0, f64::max);
    assert!((furthest - 2_000.0).abs() < 1e-6 && level.iter().all(|point| point.z.abs() < 1e-6));
    assert!(seen(60.0).is_empty());
}

#[test]
fn a_window_runs_on_across_the_antimeridian() {
    let fiji = LatLon::new(-17.0, 179.999).unwrap();
    let window = TileWindow::around(fiji, 12, 4, 4).unwrap();
    let columns: Vec<u32> = window.tiles().take(4).map(|tile| tile.x).collect();
    assert_eq!(columns, [4094, 4095, 0, 1]);
    let east_of_it = LatLon::new(-17.0, -179.99).unwrap();
    let pixel = window.pixel(east_of_it);
    assert!(pixel.x > 512.0 && pixel.x < 1024.0, "{pixel:?}");
    assert!(window.contains(TileId::containing(east_of_it, 12)));
    assert!(TileWindow::around(fiji, 1, 4, 4).is_err(), "wider than the world");
}
