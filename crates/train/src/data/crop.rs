//! The network's view of a frame: 256 px around the click, rectified to the map by what telemetry says of the camera.
//!
//! The crop's middle is the click by construction, so an error of position does not matter, while errors of heading, tilt and
//! height turn, shear and scale the picture about it, as in flight.

use nalgebra::Matrix3;
use smgeo_engine::TILE_PX;
use smgeo_engine::rectify::{Picture, Pyramid};

use super::Raster;
use super::camera::DroneCamera;
use super::ground::DroneFrame;
use super::planar::{Planar, inverse, map, scale, shift};

const MIDDLE_PX: f64 = TILE_PX as f64 / 2.0;

/// A rectified query crop and where its pixels come from.
#[derive(Clone, Debug)]
pub struct QueryCrop {
    /// 256 x 256 px.
    pub picture: Raster,
    frame_from_crop: Planar,
    crop_from_frame: Planar,
}

impl QueryCrop {
    /// Rectifies the surroundings of a frame pixel with a believed camera. `map_from_ground` turns ground pixels into the map
    /// pixels (scale, orientation) the crop shall have. Pixels that the camera did not see are black. `None` when the believed
    /// ray misses the ground.
    pub fn rectify(
        frame: &DroneFrame,
        believed: &DroneCamera,
        map_from_ground: &Planar,
        click: [f64; 2],
    ) -> Option<Self> {
        let frame_from_map = believed.frame_from_map() * inverse(map_from_ground);
        let map_from_frame = frame_from_map.try_inverse()?;
        let centre = map(&oriented(&map_from_frame, click), click)?;
        let frame_from_crop = frame_from_map * shift(centre[0] - MIDDLE_PX, centre[1] - MIDDLE_PX);
        // The sign of a homography is free; a positive denominator must mean "in front of the camera".
        map(&frame_from_crop, [MIDDLE_PX; 2])?;
        let crop_from_frame = oriented(&frame_from_crop.try_inverse()?, click);
        let source = &frame.picture;
        Self::sampled(source, frame_from_crop, crop_from_frame)
    }

    /// Takes the largest square of the frame, centred on a pixel as far as the frame allows: what there is without any pose.
    pub fn square(frame: &DroneFrame, click: [f64; 2]) -> Option<Self> {
        let source = &frame.picture;
        let side = source.width().min(source.height()) as f64;
        let corner = |axis: usize, extent: usize| (click[axis] - side / 2.0).clamp(0.0, extent as f64 - side);
        let corner = [corner(0, source.width()), corner(1, source.height())];
        let frame_from_crop = shift(corner[0], corner[1]) * scale(side / TILE_PX as f64);
        Self::sampled(source, frame_from_crop, inverse(&frame_from_crop))
    }

    fn sampled(source: &Raster, frame_from_crop: Planar, crop_from_frame: Planar) -> Option<Self> {
        let whole = Picture { rgb: source.rgb(), width_px: source.width(), height_px: source.height() };
        let rgb = Pyramid::new(whole).crop(|x, y| map(&frame_from_crop, [x, y]).map(|[u, v]| (u, v)));
        let picture = Raster::from_rgb(TILE_PX, TILE_PX, rgb).ok()?;
        Some(Self { picture, frame_from_crop, crop_from_frame })
    }

    /// The frame pixel a crop pixel shows; `None` behind the camera.
    pub fn frame_at(&self, crop_px: [f64; 2]) -> Option<[f64; 2]> {
        map(&self.frame_from_crop, crop_px)
    }

    /// The crop pixel that shows a frame pixel.
    pub fn crop_at(&self, frame_px: [f64; 2]) -> Option<[f64; 2]> {
        map(&self.crop_from_frame, frame_px)
    }
}

/// The same homography with the sign that makes the denominator positive at `point`.
fn oriented(planar: &Matrix3<f64>, point: [f64; 2]) -> Matrix3<f64> {
    let denominator = planar[(2, 0)] * point[0] + planar[(2, 1)] * point[1] + planar[(2, 2)];
    if denominator < 0.0 { -planar } else { *planar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::camera::PoseErrors;
    use crate::data::ground::Surface;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn frame(seed: u64) -> DroneFrame {
        let camera = DroneCamera::draw(&mut ChaCha8Rng::seed_from_u64(seed), [128.0, 128.0]);
        let picture = Raster::filled(camera.width, camera.height, [80; 3]);
        DroneFrame { picture, camera, surface: Surface::Plane, objects: Vec::new() }
    }

    #[test]
    fn with_a_true_pose_a_crop_is_the_map_around_the_click() {
        for seed in 0..20 {
            let frame = frame(seed);
            let click = map(&frame.camera.frame_from_map(), [128.0, 128.0]).unwrap();
            let crop = QueryCrop::rectify(&frame, &frame.camera, &Planar::identity(), click).unwrap();
            for at in [[128.0, 128.0], [100.0, 150.0], [150.0, 110.0]] {
                let ground = crop.frame_at(at).and_then(|pixel| map(&inverse(&frame.camera.frame_from_map()), pixel));
                let [x, y] = ground.unwrap();
                assert!((x - at[0]).abs() < 1e-6 && (y - at[1]).abs() < 1e-6, "seed {seed}: {x} {y} for {at:?}");
            }
        }
    }

    #[test]
    fn whatever_the_pose_error_the_middle_is_the_click() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for seed in 0..20 {
            let frame = frame(seed);
            let click = [frame.camera.width as f64 / 2.0, frame.camera.height as f64 / 2.0];
            let believed = frame.camera.disturbed(&mut rng, PoseErrors::RAW);
            let crop = QueryCrop::rectify(&frame, &believed, &Planar::identity(), click).unwrap();
            let [x, y] = crop.crop_at(click).unwrap();
            assert!((x - 128.0).abs() < 1e-6 && (y - 128.0).abs() < 1e-6);
        }
    }
}
