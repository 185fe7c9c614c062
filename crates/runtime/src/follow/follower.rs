//! One target, from frame to frame.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{FrameId, Sight};
use smgeo_vision::similarity::{self, Fit, Similarity};
use smgeo_vision::{Found, LucasKanade, Matching};

use super::Config;
use super::anchor::Anchor;
use super::pyramid::Pyramid;

/// Points along a side of the grid laid around a target.
const GRID: usize = 7;
/// Fewer points than this carry no fit.
const POINTS_MIN: usize = 6;
/// Of the points with texture, so many have to be found again, and of those found so many have to agree.
const FOUND_FRACTION_MIN: f64 = 0.35;
const AGREEING_FRACTION_MIN: f64 = 0.5;
/// No camera zooms faster than this between two frames.
const ZOOM_STEP_MAX: f64 = 1.25;
/// After a longer pause the picture has moved too far for what looks alike to be the same.
const PAUSE_MAX: Duration = Duration::from_millis(1_000);
/// A target this near the edge of the picture, in working pixels, is leaving it.
const EDGE_PX: f64 = 3.0;
/// From this likeness on the anchor places the target; below the lower one something else is seen.
const LIKENESS_PLACED: f32 = 0.75;
const LIKENESS_LOST: f32 = 0.5;
/// One frame may be unlike, as a damaged one is; with the second the target is lost, before what covers it leads away.
const UNLIKE_FRAMES_MAX: u32 = 1;
/// Beyond this zoom or turn (radians) the anchor's picture is too coarse or too skewed, and is taken anew.
const ANCHOR_ZOOM_MAX: f64 = 1.25;
const ANCHOR_TURN_MAX: f64 = 0.3;
/// A slow change of view is followed by a new anchor before it looks like a loss.
const ANCHOR_AGE_MAX: Duration = Duration::from_secs(3);
/// Errors in working pixels: of a placement, of a step that the anchor did not check, and of a new anchor.
const PLACED_SIGMA_PX: f64 = 0.15;
const STEP_SIGMA_PX: f64 = 0.06;
const ANCHOR_SIGMA_PX: f64 = 0.1;
/// Past places kept, for fixes of past frames.
const PAST_MAX: usize = 256;

/// Is where a target is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The object's centre in the frame.
    pub pixel: Pixel<geo::Frame>,
    /// One standard deviation of either coordinate, pixels.
    pub sigma_px: f64,
}

/// Says why a target is not seen any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// The picture around it is too uniform to be recognised.
    NoTexture,
    /// Most of the picture around it was not found again: it is covered, or the camera jumped.
    Covered,
    /// The parts of the picture around it moved differently.
    Torn,
    /// What is seen there has become something else.
    Unlike,
    /// It left the picture.
    LeftPicture,
    /// Too much time passed between two frames.
    Paused,
    /// The picture's size changed.
    SizeChanged,
    /// The clicked frame is not stored any more.
    FrameGone,
}

impl LostReason {
    /// Says it in a short constant phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            LostReason::NoTexture => "too uniform to follow",
            LostReason::Covered => "covered or the camera jumped",
            LostReason::Torn => "its surroundings moved apart",
            LostReason::Unlike => "something else is seen there",
            LostReason::LeftPicture => "left the picture",
            LostReason::Paused => "the video paused",
            LostReason::SizeChanged => "the picture's size changed",
            LostReason::FrameGone => "the clicked frame is gone",
        }
    }
}

/// Follows one target.
pub struct Follower {
    region_work_px: f64,
    picture: Arc<Pyramid>,
    at: [f64; 2],
    step_last: [f64; 2],
    // Turn and zoom since the click.
    turned: Similarity,
    anchor: Anchor,
    anchored_sigma_px: f64,
    drift_sigma_px: f64,
    unlike_frames: u32,
    lost: Option<LostReason>,
    past: VecDeque<Past>,
}

struct Past {
    frame: FrameId,
    at: [f64; 2],
    turned: Similarity,
}

/// Are the buffers that following takes, shared by all targets.
#[derive(Default)]
pub struct Buffers {
    finding: [Finding; 2],
    compare: Matching,
}

/// Is a search for the points of a part of the grid, with its buffers.
#[derive(Default)]
struct Finding {
    find: LucasKanade,
    /// Points that had enough texture to be looked for.
    textured: usize,
    /// Those that were found: where they were, and are.
    pairs: Vec<([f64; 2], [f64; 2])>,
}

impl Follower {
    /// Begins at a pixel of a frame, known to `sigma_px`.
    pub fn start(config: &Config, picture: Arc<Pyramid>, pixel: Pixel<geo::Frame>, sigma_px: f64) -> Self {
        let at = picture.work_from_frame(pixel);
        let work_width = picture.levels().first().map_or(0.0, |level| level.width as f64);
        let region_work_px = (config.region_px * work_width / 1_280.0).max(12.0);
        let anchor = Anchor::new(picture.clone(), at, radius_of(region_work_px));
        let lost = (!picture.holds(at, 0.0)).then_some(LostReason::LeftPicture);
        let mut follower = Self {
            region_work_px,
            anchored_sigma_px: sigma_px / f64::from(picture.shrink),
            picture,
            at,
            step_last: [0.0, 0.0],
            turned: Similarity::IDENTITY,
            anchor,
            drift_sigma_px: 0.0,
            unlike_frames: 0,
            lost,
            past: VecDeque::with_capacity(PAST_MAX),
        };
        follower.remember();
        follower
    }

    /// Says where the target is in the frame last seen.
    pub fn seen(&self) -> Result<Seen, LostReason> {
        match self.lost {
            Some(reason) => Err(reason),
            None => {
                let sigma_work_px = self.anchored_sigma_px.hypot(self.drift_sigma_px).hypot(PLACED_SIGMA_PX);
                let sigma_px = sigma_work_px * f64::from(self.picture.shrink);
                Ok(Seen { pixel: self.picture.frame_from_work(self.at), sigma_px })
            }
        }
    }

    /// Says the same as the message that goes on.
    pub fn sight(&self) -> Sight {
        match self.seen() {
            Ok(Seen { pixel, sigma_px }) => Sight::At { pixel, sigma_px },
            Err(reason) => Sight::Lost(reason.phrase()),
        }
    }

    /// Goes on to the next frame. Once lost, a target stays so until it is anchored anew.
    pub fn step(&mut self, picture: &Arc<Pyramid>, buffers: &mut Buffers) -> Result<Seen, LostReason> {
        if self.lost.is_none() && picture.id != self.picture.id {
            self.lost = self.advance(picture, buffers).err();
            self.picture = picture.clone();
            self.remember();
        }
        self.seen()
    }

    /// Corrects the target's place in a frame of the past, where it was found to `sigma_px`, and with it the place now.
    /// Says no when that frame is not remembered, or the target is lost: then it has to be started anew from that frame.
    #[must_use]
    pub fn re_anchor(&mut self, frame: FrameId, pixel: Pixel<geo::Frame>, sigma_px: f64) -> bool {
        let Some(past) = self.past.iter().rev().find(|past| past.frame == frame) else { return false };
        if self.lost.is_some() {
            return false;
        }
        let found = self.picture.work_from_frame(pixel);
        let since = past.turned.turned_back([found[0] - past.at[0], found[1] - past.at[1]]);
        let correction = self.turned.turned(since);
        self.at = [self.at[0] + correction[0], self.at[1] + correction[1]];
        if !self.picture.holds(self.at, 0.0) {
            self.lost = Some(LostReason::LeftPicture);
            return false;
        }
        self.take_anchor();
        self.anchored_sigma_px = sigma_px / f64::from(self.picture.shrink);
        self.drift_sigma_px = 0.0;
        // Places before the correction were of another point.
        self.past.clear();
        self.remember();
        true
    }

    fn advance(&mut self, picture: &Arc<Pyramid>, buffers: &mut Buffers) -> Result<(), LostReason> {
        if !picture.is_same_size(&self.picture) {
            return Err(LostReason::SizeChanged);
        }
        if picture.captured.since(self.picture.captured) > PAUSE_MAX {
            return Err(LostReason::Paused);
        }
        let fit = self.fit_step(picture, buffers)?;
        let shift = fit.similarity.shift;
        self.at = [self.at[0] + shift[0], self.at[1] + shift[1]];
        self.step_last = shift;
        self.turned.turn = self.turned.turn_then(fit.similarity);
        self.anchor.since.turn = self.anchor.since.turn_then(fit.similarity);
        let step_sigma_px = STEP_SIGMA_PX.hypot(fit.residual_px / (fit.inliers as f64).sqrt());
        self.drift_sigma_px = self.drift_sigma_px.hypot(step_sigma_px);
        self.compare(picture, buffers)?;
        if picture.holds(self.at, EDGE_PX) { Ok(()) } else { Err(LostReason::LeftPicture) }
    }

    /// Fits how the picture around the target has moved. Another core, where one is free, finds half of the points.
    fn fit_step(&self, picture: &Pyramid, buffers: &mut Buffers) -> Result<Fit, LostReason> {
        const POINTS: usize = GRID * GRID;
        let [northern, southern] = &mut buffers.finding;
        rayon::in_place_scope(|beside| {
            beside.spawn(|_| self.find(picture, POINTS / 2..POINTS, southern));
            self.find(picture, 0..POINTS / 2, northern);
        });
        let textured = northern.textured + southern.textured;
        northern.pairs.append(&mut southern.pairs);
        let pairs = &northern.pairs;
        let found = pairs.len();
        if textured < POINTS_MIN {
            return Err(LostReason::NoTexture);
        }
        if found < POINTS_MIN || (found as f64) < FOUND_FRACTION_MIN * textured as f64 {
            return Err(LostReason::Covered);
        }
        let fit = similarity::fit(pairs, self.at).ok_or(LostReason::Torn)?;
        let zoom = fit.similarity.scale();
        let agrees = fit.inliers >= POINTS_MIN && fit.inliers as f64 >= AGREEING_FRACTION_MIN * found as f64;
        let possible = (1.0 / ZOOM_STEP_MAX..=ZOOM_STEP_MAX).contains(&zoom);
        if agrees && possible { Ok(fit) } else { Err(LostReason::Torn) }
    }

    /// Looks for those points of the grid around the target.
    fn find(&self, picture: &Pyramid, points: Range<usize>, finding: &mut Finding) {
        let Finding { find, textured, pairs } = finding;
        *textured = 0;
        pairs.clear();
        for index in points {
            let offset = |step: usize| (step as f64 / (GRID - 1) as f64 - 0.5) * self.region_work_px;
            let from = [self.at[0] + offset(index % GRID), self.at[1] + offset(index / GRID)];
            if !self.picture.holds(from, 0.0) {
                continue;
            }
            let guess = [from[0] + self.step_last[0], from[1] + self.step_last[1]];
            match find.find(self.picture.levels(), picture.levels(), from, guess) {
                Found::At(there) => {
                    *textured += 1;
                    pairs.push((from, there));
                }
                Found::Nowhere => *textured += 1,
                Found::Untextured => {}
            }
        }
    }

    /// Compares with the anchor: takes out the drift, notices a loss, and takes a new anchor when the old one wears out.
    fn compare(&mut self, picture: &Arc<Pyramid>, buffers: &mut Buffers) -> Result<(), LostReason> {
        let compared = self.anchor.compare(picture, self.at, &mut buffers.compare);
        self.unlike_frames = if compared.likeness < LIKENESS_LOST { self.unlike_frames + 1 } else { 0 };
        if self.unlike_frames > UNLIKE_FRAMES_MAX {
            return Err(LostReason::Unlike);
        }
        if compared.likeness < LIKENESS_PLACED || !compared.placed {
            // Part of what moved may belong to something before the target.
            let strange = f64::from((LIKENESS_PLACED - compared.likeness).clamp(0.0, 1.0));
            self.drift_sigma_px += strange * self.step_last[0].hypot(self.step_last[1]);
            return Ok(());
        }
        self.at = compared.at;
        self.drift_sigma_px = 0.0;
        let [cosine, sine] = self.anchor.since.turn;
        let zoom = self.anchor.since.scale();
        let worn = !(1.0 / ANCHOR_ZOOM_MAX..=ANCHOR_ZOOM_MAX).contains(&zoom)
            || sine.atan2(cosine).abs() > ANCHOR_TURN_MAX
            || picture.captured.since(self.anchor.taken()) > ANCHOR_AGE_MAX;
        if worn {
            self.picture = picture.clone();
            self.take_anchor();
            self.anchored_sigma_px = self.anchored_sigma_px.hypot(ANCHOR_SIGMA_PX);
        }
        Ok(())
    }

    fn take_anchor(&mut self) {
        self.anchor = Anchor::new(self.picture.clone(), self.at, radius_of(self.region_work_px));
        self.unlike_frames = 0;
    }

    fn remember(&mut self) {
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(Past { frame: self.picture.id, at: self.at, turned: self.turned });
    }
}

fn radius_of(region_work_px: f64) -> usize {
    (region_work_px / 2.0).round() as usize
}
