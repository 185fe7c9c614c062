//! From a followed pixel to a question: the pose at the capture time, the ray on the ground, the window to search, and the
//! crop the network sees.
//!
//! With a pose the crop is laid north up at the map's scale over the terrain, and the window follows from the ray and
//! its uncertainty. Without one the crop is a square of the frame and the window is the configured area, if there is one: the
//! search goes on, wider, and says so.

mod config;
mod crop;
mod finder;
mod scene;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use smgeo_engine::rectify::Pyramid;
use smgeo_flow::latest::{Put, Take};
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_geo::{self as geo, Pixel, TileId};
use smgeo_messages::{
    Followed, FollowedTarget, Frame, PoseUsed, Prompt, Query, QueryBatch, RayFix, SharedFrame, Sight, TargetId,
    Telemetry, Track,
};
use tokio::sync::{broadcast, watch};

use crate::camera::Lens;
use crate::control::{Metrics, PartReporter};
use crate::follow::ReAnchor;
use crate::prompts::{FrameIndex, SeenFrame};
use crate::telemetry::{PoseBuffer, Rejected};
use crate::terrain::GroundSource;
use crate::web::DroneView;

pub use config::Config;
use crop::Crop;
use finder::Finder;
use scene::{NoScene, Scene};
use window::Windows;

/// Is how long one step waits for a frame.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Telemetry samples taken in at one step at most: a burst may not hold up a frame.
const TELEMETRY_A_STEP: usize = 256;

/// Why a target that is in sight is not asked about: what is followed lies away from its known position.
const STRAYED: &str = "following has led to something else";
/// The same: it is above the horizon, or beyond the elevation model.
const NO_GROUND: &str = "its ray does not meet the ground";

/// Is what the stage is connected to.
#[derive(Clone)]
pub struct Ends {
    /// Frames with the pixel of every target.
    pub followed: Take<Followed>,
    /// What the vehicle says.
    pub telemetry: Receiver<Telemetry>,
    /// Questions out; the newest frame's win.
    pub queries: Put<QueryBatch>,
    /// The tiles needed soon, nearest first.
    pub ahead: watch::Sender<Arc<[TileId]>>,
    /// Where the drone is and what it sees, for the map; none while telemetry gives no pose.
    pub drone: watch::Sender<Option<DroneView>>,
    /// The decoded frames, for whoever judges a click.
    pub seen: FrameIndex,
    /// The newest decoded picture, for the page.
    pub picture: watch::Sender<Option<SharedFrame>>,
    /// Where targets are, to find those again that left the picture.
    pub tracks: broadcast::Sender<Arc<Track>>,
    /// Targets found again.
    pub re_anchors: Sender<ReAnchor>,
    /// Where it is told how telemetry is.
    pub reports: Reports,
}

/// Is where it is told whether there is a pose, and which samples were refused.
#[derive(Clone)]
pub struct Reports {
    metrics: Metrics,
    // Without telemetry nobody expects a pose.
    health: Option<PartReporter>,
}

impl Reports {
    /// Counts into `metrics`; writes `health` where telemetry is configured.
    pub fn of(metrics: &Metrics, health: Option<PartReporter>) -> Self {
        if let Some(health) = &health {
            health.degraded("no frame yet");
        }
        Self { metrics: metrics.clone(), health }
    }

    fn pose(&self, found: Result<(), &NoScene>) {
        match (&self.health, found) {
            (Some(health), Ok(())) => health.ok(),
            (Some(health), Err(why)) => health.degraded(&why.to_string()),
            (None, _) => {}
        }
    }

    fn bad_terrain(&self, tiles: u64) {
        if tiles > 0 {
            self.metrics.errors("terrain", "bad_tile").inc_by(tiles);
        }
    }

    fn refused(&self, why: Rejected) {
        self.metrics.drops("poses", why.word()).inc();
    }
}

/// Is the stage: followed frames in, questions out.
pub struct Assemble {
    config: Config,
    clock: SharedClock,
    lens: Lens,
    windows: Windows,
    poses: PoseBuffer,
    ground: GroundSource,
    finder: Finder,
    // The rays of the clicks themselves, with the revision of the prompt they belong to.
    clicked: BTreeMap<TargetId, (u32, RayFix)>,
    ends: Ends,
}

impl Assemble {
    /// Makes the stage. `zoom` is that of the map tiles.
    pub fn new(
        config: Config,
        clock: SharedClock,
        lens: Lens,
        zoom: u8,
        poses: PoseBuffer,
        ground: GroundSource,
        ends: Ends,
    ) -> Self {
        let windows = Windows::new(&config, zoom);
        let finder = Finder::new(ends.tracks.subscribe());
        Self { config, clock, lens, windows, poses, ground, finder, clicked: BTreeMap::new(), ends }
    }

    fn take_telemetry(&mut self) {
        let now = self.clock.now();
        for sample in self.ends.telemetry.try_iter().take(TELEMETRY_A_STEP) {
            if let Err(why) = self.poses.put(&sample, now) {
                self.ends.reports.refused(why);
            }
        }
    }

    fn assemble(&mut self, followed: &Followed, scene: &Result<Scene, NoScene>) -> QueryBatch {
        let frame = &followed.frame;
        self.finder.take_tracks();
        let mut batch = QueryBatch {
            frame: frame.id,
            captured: frame.captured,
            queries: Vec::with_capacity(followed.targets.len()),
            unseen: Vec::new(),
            telemetry_age: scene.as_ref().ok().map(|scene| scene.used.telemetry_age),
        };
        if followed.targets.is_empty() {
            return batch;
        }
        self.clicked.retain(|id, _| followed.targets.iter().any(|target| target.prompt.target == *id));
        let picture = frame.picture().expect("following refuses a frame whose bytes do not fit its size");
        let pyramid = Pyramid::over(picture, followed.halvings.clone());
        for target in &followed.targets {
            let id = target.prompt.target;
            self.note_click(frame, &target.prompt);
            let query = match target.sight {
                Sight::Lost(reason) => Err(reason),
                Sight::At { .. } if frame.frozen => Err("the video stands still"),
                Sight::At { pixel, sigma_px } => self.query(frame, scene, &pyramid, target, (pixel, sigma_px)),
            };
            match query {
                Ok(query) => batch.queries.push(query),
                Err(reason) => {
                    if reason == STRAYED || matches!(target.sight, Sight::Lost(_)) {
                        self.find_again(frame, scene, &target.prompt);
                    }
                    batch.unseen.push((id, reason));
                }
            }
        }
        batch
    }

    /// Casts the ray of a new click in the frame the operator saw: following may be led away before the first question.
    fn note_click(&mut self, newest: &Frame, prompt: &Prompt) {
        let is_known = self.clicked.get(&prompt.target).is_some_and(|(revision, _)| *revision == prompt.revision);
        if is_known {
            return;
        }
        let scene = self.scene_at(prompt.frame_captured, newest.time_sigma, (newest.width_px, newest.height_px));
        if let Some((_, fix)) = scene.ok().and_then(|scene| scene.cast(prompt.click, prompt.sigma_px)) {
            self.clicked.insert(prompt.target, (prompt.revision, fix));
        }
    }

    /// Says where a target that is out of sight, or was mistaken for another, must be in the picture, if that is known.
    fn find_again(&mut self, frame: &Frame, scene: &Result<Scene, NoScene>, prompt: &Prompt) {
        let Ok(scene) = scene else { return };
        if let Some(found) = self.finder.find(frame, scene, prompt) {
            // A full channel means that following is behind; it is asked again soon.
            let _ = self.ends.re_anchors.try_send(found);
        }
    }

    /// Puts the camera over the ground at a moment, or says what stands in the way.
    fn scene_at(&mut self, captured: Stamp, sigma: Duration, size_px: (u32, u32)) -> Result<Scene, NoScene> {
        let at = self.poses.pose_at(captured, sigma)?;
        if let Some(suspicion) = at.suspicion {
            return Err(suspicion.into());
        }
        let ground = self.ground.around(at.pose.position.at)?;
        let told = if self.lens.is_told() { self.poses.field_of_view_at(captured)? } else { None };
        let camera = self.lens.camera(size_px, told.map(|told| told.horizontal_rad)).map_err(NoScene::Lens)?;
        let used = PoseUsed { pose: at.pose, sigma: at.sigma, telemetry_age: at.age };
        Ok(Scene { camera, at, used, ground, object_height_m: self.config.object_height_m })
    }

    fn query(
        &self,
        frame: &Frame,
        scene: &Result<Scene, NoScene>,
        pyramid: &Pyramid,
        target: &FollowedTarget,
        (pixel, sigma_px): (Pixel<geo::Frame>, f64),
    ) -> Result<Query, &'static str> {
        let ray = match scene {
            Ok(scene) => Some(scene.cast(pixel, sigma_px).ok_or(NO_GROUND)?),
            Err(_) => None,
        };
        if ray.as_ref().is_some_and(|(_, fix)| self.finder.strayed(&target.prompt, fix)) {
            return Err(STRAYED);
        }
        let (crop, window) = match (scene, &ray) {
            (Ok(scene), Some((ground, fix))) => {
                (Crop::rectified(scene, ground, self.windows.zoom(), fix.at), self.windows.around(fix)?)
            }
            (Err(why), _) => (Crop::raw(frame, pixel), self.windows.area().ok_or(why.phrase())?),
            (Ok(_), None) => return Err(NO_GROUND),
        };
        let click = crop.click();
        let image = pyramid
            .query((click.x as f32, click.y as f32), |x, y| crop.frame_from_crop(x, y))
            .map_err(|_| "the click left its crop")?;
        Ok(Query {
            target: target.prompt.target,
            revision: target.prompt.revision,
            frame: frame.id,
            captured: frame.captured,
            pixel,
            image,
            click,
            rectified: ray.is_some(),
            pixel_sigma_m: ray.as_ref().map_or(0.0, |(ground, _)| sigma_px * ground.range_m / scene_focal(scene)),
            window,
            pose: scene.as_ref().ok().map(|scene| scene.used.clone()),
            ray: ray.map(|(_, fix)| fix),
            clicked: self.clicked_of(&target.prompt),
        })
    }

    fn clicked_of(&self, prompt: &Prompt) -> Option<RayFix> {
        let (revision, fix) = self.clicked.get(&prompt.target)?;
        (*revision == prompt.revision).then_some(*fix)
    }

    /// Tells where the drone is, and which tiles will be needed.
    fn look(&mut self, frame: &Frame, scene: &Result<Scene, NoScene>) {
        let Ok(scene) = scene else {
            self.ends.drone.send_replace(None);
            return;
        };
        if let Some(gaze) = scene.gaze() {
            let velocity = scene.at.velocity_ned_mps.unwrap_or_default();
            let ahead = self.windows.ahead(&gaze, &scene.footprint(), velocity, self.config.ahead_s);
            self.ends.ahead.send_replace(ahead);
        }
        self.ends.drone.send_replace(Some(scene.drone(frame)));
    }
}

/// Returns the focal length, pixels; without a camera over ground nothing is measured in metres.
fn scene_focal(scene: &Result<Scene, NoScene>) -> f64 {
    scene.as_ref().map_or(f64::INFINITY, |scene| scene.camera.fx_px)
}

impl Stage for Assemble {
    fn name(&self) -> &'static str {
        "assemble"
    }

    fn step(&mut self) -> Result<(), Fault> {
        let followed = self.ends.followed.take(POLL_INTERVAL);
        self.take_telemetry();
        if let Some(followed) = followed {
            let frame = &followed.frame;
            self.ends.seen.note(SeenFrame::from(&**frame));
            self.ends.picture.send_replace(Some(frame.clone()));
            let scene = self.scene_at(frame.captured, frame.time_sigma, (frame.width_px, frame.height_px));
            self.ends.reports.pose(scene.as_ref().map(drop));
            self.ends.reports.bad_terrain(self.ground.take_bad_tiles());
            let batch = self.assemble(&followed, &scene);
            self.ends.queries.put(batch);
            // What only the map and the tiles ahead need comes after the question.
            self.look(frame, &scene);
        }
        Ok(())
    }
}
