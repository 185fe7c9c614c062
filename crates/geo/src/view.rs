//! A camera in a local frame: the form in which rays meet terrain and points become pixels, many times a frame.

use nalgebra::{Matrix3, Vector3};

use crate::{Camera, Frame, LocalFrame, Pixel, Pose};

/// A pose expressed in the east, north, up axes of one local frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// The projection centre.
    pub eye_enu_m: Vector3<f64>,
    /// Camera axes to the frame's east, north, up.
    pub enu_from_camera: Matrix3<f64>,
}

impl View {
    /// The pose in a frame.
    pub fn new(pose: &Pose, frame: &LocalFrame) -> View {
        // Rows exchanged and one negated: north, east, down to east, north, up.
        let swap = Matrix3::new(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0);
        let own_enu_from_camera = swap * pose.ned_from_camera.to_rotation_matrix().into_inner();
        View {
            eye_enu_m: frame.enu_from(pose.position),
            enu_from_camera: frame.enu_from_enu_of(&LocalFrame::new(pose.position)) * own_enu_from_camera,
        }
    }

    /// The unit ray of a pixel in the frame. NaN where the lens has none.
    pub fn ray_enu(&self, camera: &Camera, pixel: Pixel<Frame>) -> Vector3<f64> {
        self.enu_from_camera * camera.unproject(pixel)
    }

    /// The pixel of a point of the frame; none behind the camera. It may lie outside the image.
    pub fn project(&self, camera: &Camera, point_enu_m: Vector3<f64>) -> Option<Pixel<Frame>> {
        camera.project(self.enu_from_camera.tr_mul(&(point_enu_m - self.eye_enu_m)))
    }

    /// How far in front of the camera a point is, along the optical axis, in metres.
    pub fn depth_m(&self, point_enu_m: Vector3<f64>) -> f64 {
        self.enu_from_camera.column(2).dot(&(point_enu_m - self.eye_enu_m))
    }
}
