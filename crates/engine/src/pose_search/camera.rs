//! How a camera sees a plane from above, by what is guessed of its pose.

use image::RgbImage;

use super::grid::Pose;

/// A ray flatter than this (its downward part) looks at the horizon.
const DOWN_MIN: f64 = 0.15;

/// A pinhole camera over a plane, in units of reference pixels: east, south and down.
pub(super) struct Camera {
    /// Focal length, pixels of the picture.
    pub(super) focal_px: f64,
    centre_px: [f64; 2],
    heading: (f64, f64),
    tilt: (f64, f64),
}

impl Camera {
    /// The camera of a picture that was taken in `pose`, with its principal point in the middle.
    pub(super) fn of(pose: &Pose, photo: &RgbImage, field_of_view_deg: f64) -> Camera {
        let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
        Camera {
            focal_px: width / 2.0 / (field_of_view_deg.to_radians() / 2.0).tan(),
            centre_px: [width / 2.0, height / 2.0],
            heading: pose.heading_deg.to_radians().sin_cos(),
            tilt: pose.tilt_deg.to_radians().sin_cos(),
        }
    }

    /// The direction of a pixel's ray, of any length.
    pub(super) fn ray(&self, pixel: [f64; 2]) -> [f64; 3] {
        let [x, y] = [0, 1].map(|axis| (pixel[axis] - self.centre_px[axis]) / self.focal_px);
        let ((turn_sin, turn_cos), (tilt_sin, tilt_cos)) = (self.heading, self.tilt);
        let (ahead, down) = (y * tilt_cos - tilt_sin, y * tilt_sin + tilt_cos);
        [x * turn_cos - ahead * turn_sin, x * turn_sin + ahead * turn_cos, down]
    }

    /// The downward part of a pixel's ray of length 1; `None` where it sees too far for any crop.
    pub(super) fn down_share(&self, pixel: [f64; 2]) -> Option<f64> {
        let [east, south, down] = self.ray(pixel);
        let share = down / (east * east + south * south + down * down).sqrt();
        (share >= DOWN_MIN).then_some(share)
    }

    /// The pixel that shows what lies in this direction; `None` behind the camera.
    pub(super) fn pixel(&self, [east, south, down]: [f64; 3]) -> Option<(f64, f64)> {
        let ((turn_sin, turn_cos), (tilt_sin, tilt_cos)) = (self.heading, self.tilt);
        let (x, ahead) = (east * turn_cos + south * turn_sin, south * turn_cos - east * turn_sin);
        let (y, depth) = (ahead * tilt_cos + down * tilt_sin, down * tilt_cos - ahead * tilt_sin);
        let at = |across: f64, axis: usize| self.centre_px[axis] + self.focal_px * across / depth;
        (depth > 1e-6 * down).then(|| (at(x, 0), at(y, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::PoseGrid;
    use super::*;

    #[test]
    fn a_rays_pixel_is_the_one_it_was_made_of() {
        let photo = RgbImage::new(400, 300);
        for pose in PoseGrid::default().poses() {
            let camera = Camera::of(&pose, &photo, 60.0);
            for pixel in [[200.0, 150.0], [31.0, 280.0], [390.0, 120.0]] {
                let (x, y) = camera.pixel(camera.ray(pixel)).unwrap();
                assert!((x - pixel[0]).abs() + (y - pixel[1]).abs() < 1e-9, "{pose:?}: {x}, {y} for {pixel:?}");
            }
        }
    }

    #[test]
    fn a_heading_turns_the_view_clockwise_and_a_tilt_raises_it() {
        let photo = RgbImage::new(400, 300);
        let ray = |heading_deg, tilt_deg| {
            Camera::of(&Pose { heading_deg, tilt_deg, scale: 1.0 }, &photo, 60.0).ray([200.0, 150.0])
        };
        let near = |found: [f64; 3], wanted: [f64; 3]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9);
        let (sine, cosine) = 30_f64.to_radians().sin_cos();
        assert!(near(ray(0.0, 30.0), [0.0, -sine, cosine]), "north, down");
        assert!(near(ray(90.0, 30.0), [sine, 0.0, cosine]), "east, down");
    }
}
