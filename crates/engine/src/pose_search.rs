//! A query of which nobody knows how it was taken: every pose of a grid is tried, and the answers are added up.
//!
//! The network matches north-up crops at the map's scale, so it has to be told a heading, a tilt and a scale; that need not be
//! better than to ten degrees and a sixth. Over a grid that fine, one of the guesses is near enough, and all others see nothing
//! of theirs in the window. The poses are a nuisance variable: with equal prior weights the likelihood of a cell is the mean
//! of `exp(heat)` over them, which leaves maps like any other's, for the same decoder.

mod camera;
mod grid;

use image::RgbImage;

use crate::TILE_PX;
use crate::backend::{Backend, LocateRequest, Maps};
use crate::error::EngineError;
use crate::image::{EncoderImage, View};
use crate::mosaic::Mosaic;
use crate::rectify::{Picture, Pyramid};
use crate::witness::{self, Witnesses};

use camera::Camera;

pub use grid::{Pose, PoseGrid, TILT_DEG_MAX};

/// Poses encoded in one run, and cells of the window, times poses, located in one: both bound memory.
const POSES_A_RUN: usize = 12;
const CELLS_A_RUN: usize = 1 << 16;

/// Rounds of looking more closely: around how many of the poses that found most, and at which part of the grid's steps from them.
const ROUNDS: [(usize, f64); 2] = [(8, 0.5), (4, 0.25)];

/// Divides the logits where witnesses were heard: in a guessed pose they err together with the object, and 60 photographs of three
/// kinds of place asked for 1.05, 1.25 and 1.46 to be neither too sure nor too unsure.
const COOLING: f32 = 1.25;

const MIDDLE_PX: f64 = TILE_PX as f64 / 2.0;

/// Where the click lies in every rectified picture, px.
pub const MIDDLE: [f32; 2] = [MIDDLE_PX as f32; 2];

/// A photo that is rectified again and again, always around the same click.
struct Photograph<'a> {
    photo: &'a RgbImage,
    pyramid: Pyramid<'a>,
    click: [f64; 2],
    field_of_view_deg: f64,
    witnesses: Witnesses,
}

impl<'a> Photograph<'a> {
    fn new(
        photo: &'a RgbImage,
        click: [f64; 2],
        witnesses: Witnesses,
        grid: &PoseGrid,
    ) -> Result<Photograph<'a>, EngineError> {
        let (width_px, height_px) = photo.dimensions();
        let inside = |at: f64, extent: u32| at >= 0.0 && at < f64::from(extent);
        if !(inside(click[0], width_px) && inside(click[1], height_px)) {
            let [x, y] = click.map(|at| at as f32);
            return Err(EngineError::Click { x, y, width_px, height_px });
        }
        grid.check()?;
        let (columns, rows) = (width_px as usize, height_px as usize);
        let pyramid = Pyramid::new(Picture { rgb: photo.as_raw(), width_px: columns, height_px: rows });
        Ok(Photograph { photo, pyramid, click, field_of_view_deg: grid.field_of_view_deg, witnesses })
    }

    /// Returns what is asked if the photo was taken in `pose`. `None` where the click then looks at the horizon.
    fn rectified(&self, pose: &Pose) -> Option<Question> {
        let camera = Camera::of(pose, self.photo, self.field_of_view_deg);
        let [east, south, down] = camera.ray(self.click);
        let side_px = f64::from(self.photo.width().min(self.photo.height()));
        let range = camera.focal_px * pose.scale * TILE_PX as f64 / side_px;
        let height = range * camera.down_share(self.click)?;
        let (east, south) = (east / down * height, south / down * height);
        let shown = |u, v| camera.pixel([east + u - MIDDLE_PX, south + v - MIDDLE_PX, height]);
        let image = self.pyramid.query((MIDDLE[0], MIDDLE[1]), shown).ok()?;
        let clicks = witness::clicks(self.witnesses, &image, MIDDLE);
        Some(Question { image, clicks })
    }
}

/// What the network is asked about one pose.
#[derive(Clone, Debug)]
pub struct Question {
    /// The photo rectified: north up at the reference's scale, the clicked object in the middle.
    pub image: EncoderImage,
    /// Where it is clicked, pixels: first the object, then its witnesses.
    pub clicks: Vec<[f32; 2]>,
}

impl Question {
    /// Takes its own answers, one for each click, from those to many questions, and returns the object's, after its witnesses have been
    /// heard. None if there are none left.
    pub fn answered(&self, answers: &mut impl Iterator<Item = Maps>, stride_px: usize) -> Option<Maps> {
        let mut own: Vec<Maps> = answers.take(self.clicks.len()).collect();
        witness::hear(&mut own, &self.clicks, stride_px);
        own.into_iter().next()
    }
}

/// The answers of poses added up.
#[derive(Debug, Default)]
struct Marginal {
    weights: f32,
    // Per cell: the logarithm of the weighed sum of exp(heat), and the heat of the pose whose box is kept.
    maps: Option<Maps>,
    highest: Vec<f32>,
    // Every pose with the highest heat it found.
    tried: Vec<(Pose, f32)>,
}

impl Marginal {
    /// Adds the answer of one more pose, as probable beforehand as `weight` says.
    fn add(&mut self, pose: Pose, maps: &Maps, weight: f32) {
        self.tried.push((pose, maps.heat.iter().copied().fold(f32::NEG_INFINITY, f32::max)));
        self.weights += weight;
        let sum = self.maps.get_or_insert_with(|| {
            self.highest = vec![f32::NEG_INFINITY; maps.heat.len()];
            Maps { heat: self.highest.clone(), ..maps.clone() }
        });
        let weight = weight.ln();
        for (at, &heat) in maps.heat.iter().enumerate() {
            sum.heat[at] = log_sum(sum.heat[at], heat + weight);
            if heat > self.highest[at] {
                self.highest[at] = heat;
                sum.boxes[4 * at..4 * at + 4].copy_from_slice(&maps.boxes[4 * at..4 * at + 4]);
                sum.attention[at] = maps.attention[at];
            }
        }
    }

    /// The poses that found most, at most `count`.
    fn best(&self, count: usize) -> Vec<Pose> {
        let mut sorted = self.tried.clone();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        sorted.into_iter().take(count).map(|(pose, _)| pose).collect()
    }

    /// The mean over the poses.
    fn mean(self) -> Option<Maps> {
        let mut maps = self.maps?;
        maps.heat.iter_mut().for_each(|heat| *heat -= self.weights.ln());
        Some(maps)
    }
}

/// The logarithm of the sum of two numbers that are given by theirs; no number if one of them is none, for the decoder to refuse.
fn log_sum(a: f32, b: f32) -> f32 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f32::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// What was found without knowing the pose.
#[derive(Debug)]
pub struct Sought {
    /// The answer over all poses.
    pub maps: Maps,
    /// The pose that fits best.
    pub pose: Pose,
    /// What the encoder was given for that pose; the click is in its middle.
    pub image: EncoderImage,
    /// How many poses were tried.
    pub tried: usize,
}

/// How large a pixel is where a photo is clicked, across the line of sight, metres, if it was taken so many metres over level
/// ground. `None` where the click looks at the horizon.
pub fn gsd_m(photo: &RgbImage, click: [f64; 2], tilt_deg: f64, field_of_view_deg: f64, height_m: f64) -> Option<f64> {
    let pose = Pose { heading_deg: 0.0, tilt_deg, scale: 1.0 };
    let camera = Camera::of(&pose, photo, field_of_view_deg);
    let down = camera.down_share(click)?;
    Some(height_m / down / camera.focal_px)
}

/// Finds what was clicked in a photo whose pose is not known; `click` is in pixels of the photo.
pub fn locate(
    backend: &mut dyn Backend,
    photo: &RgbImage,
    click: [f64; 2],
    reference: &Mosaic,
    grid: &PoseGrid,
) -> Result<Sought, EngineError> {
    let witnesses = Witnesses::of(backend.info().fusion);
    search(photo, click, (witnesses, reference.stride_px()), grid, |questions| {
        let images: Vec<(&EncoderImage, View)> = questions.iter().map(|asked| (&asked.image, View::Query)).collect();
        let features = backend.encode(&images)?;
        let requests: Vec<_> = questions
            .iter()
            .zip(&features)
            .flat_map(|(asked, query)| {
                asked.clicks.iter().map(move |click| LocateRequest { query, click: *click, reference })
            })
            .collect();
        let at_once = (CELLS_A_RUN / (reference.width() * reference.height()).max(1)).max(1);
        let mut maps = Vec::with_capacity(requests.len());
        for requests in requests.chunks(at_once) {
            maps.extend(backend.locate(requests)?);
        }
        Ok(maps)
    })
}

/// The same for any network, whose cells are so many reference pixels wide: `ask` gives the maps of some questions, one for each of
/// their clicks, in order. First the grid is tried, then poses half a step from those that found most, then a quarter; these
/// count less, as each stands for less.
pub fn search<E: From<EngineError>>(
    photo: &RgbImage,
    click: [f64; 2],
    (witnesses, stride_px): (Witnesses, usize),
    grid: &PoseGrid,
    mut ask: impl FnMut(&[Question]) -> Result<Vec<Maps>, E>,
) -> Result<Sought, E> {
    let photograph = Photograph::new(photo, click, witnesses, grid)?;
    let mut marginal = Marginal::default();
    let mut attempt = |poses: Vec<Pose>, weight: f32, marginal: &mut Marginal| {
        for poses in poses.chunks(POSES_A_RUN) {
            let seen = poses.iter().filter_map(|pose| Some((*pose, photograph.rectified(pose)?)));
            let (poses, questions): (Vec<Pose>, Vec<Question>) = seen.unzip();
            let mut answers = ask(&questions)?.into_iter();
            for (pose, asked) in poses.iter().zip(&questions) {
                if let Some(maps) = asked.answered(&mut answers, stride_px) {
                    marginal.add(*pose, &maps, weight);
                }
            }
        }
        Ok::<(), E>(())
    };
    attempt(grid.poses(), 1.0, &mut marginal)?;
    for (round, (count, part)) in (1..).zip(ROUNDS) {
        for pose in marginal.best(count) {
            let around = grid.around(&pose, part);
            let weight = ((around.len() + 1) as f32).powi(-round);
            attempt(around, weight, &mut marginal)?;
        }
    }
    let (best, tried) = (marginal.best(1), marginal.tried.len());
    let found = best.first().and_then(|pose| Some((*pose, photograph.rectified(pose)?.image)));
    let Some(((pose, image), mut maps)) = found.zip(marginal.mean()) else {
        let problem = "at every tilt that is tried the click looks at the horizon; click on the ground";
        return Err(EngineError::Picture(problem.into()).into());
    };
    if witnesses == Witnesses::Heard {
        maps.heat.iter_mut().for_each(|heat| *heat /= COOLING);
    }
    Ok(Sought { maps, pose, image, tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_poses_is_the_mean_of_their_likelihoods() {
        let answer = |heat: Vec<f32>, size: f32| Maps {
            width: 3,
            height: 1,
            boxes: vec![size; 12],
            attention: vec![size; 3],
            heat,
        };
        let nowhere = f32::NEG_INFINITY;
        let pose = |heading_deg| Pose { heading_deg, tilt_deg: 0.0, scale: 1.0 };
        let mut marginal = Marginal::default();
        marginal.add(pose(0.0), &answer(vec![1.0, -20.0, nowhere], 1.0), 1.0);
        marginal.add(pose(90.0), &answer(vec![-1.0, 3.0, nowhere], 2.0), 0.5);
        assert_eq!(marginal.best(1), [pose(90.0)]);
        let maps = marginal.mean().unwrap();
        let mean = |a: f32, b: f32| ((a.exp() + 0.5 * b.exp()) / 1.5).ln();
        assert!((maps.heat[0] - mean(1.0, -1.0)).abs() < 1e-6 && (maps.heat[1] - mean(-20.0, 3.0)).abs() < 1e-6);
        assert_eq!(maps.heat[2], nowhere);
        assert_eq!((maps.boxes[0], maps.boxes[4], maps.attention[1]), (1.0, 2.0, 2.0));
        assert!(Marginal::default().mean().is_none());
        assert!(log_sum(f32::NAN, 1.0).is_nan() && log_sum(1.0, f32::NAN).is_nan());
    }

    #[test]
    fn numbers_that_cannot_be_are_named() {
        let photo = RgbImage::new(400, 300);
        let refused =
            |grid: PoseGrid| Photograph::new(&photo, [20.0, 20.0], Witnesses::Heard, &grid).err().unwrap().to_string();
        let usual = PoseGrid::default;
        for (grid, named) in [
            (PoseGrid { headings_deg: vec![f64::NAN], ..usual() }, "a heading of NaN"),
            (PoseGrid { tilts_deg: vec![89.0], ..usual() }, "a tilt of 89"),
            (PoseGrid { scales: vec![0.0], ..usual() }, "a scale of 0"),
            (PoseGrid { field_of_view_deg: 0.0, ..usual() }, "a field of view of 0"),
        ] {
            let said = refused(grid);
            assert!(said.contains(named), "{said}");
        }
        assert!(Photograph::new(&photo, [400.0, 20.0], Witnesses::Heard, &usual()).is_err());
    }
}
