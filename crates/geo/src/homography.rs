//! Flat ground seen from a tilted camera is a projective map of the picture: the homography that lays a frame out as a
//! north-up map.
//!
//! It holds for an ideal lens; undistort pixels first ([`Camera::undistort`], [`Camera::distort`]).

use std::marker::PhantomData;

use nalgebra::{Matrix2, Matrix3, Vector2, Vector3};

use crate::{Camera, Frame, LocalFrame, Pixel, Pose, Query};

/// A north-up map crop in a local frame: pixel (0, 0) is the outer corner of its north-west pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapCrop {
    /// East coordinate of the left edge.
    pub left_east_m: f64,
    /// North coordinate of the top edge.
    pub top_north_m: f64,
    /// Ground per pixel, east.
    pub east_m_px: f64,
    /// Ground per pixel, north.
    pub north_m_px: f64,
}

impl MapCrop {
    /// The crop of so many pixels a side around a point, with square pixels.
    pub fn around(east_m: f64, north_m: f64, side_px: f64, m_px: f64) -> MapCrop {
        let half_m = side_px * m_px / 2.0;
        MapCrop { left_east_m: east_m - half_m, top_north_m: north_m + half_m, east_m_px: m_px, north_m_px: m_px }
    }

    /// East and north of a pixel.
    pub fn east_north_m(&self, pixel: Pixel<Query>) -> (f64, f64) {
        (self.left_east_m + pixel.x * self.east_m_px, self.top_north_m - pixel.y * self.north_m_px)
    }

    /// The pixel of an east and north.
    pub fn pixel(&self, east_m: f64, north_m: f64) -> Pixel<Query> {
        Pixel::new((east_m - self.left_east_m) / self.east_m_px, (self.top_north_m - north_m) / self.north_m_px)
    }
}

/// A projective map from the image `From` to the image `To`.
///
/// Its scale is positive where the map is meant: a point with a third coordinate of zero or less lies at or beyond the
/// horizon.
pub struct Homography<From = Frame, To = Query> {
    matrix: Matrix3<f64>,
    images: PhantomData<fn(From) -> To>,
}

impl Homography<Frame, Query> {
    /// From the undistorted frame to a map crop, over ground that is flat at an up coordinate of the local frame.
    ///
    /// None for a camera at or below that ground, or anything that is not finite.
    pub fn map_from_image(
        camera: &Camera,
        pose: &Pose,
        frame: &LocalFrame,
        ground_up_m: f64,
        crop: &MapCrop,
    ) -> Option<Homography<Frame, Query>> {
        let view = pose.view(frame);
        let height_m = view.eye_enu_m.z - ground_up_m;
        if height_m.is_nan() || height_m <= 0.0 {
            return None;
        }
        // Rows: east, north and down of the ray of a pixel with one metre along the optical axis.
        let ray = view.enu_from_camera * camera.ray_matrix();
        let (ray_east, ray_north, ray_down) = (ray.row(0), ray.row(1), -ray.row(2));
        let east = ray_east * height_m + ray_down * (view.eye_enu_m.x - crop.left_east_m);
        let south = ray_down * (crop.top_north_m - view.eye_enu_m.y) - ray_north * height_m;
        Homography::from_matrix(Matrix3::from_rows(&[east / crop.east_m_px, south / crop.north_m_px, ray_down]))
    }
}

impl Homography<Query, Frame> {
    /// From a map crop to the undistorted frame: what a rectifier asks for each pixel it paints.
    pub fn image_from_map(
        camera: &Camera,
        pose: &Pose,
        frame: &LocalFrame,
        ground_up_m: f64,
        crop: &MapCrop,
    ) -> Option<Homography<Query, Frame>> {
        Homography::map_from_image(camera, pose, frame, ground_up_m, crop)?.inverse()
    }
}

impl<From, To> Homography<From, To> {
    /// Takes a matrix whose third coordinate is positive where the map is meant. None unless finite.
    pub fn from_matrix(matrix: Matrix3<f64>) -> Option<Homography<From, To>> {
        matrix.iter().all(|part| part.is_finite()).then_some(Homography { matrix, images: PhantomData })
    }

    /// The matrix, acting on (x, y, 1).
    pub fn matrix(&self) -> Matrix3<f64> {
        self.matrix
    }

    /// The way back. None where the map is degenerate.
    pub fn inverse(&self) -> Option<Homography<To, From>> {
        // The inverse's third coordinate is one over this one's, so it keeps its sign.
        Homography::from_matrix(self.matrix.try_inverse()?)
    }

    /// Where a pixel goes; none at or beyond the horizon.
    pub fn apply(&self, pixel: Pixel<From>) -> Option<Pixel<To>> {
        let mapped = self.matrix * Vector3::new(pixel.x, pixel.y, 1.0);
        let to = Pixel::new(mapped.x / mapped.z, mapped.y / mapped.z);
        (mapped.z > 0.0 && to.is_finite()).then_some(to)
    }

    /// How the mapped pixel moves with the pixel (columns: x, y); none at or beyond the horizon.
    pub fn derivative(&self, pixel: Pixel<From>) -> Option<Matrix2<f64>> {
        let to = self.apply(pixel)?;
        let scale = (self.matrix * Vector3::new(pixel.x, pixel.y, 1.0)).z;
        let numerator =
            self.matrix.fixed_view::<2, 2>(0, 0) - Vector2::new(to.x, to.y) * self.matrix.fixed_view::<1, 2>(2, 0);
        Some(numerator / scale)
    }
}

// Written out because a derive would ask the same of the images.
impl<From, To> Clone for Homography<From, To> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<From, To> Copy for Homography<From, To> {}

impl<From, To> std::fmt::Debug for Homography<From, To> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Homography").field("matrix", &self.matrix).finish()
    }
}
