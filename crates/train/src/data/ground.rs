//! A piece of ground with everything known about it: pictures of several dates on one pixel grid, boxes, and drone frames.
//!
//! Orthoimagery of a place, a satellite scene and a made town are all this; only their readers differ. Positions are *ground
//! pixels*, pixels of the layers.

use super::Raster;
use super::camera::DroneCamera;
use super::planar::{Planar, inverse, map};

/// Where a ground comes from, which decides how windows are composed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One 256 px tile of aerial imagery on several dates; windows are mosaics of places that do not adjoin.
    Naip,
    /// A continuous satellite scene on one date.
    Dubai,
    /// A made town: continuous, several dates, true three-dimensional drone frames.
    Town,
}

/// A piece of ground.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Unique name.
    pub name: String,
    /// The unit of resampling and of holding out: a city, a scene, a town.
    pub group: String,
    /// Where it comes from.
    pub source: Source,
    /// Metres per ground pixel.
    pub gsd_m: f64,
    /// Pictures of the same ground, all of one size, one a date.
    pub layers: Vec<Raster>,
    /// Known objects.
    pub boxes: Vec<GroundBox>,
    /// Drone frames over this ground, where there are real or rendered ones.
    pub frames: Vec<DroneFrame>,
}

/// An object on a ground.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundBox {
    /// Left, top, right, bottom in ground pixels.
    pub xyxy: [f64; 4],
    /// What it is.
    pub class: String,
}

impl GroundBox {
    /// Centre in ground pixels.
    pub fn centre(&self) -> [f64; 2] {
        let [x0, y0, x1, y1] = self.xyxy;
        [(x0 + x1) / 2.0, (y0 + y1) / 2.0]
    }

    /// Whether a ground pixel lies in the box.
    pub fn contains(&self, [x, y]: [f64; 2]) -> bool {
        let [x0, y0, x1, y1] = self.xyxy;
        x >= x0 && y >= y0 && x <= x1 && y <= y1
    }

    /// Width and height in ground pixels.
    pub fn size(&self) -> [f64; 2] {
        let [x0, y0, x1, y1] = self.xyxy;
        [x1 - x0, y1 - y0]
    }
}

/// What a drone's camera saw, with the truth about each pixel.
#[derive(Clone, Debug)]
pub struct DroneFrame {
    /// The picture.
    pub picture: Raster,
    /// The true camera, in ground pixels above the local ground plane.
    pub camera: DroneCamera,
    /// Which ground each pixel shows.
    pub surface: Surface,
    /// Objects in view: index into the ground's boxes, and the frame pixel of the object's middle.
    pub objects: Vec<(usize, [f64; 2])>,
}

/// Which ground the pixels of a frame show.
#[derive(Clone, Debug)]
pub enum Surface {
    /// A plane: the camera alone decides.
    Plane,
    /// True relief, one ground position (NaN for none) for each block of `block_px` by `block_px` frame pixels.
    Relief {
        /// Edge of a block in frame pixels.
        block_px: usize,
        /// Blocks a row.
        columns: usize,
        /// Ground position of each block's middle, row by row.
        ground: Vec<[f32; 2]>,
    },
}

impl DroneFrame {
    /// The ground a frame pixel shows; `None` for the sky and beyond the frame.
    pub fn ground_at(&self, pixel: [f64; 2]) -> Option<[f64; 2]> {
        if !self.picture.contains(pixel[0], pixel[1]) {
            return None;
        }
        match &self.surface {
            Surface::Plane => map(&inverse(&self.camera.frame_from_map()), pixel),
            Surface::Relief { block_px, columns, ground } => {
                let column = pixel[0] as usize / block_px;
                let row = pixel[1] as usize / block_px;
                let [x, y] = (column < *columns).then(|| ground.get(row * columns + column)).flatten()?.map(f64::from);
                (x.is_finite() && y.is_finite()).then_some([x, y])
            }
        }
    }

    /// A frame over a flat layer, seen by `camera`, with the objects of `ground` that are in view.
    pub fn over_plane(ground: &Ground, layer: usize, camera: DroneCamera, fill: [u8; 3]) -> Self {
        let frame_from_map: Planar = camera.frame_from_map();
        let map_from_frame = inverse(&frame_from_map);
        let picture = ground.layers[layer].warp(camera.width, camera.height, fill, |x, y| map(&map_from_frame, [x, y]));
        let in_view = |(index, object): (usize, &GroundBox)| {
            let pixel = map(&frame_from_map, object.centre())?;
            picture.contains(pixel[0], pixel[1]).then_some((index, pixel))
        };
        let objects = ground.boxes.iter().enumerate().filter_map(in_view).collect();
        Self { picture, camera, surface: Surface::Plane, objects }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn an_object_in_a_frame_shows_the_ground_of_its_box() {
        let ground = Ground {
            name: "a".into(),
            group: "a".into(),
            source: Source::Naip,
            gsd_m: 0.6,
            layers: vec![Raster::filled(256, 256, [50; 3])],
            boxes: vec![GroundBox { xyxy: [100.0, 120.0, 140.0, 150.0], class: "building".into() }],
            frames: Vec::new(),
        };
        let camera = DroneCamera::draw(&mut ChaCha8Rng::seed_from_u64(2), [120.0, 130.0]);
        let frame = DroneFrame::over_plane(&ground, 0, camera, [0; 3]);
        let (index, pixel) = frame.objects[0];
        let [x, y] = frame.ground_at(pixel).unwrap();
        assert_eq!(index, 0);
        assert!((x - 120.0).abs() < 1e-6 && (y - 135.0).abs() < 1e-6);
    }
}
