//! The hash of training data: a run is resumed only where its data is what it was, so whatever decides a batch is in it.
//!
//! Every part follows its length, so that nothing moves from one part into the next unnoticed.

use sha2::{Digest, Sha256};

use super::Raster;
use super::camera::DroneCamera;
use super::ground::{DroneFrame, Ground, GroundBox, Surface};
use super::pair_set::Pair;

/// A hash in the making.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// SHA-256 of what was added, in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }

    /// Adds a number of parts.
    pub fn count(&mut self, parts: usize) {
        self.0.update((parts as u64).to_le_bytes());
    }

    /// Adds the bytes of a file.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    /// Adds a pair, but not the pictures it names.
    pub fn pair(&mut self, pair: &Pair) {
        let Pair { query, reference, click, box_xyxy, gsd_m, class, group, rectified } = pair;
        [query, reference, class, group].into_iter().for_each(|text| self.bytes(text.as_bytes()));
        self.numbers(click);
        self.numbers(box_xyxy);
        self.numbers(&[*gsd_m, f64::from(u8::from(*rectified))]);
    }

    /// Adds a ground with its boxes, pictures and frames.
    pub fn ground(&mut self, ground: &Ground) {
        let Ground { name, group, source, gsd_m, layers, boxes, frames } = ground;
        self.bytes(name.as_bytes());
        self.bytes(group.as_bytes());
        self.bytes(format!("{source:?}").as_bytes());
        self.numbers(&[*gsd_m]);
        self.count(layers.len());
        layers.iter().for_each(|layer| self.picture(layer));
        self.count(boxes.len());
        for GroundBox { xyxy, class } in boxes {
            self.numbers(xyxy);
            self.bytes(class.as_bytes());
        }
        self.count(frames.len());
        frames.iter().for_each(|frame| self.frame(frame));
    }

    fn frame(&mut self, frame: &DroneFrame) {
        let DroneFrame { picture, camera, surface, objects } = frame;
        self.picture(picture);
        let DroneCamera { width, height, focal_px, yaw_rad, tilt_rad, roll_rad, below, height_map_px } = camera;
        self.count(*width);
        self.count(*height);
        self.numbers(&[*focal_px, *yaw_rad, *tilt_rad, *roll_rad, below[0], below[1], *height_map_px]);
        match surface {
            Surface::Plane => self.count(0),
            Surface::Relief { block_px, columns, ground } => {
                self.count(*block_px);
                self.count(*columns);
                self.numbers(&ground.iter().flatten().map(|place| f64::from(*place)).collect::<Vec<_>>());
            }
        }
        self.count(objects.len());
        for (index, middle) in objects {
            self.count(*index);
            self.numbers(middle);
        }
    }

    fn picture(&mut self, picture: &Raster) {
        self.count(picture.width());
        self.bytes(picture.rgb());
    }

    fn numbers(&mut self, numbers: &[f64]) {
        self.count(numbers.len());
        numbers.iter().for_each(|number| self.0.update(number.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ground::Source;

    fn ground() -> Ground {
        let camera = DroneCamera {
            width: 4,
            height: 2,
            focal_px: 3.0,
            yaw_rad: 0.1,
            tilt_rad: 0.2,
            roll_rad: 0.3,
            below: [1.0, 2.0],
            height_map_px: 9.0,
        };
        let surface = Surface::Relief { block_px: 2, columns: 2, ground: vec![[1.0, 2.0], [f32::NAN; 2]] };
        let picture = Raster::filled(4, 2, [7; 3]);
        Ground {
            name: "a".into(),
            group: "b".into(),
            source: Source::Town,
            gsd_m: 0.6,
            layers: vec![Raster::filled(4, 4, [5; 3])],
            boxes: vec![GroundBox { xyxy: [0.0, 1.0, 2.0, 3.0], class: "house".into() }],
            frames: vec![DroneFrame { picture, camera, surface, objects: vec![(0, [1.0, 1.5])] }],
        }
    }

    #[test]
    fn a_change_of_anything_that_is_known_of_a_ground_changes_its_hash() {
        let hash = |change: fn(&mut Ground)| {
            let mut ground = ground();
            change(&mut ground);
            let mut fingerprint = Fingerprint::default();
            fingerprint.ground(&ground);
            fingerprint.finish()
        };
        let changes: [fn(&mut Ground); 14] = [
            |ground| ground.name = "c".into(),
            |ground| ground.group = "c".into(),
            |ground| (ground.name, ground.group) = ("ab".into(), String::new()),
            |ground| ground.source = Source::Dubai,
            |ground| ground.gsd_m = 0.5,
            |ground| ground.layers[0] = Raster::filled(2, 8, [5; 3]),
            |ground| ground.layers.push(Raster::filled(4, 4, [5; 3])),
            |ground| ground.boxes[0].xyxy[3] = 4.0,
            |ground| ground.boxes[0].class = "shed".into(),
            |ground| ground.frames[0].camera.tilt_rad = 0.4,
            |ground| ground.frames[0].objects[0].1[0] = 2.0,
            |ground| ground.frames[0].objects.clear(),
            |ground| ground.frames[0].surface = Surface::Plane,
            |ground| ground.frames[0].picture = Raster::filled(4, 2, [8; 3]),
        ];
        assert_eq!(hash(|_| {}), hash(|_| {}));
        for (index, change) in changes.into_iter().enumerate() {
            assert_ne!(hash(change), hash(|_| {}), "change {index}");
        }
    }

    #[test]
    fn a_change_of_anything_in_a_pair_changes_its_hash() {
        let hash = |change: fn(&mut Pair)| {
            let mut pair = Pair {
                query: "q/0.jpg".into(),
                reference: "r/0.jpg".into(),
                click: [1.0, 2.0],
                box_xyxy: [1.0, 2.0, 3.0, 4.0],
                gsd_m: 0.6,
                class: "house".into(),
                group: "town".into(),
                rectified: true,
            };
            change(&mut pair);
            let mut fingerprint = Fingerprint::default();
            fingerprint.pair(&pair);
            fingerprint.finish()
        };
        let changes: [fn(&mut Pair); 8] = [
            |pair| pair.query = "q/1.jpg".into(),
            |pair| pair.reference = "r/1.jpg".into(),
            |pair| pair.click[0] = 1.5,
            |pair| pair.box_xyxy[3] = 5.0,
            |pair| pair.gsd_m = 0.5,
            |pair| pair.class = "shed".into(),
            |pair| pair.group = "city".into(),
            |pair| pair.rectified = false,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_ne!(hash(change), hash(|_| {}), "change {index}");
        }
    }
}
