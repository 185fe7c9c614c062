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
                let of = |column: usize, row: usize| {
                    let place =
                        (column < *columns).then(|| ground.get(row * columns + column)).flatten()?.map(f64::from);
                    place.iter().all(|axis| axis.is_finite()).then_some(place)
                };
                let nearest = of(pixel[0] as usize / block_px, pixel[1] as usize / block_px)?;
                if *block_px == 1 {
                    return Some(nearest);
                }
                Some(between(pixel.map(|axis| axis / *block_px as f64 - 0.5), of).unwrap_or(nearest))
            }
        }
    }

    /// Whether the surface is known for every pixel, not for blocks of them.
    pub fn is_exact(&self) -> bool {
        !matches!(self.surface, Surface::Relief { block_px: 2.., .. })
    }

    /// A frame over a flat layer, seen by `camera`, with the objects of `ground` that are in view.
    pub fn over_plane(ground: &Ground, layer: usize, camera: DroneCamera, beyond: Beyond) -> Self {
        let frame_from_map: Planar = camera.frame_from_map();
        let map_from_frame = inverse(&frame_from_map);
        let layer = &ground.layers[layer];
        let source = |x, y| Some(beyond.of(layer, map(&map_from_frame, [x, y])?));
        let picture = layer.warp(camera.width, camera.height, [0; 3], source);
        let in_view = |(index, object): (usize, &GroundBox)| {
            let pixel = map(&frame_from_map, object.centre())?;
            picture.contains(pixel[0], pixel[1]).then_some((index, pixel))
        };
        let objects = ground.boxes.iter().enumerate().filter_map(in_view).collect();
        Self { picture, camera, surface: Surface::Plane, objects }
    }
}

/// What a view of flat imagery shows beyond the imagery's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Nothing. Where a place is one tile, that tells where the tile ends.
    Black,
    /// The imagery mirrored at its border.
    Mirrored,
}

impl Beyond {
    /// Which place of a layer is shown for one that may lie beyond its border.
    pub fn of(self, layer: &Raster, place: [f64; 2]) -> [f64; 2] {
        let mirrored = |axis: f64, length: usize| {
            let length = length as f64;
            let within = axis.rem_euclid(2.0 * length);
            // What is mirrored onto the far border itself lies just inside of it.
            if within < length { within } else { (2.0 * length - within).min(length - 1e-3) }
        };
        match self {
            Self::Black => place,
            Self::Mirrored => [mirrored(place[0], layer.width()), mirrored(place[1], layer.height())],
        }
    }
}

/// Blocks further apart on the ground than this show different surfaces, ground pixels.
const JUMP_PX: f64 = 12.0;

/// The place of a point between the middles of four blocks, in blocks; `None` at the border and where the surface jumps.
fn between(at: [f64; 2], of: impl Fn(usize, usize) -> Option<[f64; 2]>) -> Option<[f64; 2]> {
    if at.iter().any(|axis| *axis < 0.0) {
        return None;
    }
    let (column, row) = (at[0] as usize, at[1] as usize);
    let [nw, ne, sw, se] = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| of(column + right, row + down));
    let (nw, ne, sw, se) = (nw?, ne?, sw?, se?);
    let apart = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    if [apart(nw, ne), apart(sw, se), apart(nw, sw), apart(ne, se)].into_iter().any(|way| way > JUMP_PX) {
        return None;
    }
    let (across, down) = (at[0] - column as f64, at[1] - row as f64);
    let blend = |axis: usize| {
        let line = |west: [f64; 2], east: [f64; 2]| west[axis] + (east[axis] - west[axis]) * across;
        line(nw, ne) + (line(sw, se) - line(nw, ne)) * down
    };
    Some([blend(0), blend(1)])
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
        let frame = DroneFrame::over_plane(&ground, 0, camera, Beyond::Black);
        let (index, pixel) = frame.objects[0];
        let [x, y] = frame.ground_at(pixel).unwrap();
        assert_eq!(index, 0);
        assert!((x - 120.0).abs() < 1e-6 && (y - 135.0).abs() < 1e-6);
    }

    #[test]
    fn between_blocks_the_ground_goes_on_evenly_unless_it_jumps() {
        let at = |shown: f64, jump: f32| {
            let camera = DroneCamera::draw(&mut ChaCha8Rng::seed_from_u64(2), [0.0; 2]);
            let place =
                |at: usize| [3.0 * (at % 4) as f32 + if at % 4 > 1 { jump } else { 0.0 }, 3.0 * (at / 4) as f32];
            let surface = Surface::Relief { block_px: 4, columns: 4, ground: (0..16).map(place).collect() };
            let picture = Raster::filled(16, 16, [0; 3]);
            DroneFrame { picture, camera, surface, objects: Vec::new() }.ground_at([shown, 8.0]).unwrap()
        };
        // Block 1 has its middle at pixel 6, block 2 at pixel 10.
        assert_eq!(at(7.0, 0.0), [3.75, 4.5]);
        assert_eq!(at(7.0, 40.0), [3.0, 6.0]);
        assert_eq!(at(9.0, 40.0), [46.0, 6.0]);
        assert_eq!(at(1.0, 0.0), [0.0, 6.0]);
    }

    #[test]
    fn beyond_the_border_the_imagery_is_mirrored() {
        let layer = Raster::filled(100, 50, [0; 3]);
        let of = |x, y| Beyond::Mirrored.of(&layer, [x, y]);
        assert_eq!(of(30.0, 20.0), [30.0, 20.0]);
        assert_eq!(of(-30.0, 60.0), [30.0, 40.0]);
        assert_eq!(of(230.0, -60.0), [30.0, 40.0]);
        let [x, y] = of(100.0, 50.0);
        assert!(layer.contains(x, y));
        assert_eq!(Beyond::Black.of(&layer, [-30.0, 60.0]), [-30.0, 60.0]);
    }
}
