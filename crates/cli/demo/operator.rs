//! The operator of the headless demo: looks at the newest frame, picks an object, clicks on it, lets go of it later.
//!
//! It sees what an operator sees, the frame, and knows where objects are in it from the world. What it tells the daemon is
//! what an operator would tell it: a frame and a pixel, a little beside the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use smgeo_flow::{SharedClock, Stamp};
use smgeo_geo::Pixel;
use smgeo_messages::TargetId;
use smgeo_runtime::prompts::{Delete, Follow};
use smgeo_runtime::wiring::Machine;
use smgeo_world::truth::{Sighting, Spotter};
use smgeo_world::{ObjectId, ObjectKind};

use super::flight_s;
use super::score::Score;
use crate::sim::flight_plan::FlightPlan;

/// How long the video runs before the first click. Until then a sender's reports are on trial, and it is not known to a tenth of a
/// second which moment a picture shows: the operator, who knows from the world what is where, would click beside it.
const BEGINS_AFTER: Duration = Duration::from_secs(7);

/// Between two clicks.
const CLICK_EVERY: Duration = Duration::from_millis(1_500);

/// How long a target is followed.
const FOLLOWED: Duration = Duration::from_secs(12);

/// Objects that are hidden more than this are not clicked, as share of their upper side that is seen.
const VISIBLE_MIN: f64 = 0.75;

/// Objects smaller or larger than this on screen are hard to mean, pixels.
const SIZE_PX: std::ops::Range<f64> = 24.0..420.0;

/// How far clicks fall beside the middle, pixels.
const JITTER_PX: f64 = 3.0;

/// Clicks on objects of a flight.
pub struct Operator {
    plan: FlightPlan,
    start_wall_us: i64,
    clock: SharedClock,
    spotter: Spotter,
    clicked: BTreeSet<ObjectId>,
    kinds: BTreeMap<ObjectKind, u32>,
    following: Vec<(TargetId, Stamp)>,
    clicked_at: Option<Stamp>,
    /// When the first picture was captured.
    began: Option<Stamp>,
}

impl Operator {
    /// Makes an operator who has clicked nothing yet.
    pub fn new(plan: FlightPlan, start_wall_us: i64, clock: SharedClock) -> Self {
        Self {
            plan,
            start_wall_us,
            clock,
            spotter: Spotter::default(),
            clicked: BTreeSet::new(),
            kinds: BTreeMap::new(),
            following: Vec::new(),
            clicked_at: None,
            began: None,
        }
    }

    /// Lets go of targets that were followed long enough, and clicks when it is time.
    pub async fn act(&mut self, machine: &Machine, score: &mut Score) {
        let now = self.clock.now();
        while let Some((target, _)) = self.following.first().filter(|(_, since)| now.since(*since) > FOLLOWED).copied()
        {
            // A target that is gone already needs no letting go.
            let _ = machine.prompts.send(Delete { target }).await;
            self.following.remove(0);
        }
        if self.clicked_at.is_none_or(|at| now.since(at) >= CLICK_EVERY) {
            self.click(machine, score).await;
        }
    }

    async fn click(&mut self, machine: &Machine, score: &mut Score) {
        let Some(frame) = machine.frames.newest() else { return };
        if frame.captured.since(*self.began.get_or_insert(frame.captured)) < BEGINS_AFTER {
            return;
        }
        let pose = self.plan.pose(flight_s(&self.clock, frame.captured, self.start_wall_us));
        let camera = self.plan.camera();
        let seen = self.spotter.sightings(&self.plan.town, &self.plan.day, &camera, &pose);
        let Some(chosen) = self.choose(&seen) else { return };
        let beside = self.clicked.len() as f64;
        let click = Pixel::new(
            (chosen.click.x + JITTER_PX * (beside * 2.4).sin()).clamp(0.5, f64::from(camera.width_px) - 0.5),
            (chosen.click.y + JITTER_PX * (beside * 1.7).cos()).clamp(0.5, f64::from(camera.height_px) - 0.5),
        );
        self.clicked_at = Some(self.clock.now());
        let label = Some(format!("{} {}", chosen.kind.name(), chosen.id.0));
        if let Ok(Ok(prompt)) = machine.prompts.send(Follow { frame: frame.id, click, label }).await {
            self.clicked.insert(chosen.id);
            *self.kinds.entry(chosen.kind).or_default() += 1;
            self.following.push((prompt.target, self.clock.now()));
            score.know(prompt.target, Some(chosen.id));
        }
    }

    /// Picks an object that was not clicked yet, of the kind clicked least, nearest to the middle of the picture.
    fn choose(&self, seen: &[Sighting]) -> Option<Sighting> {
        let camera = self.plan.camera();
        let (middle_x, middle_y) = (f64::from(camera.width_px) / 2.0, f64::from(camera.height_px) / 2.0);
        let rank = |sighting: &Sighting| {
            let times = self.kinds.get(&sighting.kind).copied().unwrap_or(0);
            let off = (sighting.click.x - middle_x).hypot(sighting.click.y - middle_y);
            (times, off as u64)
        };
        let fits = |sighting: &&Sighting| {
            let [left, top, right, bottom] = sighting.bounds_px;
            let size = (right - left).max(bottom - top);
            sighting.visible >= VISIBLE_MIN && SIZE_PX.contains(&size) && !self.clicked.contains(&sighting.id)
        };
        seen.iter().filter(fits).min_by_key(|sighting| rank(sighting)).copied()
    }
}
