//! Telemetry from bytes to poses, against golden packets and real sockets.

mod links;
mod poses;

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
    MavlinkDecoder::new(Some(1), GpsFix::default(), Duration::ZERO, Duration::ZERO)
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
    use dialect::GpsFixType::{GPS_FIX_TYPE_3D_FIX, GPS_FIX_TYPE_NO_FIX};
    let position = MavMessage::GLOBAL_POSITION_INT(dialect::GLOBAL_POSITION_INT_DATA {
        lat: 1,
        ..dialect::GLOBAL_POSITION_INT_DATA::DEFAULT
    });
    // What GPS_RAW_INT tells in which second, and whether a position then counts: by policy, not lost, required and ignored.
    let seconds = [
        (0, None, [true, false, true]),
        (1, Some(GPS_FIX_TYPE_NO_FIX), [false, false, true]),
        (5, None, [false, false, true]),
        (6, Some(GPS_FIX_TYPE_3D_FIX), [true, true, true]),
        (8, None, [true, true, true]),
        (10, None, [true, false, true]),
    ];
    for (index, policy) in [GpsFix::NotLost, GpsFix::Required, GpsFix::Ignored].into_iter().enumerate() {
        let mut decoder = MavlinkDecoder::new(Some(1), policy, Duration::ZERO, Duration::ZERO);
        for (second, fix_type, counts) in seconds {
            let at = Stamp::from_ns(1_000_000_000_000).plus(Duration::from_secs(second));
            if let Some(fix_type) = fix_type {
                let data = dialect::GPS_RAW_INT_DATA { fix_type, ..dialect::GPS_RAW_INT_DATA::DEFAULT };
                decoder.sample(&received(MavMessage::GPS_RAW_INT(data), at));
            }
            let is_counted = decoder.sample(&received(position.clone(), at)).is_some();
            assert_eq!(is_counted, counts[index], "{policy:?} after {second} s");
        }
    }
}

#[test]
fn position_and_attitude_are_the_autopilots() {
    let mut decoder = decoder();
    let at = Stamp::from_ns(1_000_000_000_000);
    let mut told = |message: MavMessage, component_id: u8| {
        let mut told = received(message, at);
        told.header.component_id = component_id;
        decoder.sample(&told).is_some()
    };
    let attitude = || MavMessage::ATTITUDE(dialect::ATTITUDE_DATA::DEFAULT);
    let autopilot = dialect::HEARTBEAT_DATA {
        autopilot: dialect::MavAutopilot::MAV_AUTOPILOT_PX4,
        ..dialect::HEARTBEAT_DATA::DEFAULT
    };
    assert!(told(attitude(), 1));
    told(MavMessage::HEARTBEAT(autopilot), 1);
    assert!(!told(attitude(), 191), "a companion's attitude is of another sensor");
    assert!(told(attitude(), 1));
    assert_eq!(decoder.counts().refused.get("other_component"), Some(&1));
}

#[test]
fn a_second_camera_does_not_tell_the_first_ones_field_of_view() {
    let mut decoder = decoder();
    let told = |component_id: u8, camera_device_id: u8, hfov: f32| {
        let default = dialect::CAMERA_FOV_STATUS_DATA::DEFAULT;
        let data = dialect::CAMERA_FOV_STATUS_DATA { hfov, camera_device_id, ..default };
        let mut told = received(MavMessage::CAMERA_FOV_STATUS(data), Stamp::from_ns(1_000_000_000_000));
        told.header.component_id = component_id;
        told
    };
    assert!(decoder.sample(&told(100, 0, 60.0)).is_some());
    assert!(decoder.sample(&told(101, 0, 12.0)).is_none());
    // One autopilot speaks for two cameras.
    assert!(decoder.sample(&told(100, 2, 12.0)).is_none());
    assert_eq!(decoder.counts().refused.get("second_camera"), Some(&2));
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
