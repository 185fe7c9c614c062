//! One query in the making: a frame over a ground, its rectified crop, and the clicks in it.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand::{Rng, RngExt};

use super::Raster;
use super::batch::Click;
use super::camera::{DroneCamera, PoseErrors};
use super::crop::QueryCrop;
use super::ground::{Beyond, DroneFrame, Ground};
use super::look::{Look, limited_gaussian};
use super::planar::{map, map_affine, map_box};
use super::recipe::Recipe;
use super::region::Region;
use super::relief::Relief;

/// Clicks keep this far from the crop's border, so that most of the template around them is seen.
const MARGIN_PX: f64 = 28.0;
/// How far a click on an object strays from its middle, as a share of its size.
const STRAY: f64 = 0.10;
/// Least standard deviation of the luminance around a click, levels of 255.
const TEXTURE_MIN: f32 = 7.0;
/// Crops of a lone tile are centred this far from its border at least; beyond it most of the crop would be unseen.
const LONE_MARGIN_PX: f64 = 56.0;
/// Share of the drawn clicks without an answer that are kept.
const UNANSWERED_KEPT: f64 = 0.15;

/// A crop of a frame with what is needed to click in it.
pub struct Shot<'a> {
    ground: &'a Ground,
    ground_index: usize,
    frame: DroneFrame,
    crop: QueryCrop,
    /// The frame pixel that is clicked first, and what it shows.
    pixel: [f64; 2],
    subject: Subject,
    zoom: f64,
    /// Its pose is altogether wrong, and nothing is to be found.
    mistaken: bool,
}

#[derive(Clone, Copy, Debug)]
enum Subject {
    Object(usize),
    Point([f64; 2]),
}

impl<'a> Shot<'a> {
    /// Takes a picture of something in a region. `None` when the draw came to nothing: try again.
    pub fn take(rng: &mut impl Rng, ground: &'a Ground, region: &Region, recipe: &Recipe) -> Option<Self> {
        let (frame, subject, pixel) = match frame_over(rng, ground, region) {
            Some(index) => aim_in(rng, ground.frames[index].clone(), ground, region, recipe)?,
            None => frame_of_layer(rng, ground, region, recipe)?,
        };
        if !has_texture(&frame.picture, pixel) {
            return None;
        }
        let mistaken = rng.random_bool(recipe.mistaken);
        let errors = if rng.random_bool(recipe.raw) { PoseErrors::RAW } else { PoseErrors::TELEMETRY };
        let believed = match mistaken {
            true => frame.camera.mistaken(rng),
            false => frame.camera.disturbed(rng, errors),
        };
        let mut frame = frame;
        frame.picture = with_look(rng, &frame.picture, recipe.look);
        let crop = match rng.random_bool(recipe.unposed) {
            true => QueryCrop::square(&frame, pixel)?,
            false => QueryCrop::rectify(&frame, &believed, &region.region_from_ground, pixel)?,
        };
        Some(Self { ground, ground_index: region.ground, frame, crop, pixel, subject, zoom: region.zoom(), mistaken })
    }

    /// Whether its pose is altogether wrong, so that no click in it has an answer.
    pub fn is_mistaken(&self) -> bool {
        self.mistaken
    }

    /// The rectified crop.
    pub fn crop(&self) -> &Raster {
        &self.crop.picture
    }

    /// Clicks in this crop: the middle first, then objects and points in turn. The query index is left 0.
    pub fn clicks(&self, rng: &mut impl Rng, regions: &[Region], count: usize) -> Vec<Click> {
        let Some(at) = self.crop.crop_at(self.pixel) else { return Vec::new() };
        let first = match self.subject {
            Subject::Object(index) => self.click_object(index, at, regions),
            Subject::Point(point) => self.click_point(point, at, regions),
        };
        let mut clicks = vec![first];
        let mut objects: Vec<_> = self.frame.objects.clone();
        objects.shuffle(rng);
        for _ in 0..count * 4 {
            if clicks.len() >= count {
                break;
            }
            let object = if rng.random_bool(0.5) { objects.pop() } else { None };
            let click = match object {
                Some((index, pixel)) => self.stray_click(rng, index, pixel, regions),
                None => self.random_click(rng, regions),
            };
            let kept = |click: &Click| self.mistaken || click.target.is_some() || rng.random_bool(UNANSWERED_KEPT);
            clicks.extend(click.filter(kept));
        }
        clicks
    }

    fn stray_click(&self, rng: &mut impl Rng, index: usize, pixel: [f64; 2], regions: &[Region]) -> Option<Click> {
        let size = self.ground.boxes[index].size().map(|side| side * self.zoom);
        let [x, y] = self.crop.crop_at(pixel)?;
        let at = [x + limited_gaussian(rng, STRAY * size[0], 2.0), y + limited_gaussian(rng, STRAY * size[1], 2.0)];
        inside(at).then(|| self.click_object(index, at, regions))
    }

    fn random_click(&self, rng: &mut impl Rng, regions: &[Region]) -> Option<Click> {
        let mut place = || rng.random_range(MARGIN_PX..256.0 - MARGIN_PX);
        let at = [place(), place()];
        let ground_px = self.frame.ground_at(self.crop.frame_at(at)?)?;
        if !self.ground.layers[0].contains(ground_px[0], ground_px[1]) {
            return None;
        }
        Some(self.click_point(ground_px, at, regions))
    }

    fn click_object(&self, index: usize, at: [f64; 2], regions: &[Region]) -> Click {
        let object = &self.ground.boxes[index];
        let found = self.answer(object.centre(), regions);
        let box_xyxy = found.map(|(region, target)| {
            let local = map_box(&region.region_from_ground, object.xyxy);
            let [x, y] = map_affine(&region.region_from_ground, object.centre());
            let (dx, dy) = (target[0] - x, target[1] - y);
            [local[0] + dx, local[1] + dy, local[2] + dx, local[3] + dy].map(|side| side as f32)
        });
        Click {
            query: 0,
            at: at.map(|x| x as f32),
            target: found.map(|(_, target)| target.map(|x| x as f32)),
            shown: found.and_then(|(_, target)| self.shown_beside(index, target, at, regions)),
            box_xyxy,
            object: Some([self.ground_index, index]),
        }
    }

    fn click_point(&self, ground_px: [f64; 2], at: [f64; 2], regions: &[Region]) -> Click {
        let target = self.answer(ground_px, regions).map(|(_, target)| target.map(|x| x as f32));
        Click { query: 0, at: at.map(|x| x as f32), target, shown: target, box_xyxy: None, object: None }
    }

    /// Where the window shows what a crop pixel beside the middle of an object at `target` shows. Where the surface is known for
    /// blocks alone, the way from the middle is taken from the crop, which is laid out like the window.
    fn shown_beside(&self, index: usize, target: [f64; 2], at: [f64; 2], regions: &[Region]) -> Option<[f32; 2]> {
        let shown = match self.frame.is_exact() {
            true => {
                let ground_px = self.frame.ground_at(self.crop.frame_at(at)?)?;
                self.answer(ground_px, regions)?.1
            }
            false => {
                let (_, middle) = self.frame.objects.iter().find(|(object, _)| *object == index)?;
                let middle = self.crop.crop_at(*middle)?;
                [0, 1].map(|axis| target[axis] + at[axis] - middle[axis])
            }
        };
        Some(shown.map(|x| x as f32))
    }

    /// Where the window shows a ground point: its region and the window pixel.
    fn answer<'b>(&self, ground_px: [f64; 2], regions: &'b [Region]) -> Option<(&'b Region, [f64; 2])> {
        if self.mistaken {
            return None;
        }
        let own = regions.iter().filter(|region| region.ground == self.ground_index);
        own.filter_map(|region| Some((region, region.window_px(ground_px)?))).next()
    }
}

fn inside(at: [f64; 2]) -> bool {
    at.iter().all(|place| (MARGIN_PX..256.0 - MARGIN_PX).contains(place))
}

/// Whether there is anything to recognise around a frame pixel: mostly seen, and not an even surface such as water.
fn has_texture(picture: &Raster, pixel: [f64; 2]) -> bool {
    let corner = pixel.map(|place| place as i64 - 64);
    let luminance = picture.crop(corner[0], corner[1], 128, 128, [0; 3]).luminance();
    let seen: Vec<f32> = luminance.iter().copied().filter(|level| *level > 0.0).collect();
    let count = seen.len().max(1) as f32;
    let mean = seen.iter().sum::<f32>() / count;
    let variance = seen.iter().map(|level| (level - mean).powi(2)).sum::<f32>() / count;
    seen.len() * 2 > luminance.len() && variance.sqrt() > TEXTURE_MIN
}

/// The picture with a drawn look; pixels that show nothing stay black.
fn with_look(rng: &mut impl Rng, picture: &Raster, strength: f32) -> Raster {
    let mut changed = Look::drone(rng, strength).apply(picture, rng);
    let pixels = changed.rgb_mut().chunks_exact_mut(3).zip(picture.rgb().chunks_exact(3));
    pixels.filter(|(_, before)| *before == [0; 3]).for_each(|(after, _)| after.fill(0));
    changed
}

/// A frame of the ground whose middle shows the region, drawn evenly among them.
fn frame_over(rng: &mut impl Rng, ground: &Ground, region: &Region) -> Option<usize> {
    let shows = |frame: &DroneFrame| {
        let middle = [frame.picture.width() as f64 / 2.0, frame.picture.height() as f64 / 2.0];
        frame.ground_at(middle).is_some_and(|point| region.window_px(point).is_some())
    };
    let over: Vec<usize> = (0..ground.frames.len()).filter(|&index| shows(&ground.frames[index])).collect();
    (!over.is_empty()).then(|| over[rng.random_range(0..over.len())])
}

/// Chooses what to click in a frame that exists: an object of the region, or any of its pixels.
fn aim_in(
    rng: &mut impl Rng,
    frame: DroneFrame,
    ground: &Ground,
    region: &Region,
    recipe: &Recipe,
) -> Option<(DroneFrame, Subject, [f64; 2])> {
    let in_region = |(index, _): &&(usize, [f64; 2])| region.window_px(ground.boxes[*index].centre()).is_some();
    let objects: Vec<_> = frame.objects.iter().filter(in_region).copied().collect();
    let class = |(index, _): &(usize, [f64; 2])| ground.boxes[*index].class.as_str();
    if rng.random_bool(recipe.on_object)
        && let Some(&(index, pixel)) = draw_object(rng, &objects, class, recipe.even_classes)
    {
        return Some((frame, Subject::Object(index), pixel));
    }
    let (width, height) = (frame.picture.width() as f64, frame.picture.height() as f64);
    let pixel = [width * rng.random_range(0.12..0.88), height * rng.random_range(0.12..0.92)];
    let point = frame.ground_at(pixel)?;
    region.window_px(point)?;
    Some((frame, Subject::Point(point), pixel))
}

/// Draws one of some objects: as often as `even_classes` says the class first, evenly among theirs, else any.
fn draw_object<'a, T>(
    rng: &mut impl Rng,
    objects: &'a [T],
    class: impl Fn(&T) -> &'a str,
    even_classes: f64,
) -> Option<&'a T> {
    if !rng.random_bool(even_classes) {
        return objects.choose(rng);
    }
    let classes: BTreeSet<&str> = objects.iter().map(&class).collect();
    let drawn = classes.into_iter().choose(rng)?;
    objects.iter().filter(|object| class(object) == drawn).choose(rng)
}

/// Photographs a layer of another date than the region's, if there is one, with a drawn camera.
fn frame_of_layer(
    rng: &mut impl Rng,
    ground: &Ground,
    region: &Region,
    recipe: &Recipe,
) -> Option<(DroneFrame, Subject, [f64; 2])> {
    let in_region = |index: &usize| is_well_inside(region, ground.boxes[*index].centre());
    let objects: Vec<usize> = (0..ground.boxes.len()).filter(in_region).collect();
    let class = |index: &usize| ground.boxes[*index].class.as_str();
    let object = match rng.random_bool(recipe.on_object) {
        true => draw_object(rng, &objects, class, recipe.even_classes),
        false => None,
    };
    let subject = object.map_or_else(|| Subject::Point(point_of(rng, region)), |&index| Subject::Object(index));
    let aim = match subject {
        Subject::Point(point) => point,
        Subject::Object(index) => {
            let ([x, y], [width, height]) = (ground.boxes[index].centre(), ground.boxes[index].size());
            [x + limited_gaussian(rng, STRAY * width, 2.0), y + limited_gaussian(rng, STRAY * height, 2.0)]
        }
    };
    let layer = match ground.layers.len() {
        1 => 0,
        dates if rng.random_bool(0.9) => (region.layer + rng.random_range(1..dates)) % dates,
        _ => region.layer,
    };
    let camera = DroneCamera::draw(rng, aim);
    let beyond = if rng.random_bool(recipe.mirrored) { Beyond::Mirrored } else { Beyond::Black };
    if !rng.random_bool(recipe.relief) {
        let frame = DroneFrame::over_plane(ground, layer, camera, beyond);
        let pixel = map(&frame.camera.frame_from_map(), aim)?;
        return Some((frame, subject, pixel));
    }
    let relief = Relief::draw(rng, ground, layer, aim);
    let pixel = relief.project(&camera, aim)?;
    let frame = relief.frame(rng, ground, layer, camera, beyond);
    let shown = frame.ground_at(pixel)?;
    let subject = match subject {
        // What is hidden cannot be clicked.
        Subject::Object(index) => ground.boxes[index].contains(shown).then_some(subject)?,
        Subject::Point(_) => region.window_px(shown).map(|_| Subject::Point(shown))?,
    };
    Some((frame, subject, pixel))
}

/// Whether a ground point lies in a region and, where the region is all there is of the ground, far from its border.
fn is_well_inside(region: &Region, ground_px: [f64; 2]) -> bool {
    let margin = margin_px(region);
    let (width, height) = Region::size_px((region.rows, region.columns));
    let [x, y] = map_affine(&region.region_from_ground, ground_px);
    x >= margin && y >= margin && x < width - margin && y < height - margin
}

/// A point of a region.
fn point_of(rng: &mut impl Rng, region: &Region) -> [f64; 2] {
    let (width, height) = Region::size_px((region.rows, region.columns));
    let margin = margin_px(region);
    let at = [rng.random_range(margin..width - margin), rng.random_range(margin..height - margin)];
    map_affine(&region.ground_from_region(), at)
}

fn margin_px(region: &Region) -> f64 {
    if region.rows * region.columns == 1 { LONE_MARGIN_PX } else { 8.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_rare_class_is_drawn_as_often_as_a_common_one_where_classes_are_even() {
        let objects: Vec<&str> = std::iter::once("tank").chain(std::iter::repeat_n("house", 99)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (even_classes, expected) in [(0.0, 0.01), (0.5, 0.255), (1.0, 0.5)] {
            let is_tank = |_| draw_object(&mut rng, &objects, |class| *class, even_classes) == Some(&"tank");
            let share = (0..4000).map(is_tank).filter(|tank| *tank).count() as f64 / 4000.0;
            // Five standard deviations of a share of 4000 draws.
            assert!((share - expected).abs() < 0.04, "{even_classes}: {share}");
        }
        assert_eq!(draw_object(&mut rng, &[] as &[&str], |class| *class, 0.5), None);
    }
}
