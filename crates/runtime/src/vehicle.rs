//! The other end of the telemetry link: what a vehicle sends, for the simulator.
//!
//! The messages and units are those an autopilot with a gimbal sends (MAVLink 2): positions in degE7 and millimetres above
//! mean sea level, attitudes as Euler angles and quaternions, the gimbal's yaw from north.

use std::sync::Arc;

use mavlink::dialects::ardupilotmega::{
    ATTITUDE_DATA, CAMERA_FOV_STATUS_DATA, GIMBAL_DEVICE_ATTITUDE_STATUS_DATA, GLOBAL_POSITION_INT_DATA,
    GPS_RAW_INT_DATA, GimbalDeviceFlags, GpsFixType, HEARTBEAT_DATA, MavAutopilot, MavMessage, MavModeFlag, MavState,
    MavType, SYSTEM_TIME_DATA,
};
use smgeo_flow::SharedClock;
use smgeo_geo::{Pose, PoseSigma};

use crate::telemetry::{Link, TelemetryError};

/// The vehicle's ids, as an autopilot has them.
const SYSTEM_ID: u8 = 1;
const AUTOPILOT: u8 = 1;
const GIMBAL: u8 = 154;
const CAMERA: u8 = 100;

/// Sends what a vehicle says of itself.
pub struct Vehicle {
    link: Arc<Link>,
}

/// Is what the vehicle says about one moment.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Since the vehicle's start, milliseconds.
    pub boot_ms: u32,
    /// The camera's pose as measured.
    pub pose: Pose,
    /// North, east, down, m/s.
    pub velocity_ned_mps: [f64; 3],
}

impl Vehicle {
    /// Opens `udpout:HOST:PORT` or `serial:DEVICE:BAUD`.
    pub fn open(address: &str, clock: SharedClock) -> Result<Self, TelemetryError> {
        Ok(Self { link: Link::open(address, None, None, clock)? })
    }

    /// Sends position, attitude and gimbal. The airframe is level and flies where the camera looks.
    pub fn report(&self, report: &Report) {
        let Report { boot_ms, pose, velocity_ned_mps: [north, east, down] } = *report;
        let at = pose.position.at;
        let altitude = pose.position.height.to_msl(at);
        let angles = pose.euler();
        let heading = if north.hypot(east) > 0.5 { east.atan2(north) } else { angles.yaw_rad };
        let cm_s = |mps: f64| (mps * 100.0).round() as i16;
        self.send(
            AUTOPILOT,
            &MavMessage::GLOBAL_POSITION_INT(GLOBAL_POSITION_INT_DATA {
                time_boot_ms: boot_ms,
                lat: deg_e7(at.lat_deg()),
                lon: deg_e7(at.lon_deg()),
                alt: (altitude.m() * 1e3).round() as i32,
                relative_alt: 0,
                vx: cm_s(north),
                vy: cm_s(east),
                vz: cm_s(down),
                hdg: (heading.to_degrees().rem_euclid(360.0) * 100.0) as u16,
            }),
        );
        self.send(
            AUTOPILOT,
            &MavMessage::ATTITUDE(ATTITUDE_DATA {
                time_boot_ms: boot_ms,
                yaw: heading as f32,
                ..ATTITUDE_DATA::DEFAULT
            }),
        );
        let turn = angles.ned_from_body();
        self.send(
            GIMBAL,
            &MavMessage::GIMBAL_DEVICE_ATTITUDE_STATUS(GIMBAL_DEVICE_ATTITUDE_STATUS_DATA {
                time_boot_ms: boot_ms,
                q: [turn.w as f32, turn.i as f32, turn.j as f32, turn.k as f32],
                flags: GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_ROLL_LOCK
                    | GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_PITCH_LOCK
                    | GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_YAW_LOCK
                    | GimbalDeviceFlags::GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME,
                ..GIMBAL_DEVICE_ATTITUDE_STATUS_DATA::DEFAULT
            }),
        );
    }

    /// Sends what a vehicle repeats once a second: heartbeat, clock, fix quality, field of view.
    pub fn report_slowly(&self, report: &Report, wall_us: i64, sigma: &PoseSigma, hfov_rad: f64, vfov_rad: f64) {
        self.send(
            AUTOPILOT,
            &MavMessage::HEARTBEAT(HEARTBEAT_DATA {
                custom_mode: 0,
                mavtype: MavType::MAV_TYPE_QUADROTOR,
                autopilot: MavAutopilot::MAV_AUTOPILOT_ARDUPILOTMEGA,
                base_mode: MavModeFlag::empty(),
                system_status: MavState::MAV_STATE_ACTIVE,
                mavlink_version: 3,
            }),
        );
        self.send(
            AUTOPILOT,
            &MavMessage::SYSTEM_TIME(SYSTEM_TIME_DATA {
                time_unix_usec: wall_us.max(0) as u64,
                time_boot_ms: report.boot_ms,
            }),
        );
        let at = report.pose.position.at;
        let (lat, lon) = (deg_e7(at.lat_deg()), deg_e7(at.lon_deg()));
        let alt = (report.pose.position.height.to_msl(at).m() * 1e3).round() as i32;
        self.send(
            AUTOPILOT,
            &MavMessage::GPS_RAW_INT(GPS_RAW_INT_DATA {
                time_usec: wall_us.max(0) as u64,
                lat,
                lon,
                alt,
                fix_type: GpsFixType::GPS_FIX_TYPE_3D_FIX,
                satellites_visible: 14,
                h_acc: (sigma.horizontal_m * 1e3) as u32,
                v_acc: (sigma.vertical_m * 1e3) as u32,
                ..GPS_RAW_INT_DATA::DEFAULT
            }),
        );
        self.send(
            CAMERA,
            &MavMessage::CAMERA_FOV_STATUS(CAMERA_FOV_STATUS_DATA {
                time_boot_ms: report.boot_ms,
                lat_camera: lat,
                lon_camera: lon,
                alt_camera: alt,
                lat_image: i32::MAX,
                lon_image: i32::MAX,
                alt_image: i32::MAX,
                q: [f32::NAN; 4],
                hfov: hfov_rad.to_degrees() as f32,
                vfov: vfov_rad.to_degrees() as f32,
                ..CAMERA_FOV_STATUS_DATA::DEFAULT
            }),
        );
    }

    fn send(&self, component: u8, message: &MavMessage) {
        self.link.send(SYSTEM_ID, component, message, None);
    }
}

fn deg_e7(deg: f64) -> i32 {
    (deg * 1e7).round() as i32
}
