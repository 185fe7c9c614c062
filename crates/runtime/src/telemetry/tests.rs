//! Telemetry from bytes to poses, against golden packets and real sockets.

use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use ::mavlink::dialects::ardupilotmega as dialect;
use ::mavlink::dialects::ardupilotmega::MavMessage;
use ::mavlink::{MAVLinkMessageRaw, MAVLinkV2MessageRaw, MavHeader, MavlinkReader, MavlinkVersion, Message};
use nalgebra::UnitQuaternion;
use serde_json::Value;
use smgeo_flow::{Clock, HandClock, SharedClock, Stage, Stamp, SystemClock};
use smgeo_geo::{Altitude, Euler, LatLon};
use smgeo_messages::{GimbalAttitude, Telemetry, Told, VehicleHeight, VehiclePosition, YawFrame};

use super::*;

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn packets() -> Vec<(String, Vec<u8>, Value)> {
    let file = golden(include_str!("../../tests/golden/mavlink.json"));
    let packet = |packet: &Value| {
        let bytes = hex::decode(packet["hex"].as_str().unwrap()).unwrap();
        (packet["message"].as_str().unwrap().to_owned(), bytes, packet.clone())
    };
    file["packets"].as_array().unwrap().iter().map(packet).collect()
}

fn parsed(bytes: &[u8]) -> (MAVLinkV2MessageRaw, MavMessage) {
    let mut reader = MavlinkReader::new(bytes);
    let MAVLinkMessageRaw::V2(raw) = reader.read_any_raw_message::<MavMessage>().unwrap() else { panic!("version 1") };
    let message = MavMessage::parse(MavlinkVersion::V2, raw.message_id(), raw.payload()).unwrap();
    (raw, message)
}

#[test]
fn golden_packets_come_out_to_the_byte() {
    let key = hex::decode(golden(include_str!("../../tests/golden/mavlink.json"))["secret_key_hex"].as_str().unwrap())
        .unwrap();
    let packets = packets();
    assert_eq!(packets.len(), 24);
    for (name, bytes, packet) in packets {
        let (given, message) = parsed(&bytes);
        assert_eq!(message.message_name(), name);
        let number = |key: &str| packet[key].as_u64().unwrap();
        let header = MavHeader {
            system_id: number("system") as u32,
            component_id: number("component") as u8,
            sequence: number("seq") as u8,
        };
        let mut written = MAVLinkV2MessageRaw::new();
        if packet["signed"].as_bool().unwrap() {
            written.serialize_message_for_signing(header, &message);
            *written.signature_link_id_mut() = number("link_id") as u8;
            let stamp = number("timestamp").to_le_bytes();
            written.signature_timestamp_bytes_mut().copy_from_slice(&stamp[..6]);
            let mut signature = [0; 6];
            written.calculate_signature(&key, &mut signature);
            written.signature_value_mut().copy_from_slice(&signature);
        } else {
            written.serialize_message(header, &message);
        }
        assert_eq!(hex::encode(written.raw_bytes()), hex::encode(given.raw_bytes()), "{name}");
        assert_eq!(written.raw_bytes(), bytes, "{name}");
    }
}

fn received(message: MavMessage, arrived: Stamp) -> Received {
    let header = MavHeader { system_id: 1, component_id: 1, sequence: 0 };
    Received { header, message, arrived, from: None }
}

fn decoder() -> MavlinkDecoder {
    MavlinkDecoder::new(Some(1), true, Duration::ZERO, Duration::ZERO)
}

#[test]
fn golden_packets_become_the_samples_they_tell() {
    let second = Stamp::from_ns(1_000_000_000_000);
    for (name, bytes, packet) in packets() {
        let (_, message) = parsed(&bytes);
        let values = &packet["values"];
        let number = |key: &str| values[key].as_f64().unwrap_or(f64::NAN);
        let sample = decoder().sample(&received(message, second));
        let close = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-6, "{name} {value} {wanted}");
        match (name.as_str(), sample.map(|sample| sample.told)) {
            ("GLOBAL_POSITION_INT", Some(Told::Position(position))) => {
                close(position.at.lat_deg(), number("lat") * 1e-7);
                close(position.at.lon_deg(), number("lon") * 1e-7);
                let VehicleHeight::Msl(altitude) = position.height else { panic!("datum") };
                close(altitude.m(), number("alt") * 1e-3);
                let [north, east, down] = position.velocity_ned_mps.unwrap();
                close(north, number("vx") * 1e-2);
                close(east, number("vy") * 1e-2);
                close(down, number("vz") * 1e-2);
            }
            ("ATTITUDE", Some(Told::Attitude { ned_from_body })) => {
                let angles = Euler::of(&ned_from_body);
                close(angles.yaw_rad, number("yaw"));
                close(angles.pitch_rad, number("pitch"));
                close(angles.roll_rad, number("roll"));
            }
            ("GIMBAL_DEVICE_ATTITUDE_STATUS", Some(Told::Gimbal(gimbal))) => match values["flags"].as_u64().unwrap() {
                44 => assert_eq!(gimbal.yaw_frame, YawFrame::Heading { delta_yaw_rad: 1.25 }),
                92 => assert_eq!(gimbal.yaw_frame, YawFrame::Earth),
                other => panic!("flags {other}"),
            },
            ("CAMERA_FOV_STATUS", Some(Told::FieldOfView { horizontal_rad, vertical_rad })) => {
                assert!((horizontal_rad.to_degrees() - number("hfov")).abs() < 1e-4);
                assert!((vertical_rad.unwrap().to_degrees() - number("vfov")).abs() < 1e-4);
            }
            ("CAMERA_FOV_STATUS", None) => assert!(number("hfov").is_nan()),
            ("CAMERA_TRACKING_GEO_STATUS" | "COMMAND_LONG" | "COMMAND_INT", None) => {}
            (name, told) => panic!("{name}: {told:?}"),
        }
    }
}

#[test]
fn every_rule_of_the_gimbals_flags_gives_the_golden_attitude() {
    let cases = golden(include_str!("../../tests/golden/gimbal.json"));
    for case in cases.as_array().unwrap() {
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let at = Stamp::from_ns(1_000_000_000_000);
        let mut decoder = decoder();
        let mut buffer = PoseBuffer::new(PoseConfig::default());
        let angles = &case["attitude_rad"];
        let q: Vec<f32> = case["q_wxyz"].as_array().unwrap().iter().map(|part| number(part) as f32).collect();
        let messages = [
            MavMessage::ATTITUDE(dialect::ATTITUDE_DATA {
                time_boot_ms: 1_000,
                roll: number(&angles["roll"]) as f32,
                pitch: number(&angles["pitch"]) as f32,
                yaw: number(&angles["yaw"]) as f32,
                ..dialect::ATTITUDE_DATA::DEFAULT
            }),
            MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(dialect::GIMBAL_DEVICE_ATTITUDE_STATUS_DATA {
                time_boot_ms: 1_000,
                q: [q[0], q[1], q[2], q[3]],
                flags: dialect::GimbalDeviceFlags::from_bits_retain(case["flags"].as_u64().unwrap() as _),
                delta_yaw: number(&case["delta_yaw_rad"]) as f32,
                ..dialect::GIMBAL_DEVICE_ATTITUDE_STATUS_DATA::DEFAULT
            }),
        ];
        for message in messages {
            let sample = decoder.sample(&received(message, at)).unwrap();
            buffer.put(&sample, at).unwrap();
        }
        let place = LatLon::new(number(&case["lat_deg"]), number(&case["lon_deg"])).unwrap();
        let height = VehicleHeight::Ellipsoid(Altitude::from_m(number(&case["h_m"])));
        let told = Told::Position(VehiclePosition { at: place, height, velocity_ned_mps: None });
        buffer.put(&Telemetry { at, at_sigma: Duration::ZERO, told }, at).unwrap();
        let pose = buffer.pose_at(at, Duration::ZERO).unwrap().pose;
        let turn = pose.ned_from_camera.to_rotation_matrix();
        for row in 0..3 {
            for column in 0..3 {
                let wanted = number(&case["ned_from_camera"][row][column]);
                // The message carries 32-bit floats.
                assert!((turn[(row, column)] - wanted).abs() < 2e-6, "{} {row} {column}", case["name"]);
            }
        }
    }
}

#[test]
fn what_a_vehicle_does_not_know_becomes_no_sample() {
    let at = Stamp::from_ns(1_000_000_000_000);
    let position = |lat, lon| {
        MavMessage::GLOBAL_POSITION_INT(dialect::GLOBAL_POSITION_INT_DATA {
            lat,
            lon,
            ..dialect::GLOBAL_POSITION_INT_DATA::DEFAULT
        })
    };
    let attitude = |yaw| MavMessage::ATTITUDE(dialect::ATTITUDE_DATA { yaw, ..dialect::ATTITUDE_DATA::DEFAULT });
    let gimbal = |q| {
        MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(dialect::GIMBAL_DEVICE_ATTITUDE_STATUS_DATA {
            q,
            ..dialect::GIMBAL_DEVICE_ATTITUDE_STATUS_DATA::DEFAULT
        })
    };
    let cases = [
        (position(0, 0), "no_position"),
        (position(910_000_000, 0), "position_impossible"),
        (position(i32::MAX, i32::MAX), "position_impossible"),
        (attitude(f32::NAN), "attitude_impossible"),
        (attitude(1e30), "attitude_impossible"),
        (gimbal([f32::NAN; 4]), "attitude_impossible"),
        (gimbal([0.0; 4]), "attitude_impossible"),
        (gimbal([1e38; 4]), "attitude_impossible"),
    ];
    for (message, cause) in cases {
        let mut decoder = decoder();
        assert!(decoder.sample(&received(message, at)).is_none(), "{cause}");
        assert_eq!(decoder.counts().refused.get(cause), Some(&1), "{cause}");
    }
}

#[test]
fn positions_are_held_back_without_a_gps_fix() {
    let at = Stamp::from_ns(1_000_000_000_000);
    let fix = |fix_type| {
        MavMessage::GPS_RAW_INT(dialect::GPS_RAW_INT_DATA { fix_type, ..dialect::GPS_RAW_INT_DATA::DEFAULT })
    };
    let position = MavMessage::GLOBAL_POSITION_INT(dialect::GLOBAL_POSITION_INT_DATA {
        lat: 1,
        ..dialect::GLOBAL_POSITION_INT_DATA::DEFAULT
    });
    let mut decoder = decoder();
    decoder.sample(&received(fix(dialect::GpsFixType::GPS_FIX_TYPE_NO_FIX), at));
    assert!(decoder.sample(&received(position.clone(), at)).is_none());
    decoder.sample(&received(fix(dialect::GpsFixType::GPS_FIX_TYPE_3D_FIX), at));
    assert!(decoder.sample(&received(position, at)).is_some());
    assert_eq!(decoder.counts().refused.get("no_gps_fix"), Some(&1));
}

#[test]
fn another_vehicle_is_not_listened_to() {
    let mut decoder = decoder();
    let mut other = received(MavMessage::ATTITUDE(dialect::ATTITUDE_DATA::DEFAULT), Stamp::from_ns(1_000_000_000_000));
    other.header.system_id = 7;
    assert!(decoder.sample(&other).is_none());
}

const SECOND_NS: u64 = 1_000_000_000;

fn at(second: f64) -> Stamp {
    Stamp::from_ns((1_000.0 * 1e9 + second * 1e9) as u64)
}

fn position(second: f64, north_m: f64, velocity_mps: f64) -> Telemetry {
    let place = LatLon::new(25.0 + north_m / 110_777.0, 55.0).unwrap();
    let height = VehicleHeight::Ellipsoid(Altitude::from_m(200.0));
    let velocity_ned_mps = Some([velocity_mps, 0.0, 0.0]);
    let told = Told::Position(VehiclePosition { at: place, height, velocity_ned_mps });
    Telemetry { at: at(second), at_sigma: Duration::from_millis(2), told }
}

fn gimbal(second: f64, yaw_deg: f64) -> Telemetry {
    let frame_from_gimbal = Euler::from_deg(yaw_deg, -45.0, 0.0).ned_from_body();
    let told = Told::Gimbal(GimbalAttitude { frame_from_gimbal, yaw_frame: YawFrame::Earth });
    Telemetry { at: at(second), at_sigma: Duration::from_millis(2), told }
}

/// Flies north at 10 m/s for 2 s, the gimbal turning 20 degrees a second: positions at 5 Hz, gimbal at 10 Hz.
fn flown() -> PoseBuffer {
    let mut buffer = PoseBuffer::new(PoseConfig::default());
    for step in 0..=20 {
        let second = f64::from(step) * 0.1;
        if step % 2 == 0 {
            buffer.put(&position(second, 10.0 * second, 10.0), at(second)).unwrap();
        }
        buffer.put(&gimbal(second, 20.0 * second), at(second)).unwrap();
    }
    buffer
}

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

fn loopback_link(signing: Option<&Signing>, clock: &SharedClock) -> Arc<Link> {
    Link::open("udpin:127.0.0.1:0", None, signing, clock.clone()).unwrap()
}

fn attitude_message() -> MavMessage {
    MavMessage::ATTITUDE(dialect::ATTITUDE_DATA { time_boot_ms: 5, yaw: 0.5, ..dialect::ATTITUDE_DATA::DEFAULT })
}

#[test]
fn a_link_takes_mavlink_counts_noise_and_answers_its_peer() {
    let clock = SystemClock::shared();
    let link = loopback_link(None, &clock);
    let to = format!("udpout:{}", link.local_address().unwrap());
    let vehicle = Link::open(&to, None, None, clock).unwrap();
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.send_to(b"not mavlink at all", link.local_address().unwrap()).unwrap();
    vehicle.send(1, 1, &attitude_message(), None);
    let (mut reader, mut received) = (link.reader(), Vec::new());
    for _ in 0..20 {
        reader.read(&mut received).unwrap();
        if !received.is_empty() {
            break;
        }
    }
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].header.system_id, 1);
    assert_eq!(link.counts().not_mavlink.load(std::sync::atomic::Ordering::Relaxed), 1);
    link.send(1, 100, &attitude_message(), None);
    let (mut reader, mut answered) = (vehicle.reader(), Vec::new());
    reader.read(&mut answered).unwrap();
    assert_eq!(answered[0].header.component_id, 100);
}

#[test]
fn a_signed_link_takes_no_unsigned_and_no_replayed_message() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "01".repeat(32)).unwrap();
    let signing = Signing { key_file, link_id: 1, allow_unsigned: false };
    let clock = SystemClock::shared();
    let link = loopback_link(Some(&signing), &clock);
    let here = link.local_address().unwrap();
    // A listener in between keeps a copy of the signed bytes, to send them again.
    let between = UdpSocket::bind("127.0.0.1:0").unwrap();
    let vehicle =
        Link::open(&format!("udpout:{}", between.local_addr().unwrap()), None, Some(&signing), clock.clone()).unwrap();
    vehicle.send(1, 1, &attitude_message(), None);
    let mut copy = [0; 512];
    let length = between.recv(&mut copy).unwrap();
    let unsigned = Link::open(&format!("udpout:{here}"), None, None, clock).unwrap();
    let mut reader = link.reader();
    let mut taken = |send: &dyn Fn()| {
        send();
        let mut received = Vec::new();
        reader.read(&mut received).unwrap();
        received.len()
    };
    assert_eq!(taken(&|| unsigned.send(1, 1, &attitude_message(), None)), 0);
    assert_eq!(taken(&|| drop(between.send_to(&copy[..length], here))), 1);
    assert_eq!(taken(&|| drop(between.send_to(&copy[..length], here))), 0, "replayed");
}

#[test]
fn a_wrong_address_says_how_to_write_one() {
    for address in ["14550", "udpin:", "tcp:1.2.3.4:5", "serial:/dev/ttyS0", "udpin:127.0.0.1:99999"] {
        assert!(Link::open(address, None, None, SystemClock::shared()).is_err(), "{address}");
    }
    let error = Link::open("tcp:h:1", None, None, SystemClock::shared()).err().unwrap();
    assert!(error.to_string().contains("udpin:HOST:PORT"), "{error}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udpin:{}", taken.local_addr().unwrap());
    let error = Link::open(&address, None, None, SystemClock::shared()).err().unwrap();
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_log_written_and_played_tells_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.ndjson");
    let clock = HandClock::shared();
    let start = clock.now();
    let shifted = |mut sample: Telemetry, second: f64| {
        sample.at = start.plus(Duration::from_secs_f64(second));
        sample
    };
    let view = Told::FieldOfView { horizontal_rad: 1.0, vertical_rad: None };
    let samples = [
        shifted(position(0.0, 5.0, 10.0), 0.1),
        shifted(gimbal(0.0, 33.0), 0.2),
        shifted(Telemetry { at: start, at_sigma: Duration::ZERO, told: view }, 0.3),
    ];
    let mut writer = LogWriter::create(&file, start).unwrap();
    samples.iter().for_each(|sample| writer.write(sample).unwrap());
    writer.flush().unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(16);
    let mut player = LogPlayer::new(LogReader::open(&file).unwrap(), clock.clone(), start, sender);
    clock.advance(Duration::from_millis(250));
    player.step().unwrap();
    let played: Vec<Telemetry> = receiver.try_iter().collect();
    assert_eq!(played.len(), 2, "the third is not due yet");
    for (sample, played) in samples.iter().zip(&played) {
        assert!(sample.at.seconds_after(played.at).abs() < 1e-6);
        // Sigma is not logged; angles pass through degrees.
        assert_eq!(format!("{:.6?}", played.told), format!("{:.6?}", sample.told));
    }
}

#[test]
fn a_damaged_line_is_named_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telemetry.ndjson");
    let lines = [
        r#"{"t_s": 0.0, "attitude": {"yaw_deg": 1, "pitch_deg": 2, "roll_deg": 3}}"#,
        r#"{"t_s": 0.1, "attitude": {"yaw_deg": 1, "pitch"#,
        r#"{"t_s": 0.2, "position": {"lat_deg": 95, "lon_deg": 0, "alt_msl_m": 1}}"#,
        r#"{"t_s": 0.3, "position": {"lat_deg": 5, "lon_deg": 0}}"#,
        r#"{"t_s": 0.4, "heading_deg": 5}"#,
        r#"{"t_s": -1}"#,
        r#"{"t_s": 0.5, "gimbal": {"yaw_deg": 1, "pitch_deg": -90}}"#,
    ];
    let mut written = std::fs::File::create(&file).unwrap();
    lines.iter().for_each(|line| writeln!(written, "{line}").unwrap());
    let mut reader = LogReader::open(&file).unwrap();
    let read: Vec<_> = std::iter::from_fn(|| reader.next_line()).collect();
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, false, false, false, true]);
    let error = read[3].as_ref().err().unwrap().to_string();
    assert!(error.contains("line 4") && error.contains("alt_msl_m"), "{error}");
}
