//! What the vehicle says of itself.
//!
//! MAVLink tells position, attitude, gimbal and field of view in messages of their own, each with its own moment, so a sample
//! holds what one message told and nothing it did not. Joining them at a frame's capture time is the pose buffer's work.

use std::time::Duration;

use nalgebra::UnitQuaternion;
use smgeo_flow::Stamp;
use smgeo_geo::{Altitude, Ellipsoid, LatLon, Msl};

/// Is one thing told by the vehicle about one moment.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The moment it describes, on our timeline.
    pub at: Stamp,
    /// One standard deviation of `at`.
    pub at_sigma: Duration,
    /// What was told.
    pub told: Told,
}

/// Is what a telemetry sample tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// That a flight begins: what was told before is of another one, and what follows need not follow from it.
    Begun,
    /// Where the vehicle is.
    Position(VehiclePosition),
    /// How the airframe stands: FRD body to NED.
    Attitude {
        /// Takes body axes to north, east, down.
        ned_from_body: UnitQuaternion<f64>,
    },
    /// How the gimbal's device stands.
    Gimbal(GimbalAttitude),
    /// How wide the camera sees.
    FieldOfView {
        /// Horizontal, radians, in (0, pi).
        horizontal_rad: f64,
        /// Vertical, radians; `None` when the sender does not know.
        vertical_rad: Option<f64>,
    },
    /// How good the vehicle says its position is, one standard deviation.
    Accuracy {
        /// Horizontal, metres.
        horizontal_m: f64,
        /// Vertical, metres.
        vertical_m: f64,
    },
}

/// Is a position with its height's datum in the type.
#[derive(Clone, Copy, Debug)]
pub struct VehiclePosition {
    /// Latitude and longitude, WGS84.
    pub at: LatLon,
    /// Height as the sender gave it.
    pub height: VehicleHeight,
    /// North, east and down velocity, m/s, where told.
    pub velocity_ned_mps: Option<[f64; 3]>,
}

/// Is a height with the datum its sender used.
#[derive(Clone, Copy, Debug)]
pub enum VehicleHeight {
    /// Above mean sea level (EGM96), as MAVLink sends it.
    Msl(Altitude<Msl>),
    /// Above the WGS84 ellipsoid.
    Ellipsoid(Altitude<Ellipsoid>),
}

impl VehicleHeight {
    /// Returns the height above the ellipsoid at `at`.
    pub fn to_ellipsoid(self, at: LatLon) -> Altitude<Ellipsoid> {
        match self {
            Self::Msl(altitude) => altitude.to_ellipsoid(at),
            Self::Ellipsoid(altitude) => altitude,
        }
    }
}

/// Is a gimbal's attitude and the frame its yaw is told in.
#[derive(Clone, Copy, Debug)]
pub struct GimbalAttitude {
    /// Takes gimbal FRD axes to the yaw frame.
    pub frame_from_gimbal: UnitQuaternion<f64>,
    /// What the yaw is measured from.
    pub yaw_frame: YawFrame,
}

/// Is what a gimbal's yaw is measured from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum YawFrame {
    /// North.
    Earth,
    /// The vehicle's heading, which the sender told as this yaw from north, radians.
    Heading {
        /// Yaw of the heading frame from north, radians.
        delta_yaw_rad: f64,
    },
    /// The vehicle's heading, to be taken from its attitude.
    Vehicle,
}
