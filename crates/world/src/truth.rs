//! The truth about a frame: which objects are in it, where, and how much of each can be seen past everything in front.

use smgeo_geo::{Camera, Frame, Pixel, Pose};

use crate::day::Day;
use crate::object::{ObjectId, ObjectKind};
use crate::project::{Perspective, Projection};
use crate::raster::{Seen, Visible};
use crate::town::Town;

/// One object as a frame shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Which object.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// A pixel that shows it, near the middle of what is visible of its upper side: where an operator would click.
    pub click: Pixel<Frame>,
    /// Where the middle of its box on the ground would be seen if nothing stood in the way (may lie outside the frame).
    pub ground_centre: Option<Pixel<Frame>>,
    /// Left, top, right, bottom of its visible upper side, pixels.
    pub bounds_px: [f64; 4],
    /// Share of its upper side that is in the frame and not hidden, 0 to 1.
    pub visible: f64,
}

/// Finds sightings frame after frame with buffers it keeps.
#[derive(Default)]
pub struct Spotter {
    seen: Visible,
}

impl Spotter {
    /// Every object of which something is visible, in order of id.
    pub fn sightings(&mut self, town: &Town, day: &Day, camera: &Camera, pose: &Pose) -> Vec<Sighting> {
        let view = Perspective::new(town, camera, pose);
        self.seen.find(&view, &town.relief, [&town.scene, &day.scene]);
        let exact = pose.view(town.frame());
        let found = town.objects().iter().filter_map(|object| {
            let [e, n, z] = object.centre_enu.map(|c| c as f32);
            let [width, depth] = object.box_enu.size_m();
            if !view.sees([e, n, z], (width.hypot(depth) / 2.0 + object.height_m) as f32) {
                return None;
            }
            let (pixels, visible) = self.visible_part(town, &view, object.id)?;
            let ground_centre = exact.project(camera, object.centre_enu.into());
            Some(sighting(object.id, object.kind, ground_centre, &pixels, visible))
        });
        found.collect()
    }

    /// The object a pixel shows, if any.
    pub fn object_at(
        &mut self,
        town: &Town,
        day: &Day,
        camera: &Camera,
        pose: &Pose,
        pixel: Pixel<Frame>,
    ) -> Option<ObjectId> {
        let found = self.sightings(town, day, camera, pose);
        let inside = |s: &&Sighting| {
            let [left, top, right, bottom] = s.bounds_px;
            (left..=right).contains(&pixel.x) && (top..=bottom).contains(&pixel.y)
        };
        let distance = |s: &Sighting| (s.click.x - pixel.x).hypot(s.click.y - pixel.y);
        found.iter().filter(inside).min_by(|a, b| distance(a).total_cmp(&distance(b))).map(|s| s.id)
    }

    fn visible_part(&self, town: &Town, view: &Perspective, id: ObjectId) -> Option<(Vec<[f32; 2]>, f64)> {
        let points = town.tops.get(id.0 as usize)?;
        let painted = town.object(id)?.height_m == 0.0;
        let (width, height) = view.size();
        let mut pixels = Vec::new();
        for &point in points {
            let Some([x, y, w]) = view.project(point) else { continue };
            if x < 0.0 || y < 0.0 || x >= width as f32 || y >= height as f32 {
                continue;
            }
            let index = y as usize * width + x as usize;
            let shown = match self.seen.at(index) {
                // Another hill may hide the court behind it.
                Seen::Ground(_) => painted && self.seen.closeness(index) < w * 1.03,
                Seen::Face(0, surface) => town.scene.surfaces[surface].object == id.0,
                _ => false,
            };
            if shown {
                pixels.push([x, y]);
            }
        }
        let share = pixels.len() as f64 / points.len().max(1) as f64;
        (!pixels.is_empty()).then_some((pixels, share))
    }
}

/// Every object of which something is visible in a frame.
pub fn visible_objects(town: &Town, day: &Day, camera: &Camera, pose: &Pose) -> Vec<Sighting> {
    Spotter::default().sightings(town, day, camera, pose)
}

fn sighting(
    id: ObjectId,
    kind: ObjectKind,
    ground_centre: Option<Pixel<Frame>>,
    pixels: &[[f32; 2]],
    visible: f64,
) -> Sighting {
    let count = pixels.len() as f32;
    let mean = pixels.iter().fold([0.0f32; 2], |sum, p| [sum[0] + p[0] / count, sum[1] + p[1] / count]);
    let away = |p: &[f32; 2]| (p[0] - mean[0]).hypot(p[1] - mean[1]);
    let nearest = pixels.iter().copied().min_by(|a, b| away(a).total_cmp(&away(b))).unwrap_or(mean);
    let empty = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    let bounds_px = pixels.iter().fold(empty, |b, p| {
        let (x, y) = (f64::from(p[0]), f64::from(p[1]));
        [b[0].min(x), b[1].min(y), b[2].max(x), b[3].max(y)]
    });
    let click = Pixel::new(f64::from(nearest[0]), f64::from(nearest[1]));
    Sighting { id, kind, click, ground_centre, bounds_px, visible }
}
