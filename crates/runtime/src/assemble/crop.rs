//! Where each pixel of the crop lies in the frame.

use std::sync::Arc;

use nalgebra::Vector3;
use smgeo_engine::TILE_PX;
use smgeo_geo::{self as geo, Camera, LatLon, MapCrop, Pixel, RayGround, View, mercator};
use smgeo_messages::Frame;

use super::Scene;
use crate::terrain::Ground;

/// Is a map from the crop's pixels to the frame's.
pub enum Crop {
    /// North up at map scale, over the terrain.
    Rectified {
        /// The camera in the ground's frame.
        view: View,
        /// The lens.
        camera: Camera,
        /// The ground.
        ground: Arc<Ground>,
        /// Where the crop lies.
        map: MapCrop,
        /// The height of the clicked point, for where the model has no height.
        fallback_up_m: f64,
    },
    /// A square of the frame around the click.
    Raw {
        /// The click.
        click: Pixel<geo::Frame>,
        /// Frame pixels a crop pixel.
        scale: f64,
    },
}

impl Crop {
    /// Lays the ground around a ray's answer out as the map is, the answer in the middle.
    pub fn rectified(scene: &Scene, ray: &RayGround, zoom: u8, at: LatLon) -> Self {
        let scale = mercator::metres_per_px(at, zoom);
        let half_px = TILE_PX as f64 / 2.0;
        let map = MapCrop {
            left_east_m: ray.point_enu.x - half_px * scale.east,
            top_north_m: ray.point_enu.y + half_px * scale.north,
            east_m_px: scale.east,
            north_m_px: scale.north,
        };
        Self::Rectified {
            view: scene.used.pose.view(&scene.ground.frame),
            camera: scene.camera,
            ground: scene.ground.clone(),
            map,
            fallback_up_m: ray.point_enu.z,
        }
    }

    /// Takes a square as high as the frame, the click in its middle; what lies beyond the frame stays black.
    pub fn raw(frame: &Frame, click: Pixel<geo::Frame>) -> Self {
        Self::Raw { click, scale: f64::from(frame.width_px.min(frame.height_px)) / TILE_PX as f64 }
    }

    /// Returns the point of the frame at a point of the crop; none where the camera does not look.
    pub fn frame_from_crop(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        match self {
            Self::Rectified { view, camera, ground, map, fallback_up_m } => {
                let (east_m, north_m) = map.east_north_m(Pixel::new(x, y));
                let up_m = ground.terrain.height_m(east_m, north_m).unwrap_or(*fallback_up_m);
                let pixel = view.project(camera, Vector3::new(east_m, north_m, up_m))?;
                Some((pixel.x, pixel.y))
            }
            Self::Raw { click, scale } => {
                let half_px = TILE_PX as f64 / 2.0;
                Some((click.x + (x - half_px) * scale, click.y + (y - half_px) * scale))
            }
        }
    }

    /// The click in the crop: its middle.
    pub fn click(&self) -> Pixel<geo::Query> {
        let half_px = TILE_PX as f64 / 2.0;
        Pixel::new(half_px, half_px)
    }
}
