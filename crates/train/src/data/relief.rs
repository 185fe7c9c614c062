//! Invented heights on flat imagery: roofs and trees rise, so that an oblique camera sees them lean and hide what is behind.
//!
//! Orthoimagery has no heights, and a drone view made of it by a homography alone is rectified nearly perfectly, which no real
//! drone view is. Heights are drawn anew for each view: what is learned is that things lean, not how high a roof is.

use nalgebra::Vector3;
use rand::{Rng, RngExt};

use super::Raster;
use super::camera::DroneCamera;
use super::ground::{Beyond, DroneFrame, Ground, GroundBox, Surface};

/// Edge of the square around the aim that has heights, ground pixels; the crop shows less.
const EDGE_PX: usize = 512;
/// Share of its box, on each side, that a roof leaves free: boxes hold turned roofs and their shadows.
const ROOF_INSET: f64 = 0.1;
/// Places that are looked at for a tree.
const TREE_TRIES: usize = 160;
/// Longest way of a ray below the highest top that is followed, steps of a ground pixel.
const STEPS_MAX: f64 = 64.0;
/// Height of a storey, m.
const STOREY_M: f64 = 3.0;

/// Heights over a square of a ground, ground pixels.
pub struct Relief {
    corner: [f64; 2],
    up_px: Vec<f32>,
    highest_px: f64,
}

/// What a ray meets.
struct Met {
    ground_px: [f64; 2],
    wall: bool,
}

impl Relief {
    /// Draws heights around `aim`: of all boxes, and of trees where the layer is dark and green.
    pub fn draw(rng: &mut impl Rng, ground: &Ground, layer: usize, aim: [f64; 2]) -> Self {
        let corner = aim.map(|place| place.floor() - EDGE_PX as f64 / 2.0);
        let mut relief = Self { corner, up_px: vec![0.0; EDGE_PX * EDGE_PX], highest_px: 0.0 };
        for _ in 0..TREE_TRIES {
            let place = [0, 1].map(|axis| corner[axis] + rng.random_range(0.0..EDGE_PX as f64));
            let (radius_m, height_m) = (rng.random_range(1.5..4.5), rng.random_range(2.0..9.0));
            if is_leafy(&ground.layers[layer], place) {
                relief.raise_tree(place, radius_m / ground.gsd_m, height_m / ground.gsd_m);
            }
        }
        for roof in &ground.boxes {
            // Most houses have one or two storeys; the longer the side, the more are possible.
            let storeys_max = 2.0 + roof.size().map(|side| side * ground.gsd_m / 15.0).iter().sum::<f64>();
            let storeys = 1.0 + (storeys_max - 1.0) * rng.random_range(0.0f64..1.0).powi(2);
            relief.raise_roof(roof, storeys * STOREY_M / ground.gsd_m);
        }
        relief
    }

    /// A frame over a layer with these heights, with the objects of `ground` that are in view and not hidden.
    pub fn frame(
        &self,
        rng: &mut impl Rng,
        ground: &Ground,
        layer: usize,
        camera: DroneCamera,
        beyond: Beyond,
    ) -> DroneFrame {
        let (width, height) = (camera.width, camera.height);
        let pixels = (0..width * height).map(|at| [(at % width) as f64 + 0.5, (at / width) as f64 + 0.5]);
        let met: Vec<Option<Met>> = pixels.map(|pixel| self.meet(&camera, camera.ray(pixel))).collect();
        let of = |x: f64, y: f64| met[y as usize * width + x as usize].as_ref();
        let layer = &ground.layers[layer];
        let mut picture = layer.warp(width, height, [0; 3], |x, y| Some(beyond.of(layer, of(x, y)?.ground_px)));
        let wall_share = rng.random_range(0.5f32..1.1);
        for (pixel, _) in
            picture.rgb_mut().chunks_exact_mut(3).zip(&met).filter(|(_, met)| met.as_ref().is_some_and(|met| met.wall))
        {
            pixel.iter_mut().for_each(|level| *level = (f32::from(*level) * wall_share).min(255.0) as u8);
        }
        let shown = |met: &Option<Met>| met.as_ref().map_or([f32::NAN; 2], |met| met.ground_px.map(|x| x as f32));
        let surface = Surface::Relief { block_px: 1, columns: width, ground: met.iter().map(shown).collect() };
        let mut frame = DroneFrame { picture, camera, surface, objects: Vec::new() };
        let in_view = |(index, object): (usize, &GroundBox)| Some((index, self.pixel_of(&frame, object)?));
        frame.objects = ground.boxes.iter().enumerate().filter_map(in_view).collect();
        frame
    }

    /// The frame pixel of a ground point's top; `None` out of view.
    pub fn project(&self, camera: &DroneCamera, ground_px: [f64; 2]) -> Option<[f64; 2]> {
        camera.project(ground_px, self.up_px(ground_px))
    }

    /// The frame pixel of an object's middle, unless something hides it.
    fn pixel_of(&self, frame: &DroneFrame, object: &GroundBox) -> Option<[f64; 2]> {
        let pixel = self.project(&frame.camera, object.centre())?;
        object.contains(frame.ground_at(pixel)?).then_some(pixel)
    }

    fn meet(&self, camera: &DroneCamera, ray: Vector3<f64>) -> Option<Met> {
        if ray.z < 1e-3 {
            return None;
        }
        let place = |up_px: f64| {
            let way = (camera.height_map_px - up_px) / ray.z;
            [camera.below[0] + way * ray.x, camera.below[1] + way * ray.y]
        };
        let highest_px = self.highest_px.min(0.9 * camera.height_map_px);
        let travel_px = highest_px * ray.x.hypot(ray.y) / ray.z;
        let steps = travel_px.ceil().clamp(1.0, STEPS_MAX);
        let fall_px = highest_px / steps;
        (0..steps as usize)
            .map(|step| highest_px - step as f64 * fall_px)
            .find_map(|up_px| {
                let ground_px = place(up_px);
                let top_px = self.up_px(ground_px);
                (top_px > 0.0 && top_px >= up_px).then_some(Met { ground_px, wall: top_px > up_px + 1.5 * fall_px })
            })
            .or_else(|| Some(Met { ground_px: place(0.0), wall: false }))
    }

    fn up_px(&self, ground_px: [f64; 2]) -> f64 {
        let [x, y] = [0, 1].map(|axis| ground_px[axis] - self.corner[axis]);
        let inside = x >= 0.0 && y >= 0.0 && x < EDGE_PX as f64 && y < EDGE_PX as f64;
        if inside { f64::from(self.up_px[y as usize * EDGE_PX + x as usize]) } else { 0.0 }
    }

    fn raise_roof(&mut self, roof: &GroundBox, height_px: f64) {
        let [width, height] = roof.size();
        let [x0, y0, x1, y1] = roof.xyxy;
        let (inset_x, inset_y) = (ROOF_INSET * width, ROOF_INSET * height);
        self.raise([x0 + inset_x, y0 + inset_y, x1 - inset_x, y1 - inset_y], |_| Some(height_px));
    }

    fn raise_tree(&mut self, place: [f64; 2], radius_px: f64, height_px: f64) {
        let [x, y] = place;
        self.raise([x - radius_px, y - radius_px, x + radius_px, y + radius_px], |at| {
            let share = ((at[0] - x).powi(2) + (at[1] - y).powi(2)) / radius_px.powi(2);
            (share < 1.0).then_some(height_px * (1.0 - 0.6 * share))
        });
    }

    /// Raises the cells of a rectangle of ground pixels to at least what `height_px` says of their middles.
    fn raise(&mut self, [x0, y0, x1, y1]: [f64; 4], height_px: impl Fn([f64; 2]) -> Option<f64>) {
        let corner = self.corner;
        let cell = |place: f64, axis: usize| (place - corner[axis]).clamp(0.0, EDGE_PX as f64) as usize;
        for row in cell(y0, 1)..cell(y1, 1) {
            for column in cell(x0, 0)..cell(x1, 0) {
                let at = [corner[0] + column as f64 + 0.5, corner[1] + row as f64 + 0.5];
                let Some(height_px) = height_px(at) else { continue };
                let top = &mut self.up_px[row * EDGE_PX + column];
                *top = top.max(height_px as f32);
                self.highest_px = self.highest_px.max(height_px);
            }
        }
    }
}

/// Whether a place looks like leaves: darker than lawn, greener than red and blue.
fn is_leafy(layer: &Raster, [x, y]: [f64; 2]) -> bool {
    layer.sample(x as f32, y as f32).is_some_and(|[r, g, b]| g > r && g > b && r + g + b < 330.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ground::Source;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A grey ground with one white roof of 20 x 20 px in its middle.
    fn ground() -> Ground {
        let mut layer = Raster::filled(256, 256, [80; 3]);
        layer.paste_offset(&Raster::filled(20, 20, [250; 3]), 118, 118);
        Ground {
            name: "a".into(),
            group: "a".into(),
            source: Source::Naip,
            gsd_m: 0.6,
            layers: vec![layer],
            boxes: vec![GroundBox { xyxy: [118.0, 118.0, 138.0, 138.0], class: "building".into() }],
            frames: Vec::new(),
        }
    }

    /// Looks north at 45 degrees from 100 px south of the roof's middle.
    fn camera() -> DroneCamera {
        DroneCamera {
            width: 200,
            height: 200,
            focal_px: 200.0,
            yaw_rad: 0.0,
            tilt_rad: std::f64::consts::FRAC_PI_4,
            roll_rad: 0.0,
            below: [128.0, 228.0],
            height_map_px: 100.0,
        }
    }

    fn raised(height_px: f64) -> (Relief, Ground) {
        let ground = ground();
        let mut relief = Relief { corner: [-128.0; 2], up_px: vec![0.0; EDGE_PX * EDGE_PX], highest_px: 0.0 };
        relief.raise_roof(&ground.boxes[0], height_px);
        (relief, ground)
    }

    #[test]
    fn a_roof_leans_away_from_the_camera_and_hides_the_ground_behind_it() {
        let (relief, ground) = raised(10.0);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let frame = relief.frame(&mut rng, &ground, 0, camera(), Beyond::Black);
        let flat = DroneFrame::over_plane(&ground, 0, camera(), Beyond::Black);
        let (pixel, flat_pixel) = (frame.objects[0].1, flat.objects[0].1);
        assert!(pixel[1] < flat_pixel[1] - 5.0, "{pixel:?} is above {flat_pixel:?}");
        // 10 px of height at 45 degrees hide 10 px of ground north of the roof.
        let hidden = camera().project([128.0, 112.0], 0.0).unwrap();
        let [_, shown] = frame.ground_at(hidden).unwrap();
        assert!((118.0..138.0).contains(&shown), "{shown}");
    }

    #[test]
    fn without_heights_a_frame_is_that_of_the_plane() {
        let ground = ground();
        let relief = Relief { corner: [-128.0; 2], up_px: vec![0.0; EDGE_PX * EDGE_PX], highest_px: 0.0 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let frame = relief.frame(&mut rng, &ground, 0, camera(), Beyond::Black);
        assert_eq!(frame.picture, DroneFrame::over_plane(&ground, 0, camera(), Beyond::Black).picture);
    }

    #[test]
    fn the_same_seed_draws_the_same_heights() {
        let draw = || Relief::draw(&mut ChaCha8Rng::seed_from_u64(5), &ground(), 0, [128.0; 2]).up_px;
        assert_eq!(draw(), draw());
        assert!(draw().iter().any(|&up_px| up_px > 2.0));
    }
}
