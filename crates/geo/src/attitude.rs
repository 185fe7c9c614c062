//! Which way the camera looks: Euler angles, gimbal quaternions and what their flags mean.
//!
//! Body and gimbal axes are FRD: x forward, y right, z down. Euler angles are intrinsic Z-Y'-X'' (yaw, pitch, roll) as
//! in MAVLink's ATTITUDE: pitch up, roll right side down and yaw clockwise from north are positive, and nadir is pitch
//! -90 deg.

use nalgebra::{Matrix3, Quaternion, Rotation3, UnitQuaternion, Vector3};

use crate::EarthError;

/// GIMBAL_DEVICE_FLAGS_YAW_LOCK: yaw is held to the north.
pub const FLAG_YAW_LOCK: u32 = 16;
/// GIMBAL_DEVICE_FLAGS_YAW_IN_VEHICLE_FRAME: the quaternion's yaw is relative to the vehicle's heading.
pub const FLAG_YAW_IN_VEHICLE_FRAME: u32 = 32;
/// GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME: the quaternion's yaw is relative to north.
pub const FLAG_YAW_IN_EARTH_FRAME: u32 = 64;

/// A quaternion off unit length by more than this is damaged, not rounded.
const LENGTH_ERROR_MAX: f64 = 0.05;
/// Nearer to straight up or down than this (in the sine of pitch), yaw and roll are one angle; it is called yaw.
const SINGULAR: f64 = 1e-12;

/// Yaw, pitch and roll of body axes against north, east, down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Euler {
    /// Clockwise from north.
    pub yaw_rad: f64,
    /// Nose up.
    pub pitch_rad: f64,
    /// Right side down.
    pub roll_rad: f64,
}

impl Euler {
    /// Angles in radians.
    pub const fn new(yaw_rad: f64, pitch_rad: f64, roll_rad: f64) -> Euler {
        Euler { yaw_rad, pitch_rad, roll_rad }
    }

    /// Angles in degrees.
    pub fn from_deg(yaw_deg: f64, pitch_deg: f64, roll_deg: f64) -> Euler {
        Euler::new(yaw_deg.to_radians(), pitch_deg.to_radians(), roll_deg.to_radians())
    }

    /// The rotation from body axes to north, east, down: Rz(yaw) Ry(pitch) Rx(roll).
    pub fn ned_from_body(self) -> UnitQuaternion<f64> {
        UnitQuaternion::from_euler_angles(self.roll_rad, self.pitch_rad, self.yaw_rad)
    }

    /// The angles of a rotation. Straight up or down roll is taken as zero.
    pub fn of(ned_from_body: &UnitQuaternion<f64>) -> Euler {
        let turn = ned_from_body.to_rotation_matrix().into_inner();
        let sin_pitch = -turn[(2, 0)];
        if sin_pitch.abs() > 1.0 - SINGULAR {
            let yaw_rad = (-turn[(0, 1)]).atan2(turn[(1, 1)]);
            return Euler::new(yaw_rad, std::f64::consts::FRAC_PI_2.copysign(sin_pitch), 0.0);
        }
        Euler {
            yaw_rad: turn[(1, 0)].atan2(turn[(0, 0)]),
            pitch_rad: sin_pitch.atan2(turn[(2, 1)].hypot(turn[(2, 2)])),
            roll_rad: turn[(2, 1)].atan2(turn[(2, 2)]),
        }
    }
}

/// Turns camera axes (x right, y down, z forward) into body axes (x forward, y right, z down).
pub fn frd_from_camera() -> UnitQuaternion<f64> {
    let columns = Matrix3::from_columns(&[Vector3::y(), Vector3::z(), Vector3::x()]);
    UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(columns))
}

/// A quaternion from outside, as w, x, y, z, brought to unit length. Refuses what is far from it.
pub fn quaternion(wxyz: [f64; 4]) -> Result<UnitQuaternion<f64>, EarthError> {
    let [w, x, y, z] = wxyz;
    let given = Quaternion::new(w, x, y, z);
    let length = given.norm();
    if !length.is_finite() {
        return Err(EarthError::NotFinite("attitude quaternion"));
    }
    if (length - 1.0).abs() > LENGTH_ERROR_MAX {
        return Err(EarthError::Quaternion(length));
    }
    Ok(UnitQuaternion::from_quaternion(given))
}

/// What GIMBAL_DEVICE_ATTITUDE_STATUS says, with the vehicle's yaw from ATTITUDE beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GimbalAttitude {
    /// Gimbal FRD to the earth or the vehicle's heading frame, w x y z.
    pub q_wxyz: [f64; 4],
    /// GIMBAL_DEVICE_FLAGS.
    pub flags: u32,
    /// From the vehicle's heading to the quaternion's north, where the gimbal knows it.
    pub delta_yaw_rad: Option<f64>,
    /// ATTITUDE.yaw at the same time, where there is one.
    pub vehicle_yaw_rad: Option<f64>,
}

impl GimbalAttitude {
    /// The rotation from gimbal axes to north, east, down, by the frame the flags name.
    ///
    /// With neither frame flag the dialect falls back on the yaw lock, and `delta_yaw` is not to be used. The vehicle
    /// frame is the heading frame: roll and pitch are against the horizon.
    pub fn ned_from_gimbal(&self) -> Result<UnitQuaternion<f64>, EarthError> {
        let turn = quaternion(self.q_wxyz)?;
        let has = |flag: u32| self.flags & flag != 0;
        let is_earth = has(FLAG_YAW_IN_EARTH_FRAME) || (!has(FLAG_YAW_IN_VEHICLE_FRAME) && has(FLAG_YAW_LOCK));
        if is_earth {
            return Ok(turn);
        }
        let told = self.delta_yaw_rad.filter(|yaw| has(FLAG_YAW_IN_VEHICLE_FRAME) && yaw.is_finite());
        let heading_rad = told.or(self.vehicle_yaw_rad).filter(|yaw| yaw.is_finite()).ok_or(EarthError::VehicleYaw)?;
        Ok(UnitQuaternion::from_axis_angle(&Vector3::z_axis(), heading_rad) * turn)
    }
}
