//! A pinhole camera with OpenCV's lens: from a pixel to a ray and back.
//!
//! Camera axes are x right, y down, z forward along the optical axis. The lens is Brown-Conrady with k1 k2 p1 p2 k3,
//! undistorted to distorted. Far outside the image the polynomial folds back on itself; such points have no pixel and
//! such pixels no ray.

use nalgebra::{Matrix2, Matrix3, Vector2, Vector3};

use crate::{EarthError, Frame, Pixel};

/// Newton's method on a lens within its field of view settles in five steps.
const UNDISTORT_STEPS_MAX: usize = 30;
/// What remains of the equation, in units of the focal length, for a solution to count.
const UNDISTORT_RESIDUAL_MAX: f64 = 1e-12;

/// A camera's size, focal lengths, principal point and lens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Image width.
    pub width_px: u32,
    /// Image height.
    pub height_px: u32,
    /// Focal length in pixel widths.
    pub fx_px: f64,
    /// Focal length in pixel heights.
    pub fy_px: f64,
    /// Principal point, from the outer corner of the top-left pixel.
    pub cx_px: f64,
    /// Principal point, from the outer corner of the top-left pixel.
    pub cy_px: f64,
    /// Lens: k1 k2 p1 p2 k3.
    pub distortion: [f64; 5],
}

impl Camera {
    /// An ideal camera of this size and horizontal field of view, square pixels, the axis in the middle.
    pub fn from_hfov(width_px: u32, height_px: u32, hfov_rad: f64) -> Camera {
        let focal_px = f64::from(width_px) / 2.0 / (hfov_rad / 2.0).tan();
        Camera {
            width_px,
            height_px,
            fx_px: focal_px,
            fy_px: focal_px,
            cx_px: f64::from(width_px) / 2.0,
            cy_px: f64::from(height_px) / 2.0,
            distortion: [0.0; 5],
        }
    }

    /// Passes a camera from outside that can form an image: a size, positive focal lengths, finite numbers.
    pub fn checked(self) -> Result<Camera, EarthError> {
        if self.width_px == 0 || self.height_px == 0 {
            return Err(EarthError::Camera("no pixels"));
        }
        if !self.is_focused() {
            return Err(EarthError::Camera("no positive focal length"));
        }
        if !(self.cx_px.is_finite() && self.cy_px.is_finite() && self.distortion.iter().all(|k| k.is_finite())) {
            return Err(EarthError::Camera("a parameter that is not a number"));
        }
        Ok(self)
    }

    /// The same camera when its image is scaled to another size.
    pub fn rescaled(&self, width_px: u32, height_px: u32) -> Camera {
        let right = f64::from(width_px) / f64::from(self.width_px);
        let down = f64::from(height_px) / f64::from(self.height_px);
        Camera {
            width_px,
            height_px,
            fx_px: self.fx_px * right,
            fy_px: self.fy_px * down,
            cx_px: self.cx_px * right,
            cy_px: self.cy_px * down,
            distortion: self.distortion,
        }
    }

    /// Horizontal field of view of an ideal lens with this focal length, in radians.
    pub fn hfov_rad(&self) -> f64 {
        (self.cx_px / self.fx_px).atan() + ((f64::from(self.width_px) - self.cx_px) / self.fx_px).atan()
    }

    /// The unit ray of a pixel, in camera axes. Where the lens has no ray for the pixel all parts are NaN.
    pub fn unproject(&self, pixel: Pixel<Frame>) -> Vector3<f64> {
        self.slopes(pixel).map_or_else(|| Vector3::repeat(f64::NAN), |at| Vector3::new(at.x, at.y, 1.0).normalize())
    }

    /// The pixel of a point in camera axes; none behind the camera and beyond the lens. It may lie outside the image.
    pub fn project(&self, point: Vector3<f64>) -> Option<Pixel<Frame>> {
        if !(self.is_focused() && point.z > 0.0 && point.iter().all(|part| part.is_finite())) {
            return None;
        }
        let ideal = Vector2::new(point.x / point.z, point.y / point.z);
        if !self.is_lens_sound(ideal) {
            return None;
        }
        let seen = self.distorted(ideal);
        let pixel = Pixel::new(self.fx_px * seen.x + self.cx_px, self.fy_px * seen.y + self.cy_px);
        pixel.is_finite().then_some(pixel)
    }

    /// Where a pixel would be if the lens were ideal.
    pub fn undistort(&self, pixel: Pixel<Frame>) -> Option<Pixel<Frame>> {
        self.slopes(pixel).map(|at| Pixel::new(self.fx_px * at.x + self.cx_px, self.fy_px * at.y + self.cy_px))
    }

    /// Where the lens puts what an ideal one would show at this pixel.
    pub fn distort(&self, ideal: Pixel<Frame>) -> Option<Pixel<Frame>> {
        self.project(Vector3::new((ideal.x - self.cx_px) / self.fx_px, (ideal.y - self.cy_px) / self.fy_px, 1.0))
    }

    /// x/z and y/z of a pixel's ray.
    pub fn slopes(&self, pixel: Pixel<Frame>) -> Option<Vector2<f64>> {
        let seen = Vector2::new((pixel.x - self.cx_px) / self.fx_px, (pixel.y - self.cy_px) / self.fy_px);
        if !(self.is_focused() && seen.x.is_finite() && seen.y.is_finite()) {
            return None;
        }
        if self.is_ideal() { Some(seen) } else { self.undistorted(seen) }
    }

    /// How x/z and y/z of the ray change with the pixel (columns: x, y of the pixel).
    pub fn slopes_by_pixel(&self, slopes: Vector2<f64>) -> Option<Matrix2<f64>> {
        let pixel_by_seen = Matrix2::new(1.0 / self.fx_px, 0.0, 0.0, 1.0 / self.fy_px);
        Some(self.distorted_by_ideal(slopes).try_inverse()? * pixel_by_seen)
    }

    /// Takes (pixel x, pixel y, 1) of an ideal lens to the ray with one along the optical axis.
    pub(crate) fn ray_matrix(&self) -> Matrix3<f64> {
        let (right, down) = (1.0 / self.fx_px, 1.0 / self.fy_px);
        Matrix3::new(right, 0.0, -self.cx_px * right, 0.0, down, -self.cy_px * down, 0.0, 0.0, 1.0)
    }

    /// Whether both focal lengths are positive numbers; an infinite one would turn every pixel into the optical axis.
    fn is_focused(&self) -> bool {
        [self.fx_px, self.fy_px].iter().all(|focal_px| focal_px.is_finite() && *focal_px > 0.0)
    }

    fn is_ideal(&self) -> bool {
        self.distortion == [0.0; 5]
    }

    /// The lens, on x/z and y/z.
    fn distorted(&self, ideal: Vector2<f64>) -> Vector2<f64> {
        let [k1, k2, p1, p2, k3] = self.distortion;
        let (x, y) = (ideal.x, ideal.y);
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        Vector2::new(
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        )
    }

    /// Derivative of [`Camera::distorted`].
    fn distorted_by_ideal(&self, ideal: Vector2<f64>) -> Matrix2<f64> {
        let [k1, k2, p1, p2, k3] = self.distortion;
        let (x, y) = (ideal.x, ideal.y);
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let radial_by_r2 = k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3);
        let mixed = 2.0 * x * y * radial_by_r2 + 2.0 * p1 * x + 2.0 * p2 * y;
        Matrix2::new(
            radial + 2.0 * x * x * radial_by_r2 + 2.0 * p1 * y + 6.0 * p2 * x,
            mixed,
            mixed,
            radial + 2.0 * y * y * radial_by_r2 + 6.0 * p1 * y + 2.0 * p2 * x,
        )
    }

    /// Inverts the lens by Newton's method from the distorted point.
    fn undistorted(&self, seen: Vector2<f64>) -> Option<Vector2<f64>> {
        let mut ideal = seen;
        for _ in 0..UNDISTORT_STEPS_MAX {
            let off = self.distorted(ideal) - seen;
            let step = self.distorted_by_ideal(ideal).try_inverse()? * off;
            ideal -= step;
            if step.amax() < 1e-16 {
                break;
            }
        }
        let left = (self.distorted(ideal) - seen).amax();
        (left < UNDISTORT_RESIDUAL_MAX && self.is_lens_sound(ideal)).then_some(ideal)
    }

    /// Whether the distorted radius still grows with the radius everywhere from the axis out to this point.
    fn is_lens_sound(&self, ideal: Vector2<f64>) -> bool {
        let [k1, k2, _, _, k3] = self.distortion;
        let r2 = ideal.norm_squared();
        // The derivative of r (1 + k1 r2 + k2 r2^2 + k3 r2^3) by r, as a cubic in r2.
        let growth = |s: f64| 1.0 + s * (3.0 * k1 + s * (5.0 * k2 + s * 7.0 * k3));
        let turns = quadratic_roots(21.0 * k3, 10.0 * k2, 3.0 * k1);
        growth(r2) > 0.0 && turns.into_iter().flatten().all(|s| !(0.0..=r2).contains(&s) || growth(s) > 0.0)
    }
}

/// The real roots of a x2 + b x + c.
fn quadratic_roots(a: f64, b: f64, c: f64) -> [Option<f64>; 2] {
    if a == 0.0 {
        return [(b != 0.0).then(|| -c / b), None];
    }
    let inside = b * b - 4.0 * a * c;
    if inside < 0.0 {
        return [None, None];
    }
    let half = -0.5 * (b + inside.sqrt().copysign(b));
    [Some(half / a), (half != 0.0).then(|| c / half)]
}
