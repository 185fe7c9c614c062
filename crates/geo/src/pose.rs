//! Where the camera is and how it is turned, at one moment; and how well both are known.

use nalgebra::{UnitQuaternion, Vector3};

use crate::attitude::frd_from_camera;
use crate::local_frame::swap_ned_enu;
use crate::{Altitude, Camera, EarthError, Euler, Frame, Geodetic, GimbalAttitude, LatLon, LocalFrame, Pixel, View};

/// A camera's position and attitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The projection centre.
    pub position: Geodetic,
    /// Camera axes (x right, y down, z forward) to north, east, down at the position.
    pub ned_from_camera: UnitQuaternion<f64>,
}

impl Pose {
    /// A camera whose FRD axes are turned by Euler angles: a gimbal's angles against the horizon and north.
    pub fn from_euler(position: Geodetic, gimbal: Euler) -> Pose {
        Pose { position, ned_from_camera: gimbal.ned_from_body() * frd_from_camera() }
    }

    /// A camera fixed to the body: the body's attitude, then the mount's angles against the body.
    pub fn from_strapdown(position: Geodetic, body: Euler, mount: Euler) -> Pose {
        Pose { position, ned_from_camera: body.ned_from_body() * mount.ned_from_body() * frd_from_camera() }
    }

    /// A camera on a gimbal that reports a quaternion and flags.
    pub fn from_gimbal(position: Geodetic, gimbal: &GimbalAttitude) -> Result<Pose, EarthError> {
        Ok(Pose { position, ned_from_camera: gimbal.ned_from_gimbal()? * frd_from_camera() })
    }

    /// The angles of the camera's FRD axes.
    pub fn euler(&self) -> Euler {
        Euler::of(&(self.ned_from_camera * frd_from_camera().inverse()))
    }

    /// The unit ray of a pixel in north, east, down at the camera. NaN where the lens has none.
    pub fn ray_ned(&self, camera: &Camera, pixel: Pixel<Frame>) -> Vector3<f64> {
        self.ned_from_camera * camera.unproject(pixel)
    }

    /// The unit ray of a pixel in east, north, up at the camera. NaN where the lens has none.
    pub fn ray_enu(&self, camera: &Camera, pixel: Pixel<Frame>) -> Vector3<f64> {
        swap_ned_enu(self.ray_ned(camera, pixel))
    }

    /// The same camera seen from a local frame, whose up differs from the camera's by the Earth's curvature.
    pub fn view(&self, frame: &LocalFrame) -> View {
        View::new(self, frame)
    }

    /// The pose a part `t` of the way from `a` to `b`: position along the straight line, attitude along the great arc.
    ///
    /// `t` is held to 0..=1, since an attitude must not be extrapolated. A `t` that is not a number gives `a`.
    pub fn interpolate(a: &Pose, b: &Pose, t: f64) -> Pose {
        let part = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let between = |from: f64, to: f64| from + (to - from) * part;
        let east_deg = crate::lat_lon::wrapped_deg(b.position.at.lon_deg() - a.position.at.lon_deg());
        let at = LatLon::clamped(
            between(a.position.at.lat_deg(), b.position.at.lat_deg()),
            a.position.at.lon_deg() + east_deg * part,
        );
        let height = Altitude::from_m(between(a.position.height.m(), b.position.height.m()));
        // Half a turn apart there is no shortest way; any is as good.
        let attitude = a.ned_from_camera.try_slerp(&b.ned_from_camera, part, 1e-12).unwrap_or(a.ned_from_camera);
        Pose { position: Geodetic { at, height }, ned_from_camera: attitude }
    }

    /// Whether position and attitude are numbers.
    pub fn is_finite(&self) -> bool {
        self.position.height.m().is_finite() && self.ned_from_camera.coords.iter().all(|part| part.is_finite())
    }
}

/// Standard deviations of a pose, independent of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseSigma {
    /// Of the heading.
    pub yaw_rad: f64,
    /// Of the camera's pitch.
    pub pitch_rad: f64,
    /// Of the camera's roll.
    pub roll_rad: f64,
    /// Of the position north, and of the position east.
    pub horizontal_m: f64,
    /// Of the height.
    pub vertical_m: f64,
}
