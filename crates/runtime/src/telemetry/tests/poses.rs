//! Poses between samples, past them, and where there are none.

use super::*;

#[test]
fn between_samples_position_goes_straight_and_attitude_turns_evenly() {
    let buffer = flown();
    for second in [0.0, 0.13, 0.77, 1.25, 1.999] {
        let pose = buffer.pose_at(at(second), Duration::ZERO).unwrap();
        let north_m = (pose.pose.position.at.lat_deg() - 25.0) * 110_777.0;
        assert!((north_m - 10.0 * second).abs() < 0.01, "{second} {north_m}");
        let yaw_deg = pose.pose.euler().yaw_rad.to_degrees();
        assert!((yaw_deg - 20.0 * second).abs() < 0.05, "{second} {yaw_deg}");
        assert!(!pose.extrapolated && pose.age <= Duration::from_millis(100), "{second} {:?}", pose.age);
    }
}

#[test]
fn past_the_newest_sample_a_pose_is_carried_on_flagged_wider_and_not_for_long() {
    let buffer = flown();
    let inside = buffer.pose_at(at(1.5), Duration::ZERO).unwrap();
    let carried = buffer.pose_at(at(2.3), Duration::ZERO).unwrap();
    assert!(carried.extrapolated && !inside.extrapolated);
    assert!((carried.age.as_secs_f64() - 0.3).abs() < 1e-3);
    let north_m = (carried.pose.position.at.lat_deg() - 25.0) * 110_777.0;
    assert!((north_m - 23.0).abs() < 0.05, "{north_m}");
    assert!(carried.sigma.yaw_rad > 2.0 * inside.sigma.yaw_rad, "{:?}", carried.sigma);
    assert!(carried.sigma.horizontal_m > inside.sigma.horizontal_m);
    assert!(matches!(buffer.pose_at(at(2.6), Duration::ZERO), Err(NoPose::Old { .. })));
}

#[test]
fn between_samples_that_are_far_apart_a_pose_is_as_vague_as_what_may_have_happened() {
    let sigma_deg = |gap_s: f64, part: f64| {
        let mut buffer = PoseBuffer::new(PoseConfig::default());
        for step in [0.0, 1.0, 2.0] {
            buffer.put(&position(gap_s * step, 0.0, 0.0), at(gap_s * step)).unwrap();
            buffer.put(&gimbal(gap_s * step, 0.0), at(gap_s * step)).unwrap();
        }
        buffer.pose_at(at(gap_s * (1.0 + part)), Duration::ZERO).unwrap().sigma.yaw_rad.to_degrees()
    };
    let told = PoseConfig::default().yaw_sigma_deg;
    // Half a radian a second over a quarter of the gap: 7.2 degrees in the middle of a second.
    for (gap_s, part, added) in [(0.9, 0.5, 6.45), (0.1, 0.5, 0.72), (0.9, 0.1, 2.32), (0.9, 0.0, 0.0)] {
        let expected = f64::hypot(told, added);
        assert!((sigma_deg(gap_s, part) - expected).abs() < 0.05, "{gap_s} s, {part}: {}", sigma_deg(gap_s, part));
    }
}

#[test]
fn a_frame_whose_time_is_uncertain_has_an_uncertain_pose() {
    // 10 m/s and 20 degrees a second: 300 ms are 3 m and 6 degrees.
    let buffer = flown();
    let sharp = buffer.pose_at(at(1.5), Duration::ZERO).unwrap().sigma;
    let vague = buffer.pose_at(at(1.5), Duration::from_millis(300)).unwrap().sigma;
    let added = |vague: f64, sharp: f64| (vague * vague - sharp * sharp).sqrt();
    assert!((added(vague.horizontal_m, sharp.horizontal_m) - 3.0).abs() < 0.05, "{vague:?}");
    assert!((added(vague.yaw_rad, sharp.yaw_rad).to_degrees() - 6.0).abs() < 0.1, "{vague:?}");
}

#[test]
fn a_gap_has_no_pose_and_says_what_is_missing() {
    let mut buffer = flown();
    for second in [4.0, 4.1] {
        buffer.put(&position(second, 10.0 * second, 10.0), at(second)).unwrap();
        buffer.put(&gimbal(second, 0.0), at(second)).unwrap();
    }
    assert!(matches!(buffer.pose_at(at(3.0), Duration::ZERO), Err(NoPose::Gap { what: "position", .. })));
    assert!(buffer.pose_at(at(4.05), Duration::ZERO).is_ok());
    assert!(matches!(
        PoseBuffer::new(PoseConfig::default()).pose_at(at(1.0), Duration::ZERO),
        Err(NoPose::Silent("position"))
    ));
    assert!(matches!(buffer.pose_at(Stamp::from_ns(SECOND_NS), Duration::ZERO), Err(NoPose::Forgotten(_))));
}

#[test]
fn what_is_refused_is_counted_by_cause() {
    let mut buffer = flown();
    let turn = |q: UnitQuaternion<f64>| Told::Attitude { ned_from_body: q };
    let broken = UnitQuaternion::new_unchecked(nalgebra::Quaternion::new(f64::NAN, 0.0, 0.0, 0.0));
    let sample = |second, told| Telemetry { at: at(second), at_sigma: Duration::ZERO, told };
    let now = at(2.0);
    let mut high = position(2.1, 21.0, 10.0);
    if let Told::Position(position) = &mut high.told {
        position.height = VehicleHeight::Ellipsoid(Altitude::from_m(9e9));
    }
    let cases = [
        (sample(2.0, turn(broken)), "impossible"),
        (high, "impossible"),
        (sample(2.0, Told::FieldOfView { horizontal_rad: f64::NAN, vertical_rad: None }), "impossible"),
        (sample(2.0, Told::Accuracy { horizontal_m: f64::INFINITY, vertical_m: 1.0 }), "impossible"),
        (position(1.0, 10.0, 10.0), "not_newer"),
        (gimbal(2.0, 0.0), "not_newer"),
        (gimbal(9.0, 0.0), "future"),
        (position(2.2, 2_000.0, 10.0), "jumped"),
    ];
    for (sample, cause) in cases {
        let before = buffer.rejected().get(cause).copied().unwrap_or(0);
        assert!(buffer.put(&sample, now).is_err(), "{cause}");
        assert_eq!(buffer.rejected()[cause], before + 1, "{cause}");
    }
    assert_eq!(buffer.pose_at(at(2.1), Duration::ZERO).unwrap().suspicion, Some(Suspicion::Jumped));
}

#[test]
fn a_camera_fixed_to_the_airframe_turns_with_it() {
    let mount = Mount::Fixed { yaw_deg: 0.0, pitch_deg: -90.0, roll_deg: 0.0 };
    let mut buffer = PoseBuffer::new(PoseConfig { mount, ..PoseConfig::default() });
    let ned_from_body = Euler::from_deg(90.0, 10.0, 0.0).ned_from_body();
    buffer.put(&position(1.0, 0.0, 0.0), at(1.0)).unwrap();
    buffer
        .put(&Telemetry { at: at(1.0), at_sigma: Duration::ZERO, told: Told::Attitude { ned_from_body } }, at(1.0))
        .unwrap();
    let forward = buffer.pose_at(at(1.0), Duration::ZERO).unwrap().pose.ned_from_camera * nalgebra::Vector3::z();
    // Nose up by 10 degrees, flying east: the camera that hangs straight down looks 10 degrees ahead.
    let ahead = 10.0_f64.to_radians();
    assert!((forward - nalgebra::Vector3::new(0.0, ahead.sin(), ahead.cos())).norm() < 1e-9, "{forward}");
}

#[test]
fn the_nose_points_where_the_airframes_attitude_says_it_does() {
    let mut buffer = flown();
    assert_eq!(buffer.pose_at(at(1.5), Duration::ZERO).unwrap().heading_rad, None, "nothing tells the attitude");
    for (second, yaw_deg) in [(1.0, 80.0), (2.0, 100.0)] {
        let told = Told::Attitude { ned_from_body: Euler::from_deg(yaw_deg, 5.0, -3.0).ned_from_body() };
        buffer.put(&Telemetry { at: at(second), at_sigma: Duration::ZERO, told }, at(second)).unwrap();
    }
    let heading_deg = buffer.pose_at(at(1.5), Duration::ZERO).unwrap().heading_rad.unwrap().to_degrees();
    assert!((heading_deg - 90.0).abs() < 0.1, "{heading_deg}");
}

#[test]
fn a_heading_older_than_the_gimbals_turn_widens_the_pose_and_its_age() {
    let mut buffer = PoseBuffer::new(PoseConfig::default());
    let vehicle = |second: f64| {
        let frame_from_gimbal = Euler::from_deg(0.0, -45.0, 0.0).ned_from_body();
        let told = Told::Gimbal(GimbalAttitude { frame_from_gimbal, yaw_frame: YawFrame::Vehicle });
        Telemetry { at: at(second), at_sigma: Duration::from_millis(2), told }
    };
    let attitude = |second: f64| {
        let told = Told::Attitude { ned_from_body: Euler::from_deg(45.0 * second, 0.0, 0.0).ned_from_body() };
        Telemetry { at: at(second), at_sigma: Duration::from_millis(2), told }
    };
    for tenth in 0..=20 {
        let second = f64::from(tenth) * 0.1;
        buffer.put(&position(second, 0.0, 0.0), at(second)).unwrap();
        buffer.put(&vehicle(second), at(second)).unwrap();
        // The attitude comes four times a second and ends early.
        if tenth % 2 == 0 && second < 1.7 {
            buffer.put(&attitude(second), at(second)).unwrap();
        }
    }
    let pose = |second: f64| buffer.pose_at(at(second), Duration::ZERO).unwrap();
    assert!(pose(2.0).age >= Duration::from_millis(399), "{:?}", pose(2.0).age);
    assert!(pose(2.0).sigma.yaw_rad > 1.5 * pose(1.5).sigma.yaw_rad);
}

#[test]
fn a_field_of_view_that_is_too_old_says_nothing() {
    let mut buffer = flown();
    assert_eq!(buffer.field_of_view_at(at(1.0)), Ok(None), "never told");
    let told = Told::FieldOfView { horizontal_rad: 1.2, vertical_rad: None };
    buffer.put(&Telemetry { at: at(2.0), at_sigma: Duration::ZERO, told }, at(2.0)).unwrap();
    for second in [1.0, 2.0, 11.9] {
        let view = buffer.field_of_view_at(at(second)).unwrap().unwrap();
        assert_eq!(view.horizontal_rad, 1.2, "{second}");
    }
    assert!(matches!(buffer.field_of_view_at(at(12.1)), Err(NoPose::Old { what: "field of view", .. })));
}

#[test]
fn a_flight_that_begins_again_elsewhere_has_not_jumped() {
    for begins in [false, true] {
        let mut buffer = flown();
        if begins {
            let told = Told::Begun;
            buffer.put(&Telemetry { at: at(2.1), at_sigma: Duration::ZERO, told }, at(2.1)).unwrap();
        }
        for step in 0..30 {
            let second = 2.2 + 0.1 * f64::from(step);
            // Held back at first, where it is a jump.
            let _ = buffer.put(&position(second, 5_000.0 + 10.0 * second, 10.0), at(second));
            buffer.put(&gimbal(second, 0.0), at(second)).unwrap();
        }
        let suspicion = buffer.pose_at(at(2.35), Duration::ZERO).map(|pose| pose.suspicion);
        assert_eq!(matches!(suspicion, Ok(None)), begins, "{suspicion:?}");
    }
}
