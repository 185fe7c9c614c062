//! What holds for every camera, place, window and track: round trips, true scales, and refusals of what is not finite.

use nalgebra::{Vector2, Vector3};
use proptest::prelude::*;
use smgeo_geo::grid::{Mgrs, Utm};
use smgeo_geo::{
    Altitude, Camera, Covariance2, Ellipsoid, Euler, FlatGround, Geodetic, GridShape, GridTerrain, Homography,
    KalmanTrack, LatLon, LocalFrame, MapCrop, Motion, Pixel, PlaneGround, Pose, Reference, Sight, Terrain, TileId,
    TileWindow, chi_square, geodesic, ground, intersect, mercator,
};

prop_compose! {
    fn any_place()(lat_deg in -90.0..=90.0_f64, lon_deg in -180.0..180.0_f64) -> LatLon {
        LatLon::new(lat_deg, lon_deg).unwrap()
    }
}

prop_compose! {
    fn mapped_place()(lat_deg in -84.9..=84.9_f64, lon_deg in -180.0..180.0_f64) -> LatLon {
        LatLon::new(lat_deg, lon_deg).unwrap()
    }
}

prop_compose! {
    fn any_point()(at in any_place(), height_m in -5_000.0..40_000.0_f64) -> Geodetic {
        Geodetic { at, height: Altitude::from_m(height_m) }
    }
}

prop_compose! {
    fn any_camera()(
        hfov_deg in 5.0..100.0_f64,
        k1 in -0.25..0.1_f64,
        p in -0.001..0.001_f64,
        off in -20.0..20.0_f64,
    ) -> Camera {
        let ideal = Camera::from_hfov(1280, 720, hfov_deg.to_radians());
        // As strong at the image corner whatever the focal length.
        let corner = (640.0 / ideal.fx_px).hypot(360.0 / ideal.fy_px);
        let (k1, k2) = (k1 / corner.powi(2), 0.05 / corner.powi(4));
        Camera { cx_px: 640.0 + off, cy_px: 360.0 - off, distortion: [k1, k2, p / corner, -p / corner, 0.0], ..ideal }
    }
}

prop_compose! {
    fn any_euler()(yaw in -180.0..180.0_f64, pitch in -89.9..89.9_f64, roll in -179.0..179.0_f64) -> Euler {
        Euler::from_deg(yaw, pitch, roll)
    }
}

prop_compose! {
    fn downward_pose()(
        at in mapped_place(),
        height_m in 60.0..400.0_f64,
        yaw in -180.0..180.0_f64,
        pitch in -90.0..-40.0_f64,
        roll in -10.0..10.0_f64,
    ) -> Pose {
        Pose::from_euler(Geodetic { at, height: Altitude::from_m(height_m) }, Euler::from_deg(yaw, pitch, roll))
    }
}

proptest! {
    #[test]
    fn projecting_back_returns_the_pixel(camera in any_camera(), x in 0.0..1280.0_f64, y in 0.0..720.0_f64) {
        let pixel = Pixel::new(x, y);
        let ray = camera.unproject(pixel);
        prop_assert!((ray.norm() - 1.0).abs() < 1e-12);
        let back = camera.project(ray * 123.0).unwrap();
        prop_assert!(back.distance_px(pixel) < 1e-6, "{pixel:?} {back:?}");
        let ideal = camera.undistort(pixel).unwrap();
        prop_assert!(camera.distort(ideal).unwrap().distance_px(pixel) < 1e-6);
    }

    #[test]
    fn a_smaller_picture_of_the_same_view_has_the_same_rays(
        camera in any_camera(), x in 0.0..1.0_f64, y in 0.0..1.0_f64,
    ) {
        let small = camera.rescaled(320, 240);
        let one = camera.unproject(Pixel::new(x * 1280.0, y * 720.0));
        let other = small.unproject(Pixel::new(x * 320.0, y * 240.0));
        prop_assert!((one - other).norm() < 1e-9);
    }

    #[test]
    fn a_seen_point_lies_on_its_pixels_ray(
        camera in any_camera(), pose in downward_pose(),
        east in -3_000.0..3_000.0_f64, north in -3_000.0..3_000.0_f64, along in 10.0..900.0_f64,
    ) {
        let origin = LocalFrame::new(pose.position).geodetic_from(Vector3::new(east, north, -50.0)).unwrap();
        let frame = LocalFrame::new(origin);
        let view = pose.view(&frame);
        let pixel = Pixel::new(400.0, 500.0);
        let point = view.eye_enu_m + view.ray_enu(&camera, pixel) * along;
        prop_assert!(view.project(&camera, point).unwrap().distance_px(pixel) < 1e-6);
        prop_assert!(view.depth_m(point) > 0.0 && view.depth_m(point) <= along + 1e-9);
    }

    #[test]
    fn angles_come_back_from_a_rotation(euler in any_euler()) {
        let back = Euler::of(&euler.ned_from_body());
        prop_assert!(back.ned_from_body().angle_to(&euler.ned_from_body()) < 1e-7);
        prop_assert!((back.pitch_rad - euler.pitch_rad).abs() < 1e-7);
    }

    #[test]
    fn points_come_back_from_earth_centred_axes(point in any_point()) {
        let back = Geodetic::from_ecef(point.to_ecef()).unwrap();
        prop_assert!((back.to_ecef() - point.to_ecef()).norm() < 1e-7);
        prop_assert!((back.at.lat_deg() - point.at.lat_deg()).abs() < 1e-11);
        prop_assert!((back.height.m() - point.height.m()).abs() < 1e-7);
    }

    #[test]
    fn points_come_back_from_a_local_frame(
        origin in any_point(), e in -50_000.0..50_000.0_f64, n in -50_000.0..50_000.0_f64, u in -500.0..10_000.0_f64,
    ) {
        let frame = LocalFrame::new(origin);
        let enu = Vector3::new(e, n, u);
        prop_assert!((frame.enu_from(frame.geodetic_from(enu).unwrap()) - enu).norm() < 1e-6);
    }

    #[test]
    fn places_come_back_from_world_pixels_and_lie_in_their_tile(at in mapped_place(), z in 0_u8..=24) {
        let (x, y) = mercator::world_px(at, z);
        prop_assert!(geodesic::distance_m(mercator::lat_lon(x, y, z).unwrap(), at) < 1e-6);
        let tile = TileId::containing(at, z);
        let bounds = tile.bounds();
        prop_assert!(bounds.south_deg <= at.lat_deg() + 1e-12 && at.lat_deg() <= bounds.north_deg + 1e-12);
        prop_assert!(bounds.west_deg <= at.lon_deg() + 1e-12 && at.lon_deg() <= bounds.east_deg + 1e-12);
        prop_assert_eq!(TileId::containing(tile.centre(), z), tile);
        prop_assert_eq!(TileId::from_quadkey(&tile.quadkey()), Ok(tile));
        prop_assert_eq!(tile.row_from_south(), (1_u32 << z) - 1 - tile.y);
        for (columns, rows) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            if let Some(next) = tile.neighbour(columns, rows) {
                prop_assert_eq!(next.neighbour(-columns, -rows), Some(tile));
            }
        }
    }

    #[test]
    fn a_windows_pixels_and_places_are_inverse(
        at in mapped_place(), z in 6_u8..=20, columns in 1_u32..6, rows in 1_u32..6,
        x in 0.0..1.0_f64, y in 0.0..1.0_f64,
    ) {
        let window = TileWindow::around(at, z, columns, rows).unwrap();
        let pixel = Pixel::<Reference>::new(x * window.width_px(), y * window.height_px());
        let place = window.lat_lon(pixel).unwrap();
        prop_assert!(window.pixel(place).distance_px(pixel) < 1e-4);
        prop_assert_eq!(window.tiles().count() as u32, columns * rows);
        prop_assert!(window.tiles().all(|tile| window.contains(tile)));
        // The place asked for is at most half a tile from the middle, but for the world's upper and lower edge.
        let middle = Pixel::<Reference>::new(window.width_px() / 2.0, window.height_px() / 2.0);
        let off = window.pixel(at);
        prop_assert!((off.x - middle.x).abs() <= 128.0 + 1e-3);
        if at.lat_deg().abs() < 80.0 {
            prop_assert!((off.y - middle.y).abs() <= 128.0 + 1e-3);
            prop_assert!(window.contains(TileId::containing(at, z)));
        }
    }

    #[test]
    fn a_pixels_true_size_is_the_ellipsoids(at in mapped_place(), z in 16_u8..=20) {
        let (x, y) = mercator::world_px(at, z);
        let size = mercator::metres_per_px(at, z);
        let frame = LocalFrame::new(Geodetic { at, height: Altitude::<Ellipsoid>::from_m(0.0) });
        let stepped = |dx: f64, dy: f64| {
            let there = mercator::lat_lon(x + dx, y + dy, z).unwrap();
            frame.enu_from(Geodetic { at: there, height: Altitude::from_m(0.0) })
        };
        prop_assert!((stepped(1.0, 0.0).x / size.east - 1.0).abs() < 1e-6);
        prop_assert!((stepped(0.0, -0.5).y - stepped(0.0, 0.5).y - size.north).abs() < 1e-6 * size.north);
    }

    #[test]
    fn grid_references_hold_the_place_they_were_made_of(at in any_place(), digits in 0_u8..=5) {
        let mgrs = Mgrs::of(at).unwrap().truncated(digits);
        let read: Mgrs = mgrs.to_string().parse().unwrap();
        prop_assert_eq!(read, mgrs);
        // Half a diagonal, and the grid's scale.
        let reach_m = mgrs.side_m() * 0.5_f64.sqrt() * 1.01;
        prop_assert!(geodesic::distance_m(read.centre().unwrap(), at) <= reach_m);
    }

    #[test]
    fn utm_comes_back_from_its_own_zone_and_the_next(lat in -80.0..=84.0_f64, lon in -180.0..180.0_f64) {
        let at = LatLon::new(lat, lon).unwrap();
        let utm = Utm::of(at).unwrap();
        let next = Utm::in_zone(at, utm.zone % 60 + 1).unwrap();
        for grid in [utm, next] {
            prop_assert!(geodesic::distance_m(grid.to_lat_lon().unwrap(), at) < 1e-6);
        }
    }

    #[test]
    fn a_geodesic_walked_leads_to_its_end(from in any_place(), to in any_place()) {
        let line = geodesic::inverse(from, to);
        let (there, _) = geodesic::direct(from, line.azimuth_start_deg, line.distance_m).unwrap();
        prop_assert!(geodesic::distance_m(there, to) < 1e-6);
    }

    #[test]
    fn an_interpolated_pose_stays_between(a in downward_pose(), turn in -1.0..1.0_f64, t in 0.0..=1.0_f64) {
        let b = Pose { ned_from_camera: a.ned_from_camera * Euler::new(0.0, turn, 0.2).ned_from_body(), ..a };
        let middle = Pose::interpolate(&a, &b, t);
        let whole = a.ned_from_camera.angle_to(&b.ned_from_camera);
        prop_assert!((a.ned_from_camera.angle_to(&middle.ned_from_camera) - t * whole).abs() < 1e-6);
        prop_assert_eq!(Pose::interpolate(&a, &b, f64::NAN), Pose::interpolate(&a, &b, 0.0));
    }

    #[test]
    fn the_map_shows_a_pixel_where_its_ray_lands(pose in downward_pose(), x in 0.0..1280.0_f64, y in 0.0..720.0_f64) {
        let camera = Camera::from_hfov(1280, 720, 1.0);
        let origin = Geodetic { at: pose.position.at, height: Altitude::from_m(0.0) };
        let frame = LocalFrame::new(origin);
        let crop = MapCrop::around(0.0, 0.0, 256.0, 0.5);
        let map = Homography::map_from_image(&camera, &pose, &frame, 3.0, &crop).unwrap();
        let back = Homography::image_from_map(&camera, &pose, &frame, 3.0, &crop).unwrap();
        let view = pose.view(&frame);
        let pixel = Pixel::new(x, y);
        let hit = intersect(view.eye_enu_m, view.ray_enu(&camera, pixel), &FlatGround { height_m: 3.0 });
        match (map.apply(pixel), hit) {
            (Some(there), Some(hit)) => {
                let scale = 1.0 + hit.range_m;
                prop_assert!(there.distance_px(crop.pixel(hit.enu_m.x, hit.enu_m.y)) < 1e-8 * scale);
                prop_assert!(back.apply(there).unwrap().distance_px(pixel) < 1e-6);
            }
            (None, None) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_ray_stops_at_the_first_ground_it_meets(
        heights in prop::collection::vec(0.0..30.0_f64, 49), e in -25.0..25.0_f64, n in -25.0..25.0_f64,
        yaw in 0.0..6.3_f64, down in 0.02..1.5_f64,
    ) {
        let shape = GridShape { west_m: -30.0, south_m: -30.0, cell_m: 10.0, columns: 7, rows: 7 };
        let ground = GridTerrain::new(shape, heights).unwrap();
        let origin = Vector3::new(e, n, 40.0);
        let ray = Vector3::new(yaw.sin() * down.cos(), yaw.cos() * down.cos(), -down.sin());
        let clear_m = |range_m: f64| {
            let point = origin + ray * range_m;
            ground.height_m(point.x, point.y).map(|height_m| point.z - height_m)
        };
        let hit = intersect(origin, ray, &ground);
        let end_m = hit.map_or(100.0, |hit| hit.range_m);
        if let Some(hit) = hit {
            prop_assert!(clear_m(hit.range_m).unwrap().abs() < 1e-9);
        }
        for k in 0..500 {
            let before = f64::from(k) / 500.0 * end_m;
            prop_assert!(clear_m(before).is_none_or(|clear| clear > -1e-9), "below ground at {} of {}", before, end_m);
        }
    }

    #[test]
    fn the_analytic_jacobian_is_the_numerical_one(
        camera in any_camera(), pose in downward_pose(), x in 100.0..1180.0_f64, y in 100.0..620.0_f64,
        slope_east in -0.2..0.2_f64, slope_north in -0.2..0.2_f64,
    ) {
        // The frame's origin is away from the camera, so its up differs from the camera's.
        let own = LocalFrame::new(pose.position);
        let frame = LocalFrame::new(own.geodetic_from(Vector3::new(900.0, -700.0, -100.0)).unwrap());
        let eye = frame.enu_from(pose.position);
        let plane = PlaneGround {
            height_m: eye.z - 100.0 - slope_east * eye.x - slope_north * eye.y,
            slope_east,
            slope_north,
        };
        let euler = pose.euler();
        let landed = |state: [f64; 9]| -> Option<Vector2<f64>> {
            let [yaw, pitch, roll, north, east, up, u, v, height] = state;
            let position = frame.geodetic_from(eye + Vector3::new(east, north, up)).ok()?;
            let moved = Pose::from_euler(position, Euler::new(yaw, pitch, roll));
            let view = moved.view(&frame);
            let ground = PlaneGround { height_m: plane.height_m + height, ..plane };
            let hit = intersect(view.eye_enu_m, view.ray_enu(&camera, Pixel::new(u, v)), &ground)?;
            Some(Vector2::new(hit.enu_m.y, hit.enu_m.x))
        };
        let state = [euler.yaw_rad, euler.pitch_rad, euler.roll_rad, 0.0, 0.0, 0.0, x, y, 0.0];
        let view = pose.view(&frame);
        let pixel = Pixel::new(x, y);
        let hit = intersect(view.eye_enu_m, view.ray_enu(&camera, pixel), &plane);
        // Grazing rays are flagged, not differentiated.
        prop_assume!(hit.is_some_and(|hit| hit.range_m < 400.0));
        let point = hit.unwrap();
        let sight = Sight { frame: &frame, pose: &pose, camera: &camera, pixel };
        let got = ground::jacobian(&sight, &view, &point).unwrap();
        for column in 0..9 {
            let step = if column < 3 { 1e-5 } else { 1e-2 };
            let (mut ahead, mut behind) = (state, state);
            ahead[column] += step;
            behind[column] -= step;
            let want = (landed(ahead).unwrap() - landed(behind).unwrap()) / (2.0 * step);
            let off = (got.column(column) - want).norm();
            // A camera moved sideways also tips with the horizon, by range over the Earth's radius; that is not
            // counted.
            let tolerance = if (3..6).contains(&column) { 3e-4 } else { 1e-5 };
            prop_assert!(off < tolerance * (1.0 + want.norm()), "column {} is off by {}", column, off);
        }
    }

    #[test]
    fn a_covering_window_reaches_to_every_side(
        at in mapped_place(), east_m in 0.0..3_000.0_f64, north_m in 0.0..3_000.0_f64, z in 12_u8..=18,
    ) {
        prop_assume!(at.lat_deg().abs() < 80.0);
        let window = TileWindow::covering(at, east_m, north_m, z).unwrap();
        let (centre, size) = (window.pixel(at), mercator::metres_per_px(at, z));
        prop_assert!(centre.x - east_m / size.east >= -1e-3 && centre.y - north_m / size.north >= -1e-3);
        prop_assert!(centre.x + east_m / size.east <= window.width_px() + 1e-3);
        prop_assert!(centre.y + north_m / size.north <= window.height_px() + 1e-3);
    }

    #[test]
    fn a_footprint_holds_what_is_seen(pose in downward_pose(), x in 1.0..1279.0_f64, y in 1.0..719.0_f64) {
        let camera = Camera::from_hfov(1280, 720, 0.9);
        let frame = LocalFrame::new(Geodetic { at: pose.position.at, height: Altitude::from_m(0.0) });
        let ground = FlatGround { height_m: 0.0 };
        let view = pose.view(&frame);
        let outline = view.footprint(&camera, &ground, 5_000.0);
        prop_assert_eq!(outline.len(), 32);
        let hit = intersect(view.eye_enu_m, view.ray_enu(&camera, Pixel::new(x, y)), &ground);
        prop_assume!(hit.is_some_and(|hit| hit.range_m < 3_000.0));
        let seen = hit.unwrap().enu_m;
        // A convex outline, walked clockwise: everything seen is on the right of every side.
        for (k, from) in outline.iter().enumerate() {
            let to = outline[(k + 1) % outline.len()];
            let right = (to.y - from.y) * (seen.x - from.x) - (to.x - from.x) * (seen.y - from.y);
            prop_assert!(right > -1e-6 * (to - from).norm() * 5_000.0, "side {}", k);
        }
    }

    #[test]
    fn the_circle_lies_between_the_ellipses_circles(
        major in 0.01..100.0_f64, ratio in 0.0..=1.0_f64, angle in 0.0..3.1_f64, p in 0.01..0.999_f64,
    ) {
        let (sine, cosine) = angle.sin_cos();
        let (a, b) = (major * major, (major * ratio).powi(2));
        let covariance = Covariance2::new(
            a * cosine * cosine + b * sine * sine, (a - b) * sine * cosine, a * sine * sine + b * cosine * cosine,
        ).unwrap();
        let radius = covariance.circular_error_m(p);
        let (outer, inner) = covariance.ellipse().semi_axes_m(p);
        prop_assert!(inner <= radius * (1.0 + 1e-9) && radius <= outer * (1.0 + 1e-9));
        prop_assert!((covariance.probability_within(radius) - p).abs() < 1e-9);
    }

    #[test]
    fn a_gate_passes_its_share(degrees in 1_u32..250, p in 0.001..0.9999_f64) {
        prop_assert!((chi_square::cdf(degrees, chi_square::gate(degrees, p)) - p).abs() < 1e-10);
    }

    #[test]
    fn a_track_stays_a_covariance_and_an_update_never_widens_it(
        steps in prop::collection::vec((0.0..3.0_f64, -50.0..50.0_f64, -50.0..50.0_f64, 0.01..20.0_f64), 1..40),
        is_static in any::<bool>(),
    ) {
        let motion = if is_static {
            Motion::Static { creep_m2_s: 0.01 }
        } else {
            Motion::ConstantVelocity { spectral_density_m2_s3: 0.5 }
        };
        let start = Covariance2::isotropic(5.0).unwrap();
        let mut track = KalmanTrack::new(Vector2::zeros(), start, 2.0, motion).unwrap();
        for (dt_s, north, east, sigma) in steps {
            track.predict(dt_s).unwrap();
            let before = track.position_covariance().unwrap();
            track.update(Vector2::new(north, east), Covariance2::isotropic(sigma).unwrap()).unwrap();
            let after = track.position_covariance().unwrap();
            prop_assert!(after.trace_m2() <= before.trace_m2() * (1.0 + 1e-12));
            prop_assert!(track.covariance().symmetric_eigenvalues().min() >= -1e-12);
        }
    }
}
