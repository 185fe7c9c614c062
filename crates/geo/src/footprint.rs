//! What of the ground a camera sees: the outline to draw on a map.

use nalgebra::Vector3;

use crate::{Camera, Frame, Pixel, Terrain, View, intersect};

/// Points on each side of the picture; enough that a lens's bent edge looks bent.
const POINTS_A_SIDE: u32 = 8;

impl View {
    /// The outline of the camera's view on the ground, in the frame, clockwise as the picture's edge is walked from its
    /// top left.
    ///
    /// Rays that land further out than `range_m_max`, or never, are cut there: the outline then ends at the horizon's
    /// side with points at that distance. Empty where nothing of the picture's edge looks near the ground.
    pub fn footprint(&self, camera: &Camera, terrain: &dyn Terrain, range_m_max: f64) -> Vec<Vector3<f64>> {
        let landed: Vec<Option<Vector3<f64>>> =
            edge(camera).map(|pixel| self.landed(camera, pixel, terrain, range_m_max)).collect();
        if landed.iter().all(Option::is_none) {
            return Vec::new();
        }
        edge(camera)
            .zip(landed)
            .filter_map(|(pixel, point)| point.or_else(|| self.cut_off(camera, pixel, terrain, range_m_max)))
            .collect()
    }

    fn landed(
        &self,
        camera: &Camera,
        pixel: Pixel<Frame>,
        terrain: &dyn Terrain,
        range_m_max: f64,
    ) -> Option<Vector3<f64>> {
        let hit = intersect(self.eye_enu_m, self.ray_enu(camera, pixel), terrain)?;
        (hit.range_m <= range_m_max).then_some(hit.enu_m)
    }

    /// The ground below a ray's end.
    fn cut_off(
        &self,
        camera: &Camera,
        pixel: Pixel<Frame>,
        terrain: &dyn Terrain,
        range_m_max: f64,
    ) -> Option<Vector3<f64>> {
        let ray = self.ray_enu(camera, pixel);
        let level = Vector3::new(ray.x, ray.y, 0.0).try_normalize(1e-9)?;
        let end = self.eye_enu_m + level * range_m_max;
        let below = terrain.height_m(end.x, end.y).unwrap_or(end.z);
        let point = Vector3::new(end.x, end.y, below);
        point.iter().all(|part| part.is_finite()).then_some(point)
    }
}

/// Pixels along the edge of the picture, clockwise from its top left corner.
fn edge(camera: &Camera) -> impl Iterator<Item = Pixel<Frame>> + use<> {
    let (width, height) = (f64::from(camera.width_px), f64::from(camera.height_px));
    (0..4 * POINTS_A_SIDE).map(move |k| {
        let part = f64::from(k % POINTS_A_SIDE) / f64::from(POINTS_A_SIDE);
        match k / POINTS_A_SIDE {
            0 => Pixel::new(part * width, 0.0),
            1 => Pixel::new(width, part * height),
            2 => Pixel::new((1.0 - part) * width, height),
            _ => Pixel::new(0.0, (1.0 - part) * height),
        }
    })
}
