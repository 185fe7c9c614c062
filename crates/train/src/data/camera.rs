//! A drone's camera over flat ground, in map pixels: where it stands, how it is turned, and how badly that is known.
//!
//! Ground axes are east, south, down, so a camera that looks straight down with its top to the north has no rotation at all;
//! camera axes are right, down, forward. Lengths are map pixels, so nothing here depends on a ground resolution.

use nalgebra::{Matrix3, Rotation3, Vector3};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::look::limited_gaussian;
use super::planar::Planar;

/// A tilt that is mistaken for a lesser one if it is more than this, and for a greater one if less: no guess reaches the horizon.
const LEAN_RAD: f64 = 0.5;

/// A pinhole camera above the plane of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DroneCamera {
    /// Width of the frame in pixels.
    pub width: usize,
    /// Height of the frame in pixels.
    pub height: usize,
    /// Focal length in frame pixels.
    pub focal_px: f64,
    /// Clockwise turn of the frame's top from the map's top.
    pub yaw_rad: f64,
    /// Turn of the view from straight down towards the frame's top.
    pub tilt_rad: f64,
    /// Turn about the line of sight.
    pub roll_rad: f64,
    /// The point of the map below the camera, map pixels.
    pub below: [f64; 2],
    /// Height above the map, map pixels.
    pub height_map_px: f64,
}

/// Standard deviations of what telemetry says about a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoseErrors {
    /// Of the heading.
    pub yaw_rad: f64,
    /// Of tilt and of roll.
    pub tilt_rad: f64,
    /// Of the height, as a share of it.
    pub scale: f64,
}

impl PoseErrors {
    /// A compass, a gimbal and a barometer as they are.
    pub const TELEMETRY: Self = Self { yaw_rad: 0.050, tilt_rad: 0.022, scale: 0.045 };
    /// Hardly any telemetry, or the nearest of the poses that are tried where there is none (`engine::pose_search`).
    pub const RAW: Self = Self { yaw_rad: 0.19, tilt_rad: 0.12, scale: 0.17 };
}

impl DroneCamera {
    /// Draws a camera that sees the map point `aim` in the middle part of its frame, at 0.7 to 1.7 frame pixels a map pixel.
    pub fn draw(rng: &mut impl Rng, aim: [f64; 2]) -> Self {
        let (width, height) = [(384, 288), (352, 352), (448, 252), (400, 300)][rng.random_range(0..4)];
        let fov_rad = rng.random_range(40f64..80.0).to_radians();
        let focal_px = width as f64 / 2.0 / (fov_rad / 2.0).tan();
        let tilt_deg = if rng.random_bool(0.25) { rng.random_range(0.0..12.0) } else { rng.random_range(12.0..66.0) };
        let sharpness = rng.random_range(0.7..1.7);
        let mut camera = Self {
            width,
            height,
            focal_px,
            yaw_rad: rng.random_range(-std::f64::consts::PI..std::f64::consts::PI),
            tilt_rad: f64::to_radians(tilt_deg),
            roll_rad: limited_gaussian(rng, 0.03, 2.0),
            below: [0.0; 2],
            height_map_px: 1.0,
        };
        let pixel = [width as f64 * rng.random_range(0.3..0.7), height as f64 * rng.random_range(0.3..0.75)];
        let ray = camera.ray(pixel);
        // The slant range that gives the wanted sharpness on the line of sight; the aim's ray must point down.
        let range = focal_px / sharpness;
        camera.height_map_px = range * ray.z.max(0.2);
        camera.below = [0, 1].map(|axis| aim[axis] - camera.height_map_px * ray[axis] / ray.z.max(0.2));
        camera
    }

    /// The same camera as telemetry describes it.
    pub fn disturbed(&self, rng: &mut impl Rng, errors: PoseErrors) -> Self {
        Self {
            yaw_rad: self.yaw_rad + limited_gaussian(rng, errors.yaw_rad, 2.5),
            tilt_rad: self.tilt_rad + limited_gaussian(rng, errors.tilt_rad, 2.5),
            roll_rad: self.roll_rad + limited_gaussian(rng, errors.tilt_rad, 2.5),
            height_map_px: self.height_map_px * (1.0 + limited_gaussian(rng, errors.scale, 2.5)),
            ..self.clone()
        }
    }

    /// The same camera by a guess that is further from the truth than [`PoseErrors::RAW`] ever is, in one of its numbers.
    pub fn mistaken(&self, rng: &mut impl Rng) -> Self {
        let mut guess = self.disturbed(rng, PoseErrors::RAW);
        let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        match rng.random_range(0..4) {
            0 => guess.height_map_px = self.height_map_px * rng.random_range(1.8f64..3.0).powf(side),
            1 => {
                let lean = if self.tilt_rad > LEAN_RAD { -1.0 } else { 1.0 };
                guess.tilt_rad = self.tilt_rad + lean * rng.random_range(30f64..60.0).to_radians();
            }
            _ => guess.yaw_rad = self.yaw_rad + side * rng.random_range(40f64..180.0).to_radians(),
        }
        guess
    }

    /// The map from map pixels to frame pixels.
    pub fn frame_from_map(&self) -> Planar {
        let (principal_x, principal_y) = (self.width as f64 / 2.0, self.height as f64 / 2.0);
        let lens = Matrix3::new(self.focal_px, 0.0, principal_x, 0.0, self.focal_px, principal_y, 0.0, 0.0, 1.0);
        let plane = Matrix3::new(1.0, 0.0, -self.below[0], 0.0, 1.0, -self.below[1], 0.0, 0.0, self.height_map_px);
        lens * self.ground_from_camera().inverse().matrix() * plane
    }

    /// The frame pixel of a point above the map, height in map pixels; `None` behind the camera.
    pub fn project(&self, map_px: [f64; 2], height_map_px: f64) -> Option<[f64; 2]> {
        let down = self.height_map_px - height_map_px;
        let from_camera = Vector3::new(map_px[0] - self.below[0], map_px[1] - self.below[1], down);
        let seen = self.ground_from_camera().inverse() * from_camera;
        let pixel = |across: f64, size: usize| size as f64 / 2.0 + self.focal_px * across / seen.z;
        (seen.z > 1e-9).then(|| [pixel(seen.x, self.width), pixel(seen.y, self.height)])
    }

    /// The unit direction of a frame pixel's ray in ground axes (east, south, down).
    pub fn ray(&self, pixel: [f64; 2]) -> Vector3<f64> {
        let x = (pixel[0] - self.width as f64 / 2.0) / self.focal_px;
        let y = (pixel[1] - self.height as f64 / 2.0) / self.focal_px;
        (self.ground_from_camera() * Vector3::new(x, y, 1.0)).normalize()
    }

    /// The rotation from camera axes (right, down, forward) to ground axes (east, south, down).
    pub fn ground_from_camera(&self) -> Rotation3<f64> {
        let yaw = Rotation3::from_axis_angle(&Vector3::z_axis(), self.yaw_rad);
        let tilt = Rotation3::from_axis_angle(&Vector3::x_axis(), self.tilt_rad);
        let roll = Rotation3::from_axis_angle(&Vector3::z_axis(), self.roll_rad);
        yaw * tilt * roll
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::planar::{inverse, map};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_drawn_camera_sees_its_aim_near_the_middle() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..200 {
            let camera = DroneCamera::draw(&mut rng, [300.0, -40.0]);
            let pixel = map(&camera.frame_from_map(), [300.0, -40.0]).unwrap();
            let projected = camera.project([300.0, -40.0], 0.0).unwrap();
            assert!((projected[0] - pixel[0]).abs() + (projected[1] - pixel[1]).abs() < 1e-6);
            assert!(pixel[0] > 0.25 * camera.width as f64 && pixel[0] < 0.75 * camera.width as f64, "{pixel:?}");
            assert!(pixel[1] > 0.25 * camera.height as f64 && pixel[1] < 0.8 * camera.height as f64, "{pixel:?}");
        }
    }

    #[test]
    fn a_mistaken_pose_is_further_off_than_a_raw_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for _ in 0..400 {
            let camera = DroneCamera::draw(&mut rng, [0.0; 2]);
            let off = |guess: DroneCamera| {
                let scale = (guess.height_map_px / camera.height_map_px).ln().abs();
                let of = PoseErrors::RAW;
                let turns = ((guess.yaw_rad - camera.yaw_rad).abs() / of.yaw_rad)
                    .max((guess.tilt_rad - camera.tilt_rad).abs() / of.tilt_rad);
                turns.max(scale / of.scale)
            };
            let (raw, mistaken) = (off(camera.disturbed(&mut rng, PoseErrors::RAW)), off(camera.mistaken(&mut rng)));
            assert!(raw < 3.4 && mistaken > 3.4, "{raw} {mistaken}");
        }
    }

    #[test]
    fn a_level_camera_to_the_north_shows_the_map_upright() {
        let camera = DroneCamera {
            width: 200,
            height: 100,
            focal_px: 100.0,
            yaw_rad: 0.0,
            tilt_rad: 0.0,
            roll_rad: 0.0,
            below: [50.0, 60.0],
            height_map_px: 50.0,
        };
        let frame_from_map = camera.frame_from_map();
        assert_eq!(map(&frame_from_map, [50.0, 60.0]), Some([100.0, 50.0]));
        assert_eq!(map(&frame_from_map, [60.0, 65.0]), Some([120.0, 60.0]));
        let north = DroneCamera { tilt_rad: 0.5, ..camera };
        let ahead = map(&inverse(&north.frame_from_map()), [100.0, 50.0]).unwrap();
        assert!(ahead[1] < 60.0, "a tilted camera looks towards the top of the map: {ahead:?}");
    }
}
