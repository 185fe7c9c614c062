//! The onlooker of the demo: sees each click on the page, and tells the scorekeeper which object it hit.
//!
//! It reads what is followed, and knows from the world what the clicked frame showed at that pixel. The daemon learns nothing of it.

use std::collections::BTreeMap;

use smgeo_flow::SharedClock;
use smgeo_messages::{Prompt, PromptSet, TargetId};
use smgeo_runtime::prompts::List;
use smgeo_runtime::wiring::Machine;
use smgeo_world::ObjectId;
use smgeo_world::truth::Spotter;

use super::flight_s;
use super::score::Score;
use crate::sim::flight_plan::FlightPlan;

/// Looks up what clicks hit.
pub struct Onlooker {
    plan: FlightPlan,
    start_wall_us: i64,
    clock: SharedClock,
    spotter: Spotter,
    // The newest click on each target that was looked up, by its revision.
    seen: BTreeMap<TargetId, u32>,
}

impl Onlooker {
    /// Makes an onlooker who has seen nothing yet.
    pub fn new(plan: FlightPlan, start_wall_us: i64, clock: SharedClock) -> Self {
        Self { plan, start_wall_us, clock, spotter: Spotter::default(), seen: BTreeMap::new() }
    }

    /// Tells the scorekeeper what is followed now, and what each click hit that it has not looked up yet.
    pub async fn look(&mut self, machine: &Machine, score: &mut Score) {
        // A machine that is ending follows nothing.
        if let Ok(set) = machine.prompts.send(List).await {
            self.tell(&set, score);
        }
    }

    fn tell(&mut self, set: &PromptSet, score: &mut Score) {
        score.follows(set.targets.len());
        for prompt in set.targets.iter() {
            let before = self.seen.insert(prompt.target, prompt.revision);
            // The operator of the headless demo has said itself what it means.
            let is_known = before.is_none() && score.knows(prompt.target);
            if before != Some(prompt.revision) && !is_known {
                score.know(prompt.target, self.hit(prompt));
            }
        }
    }

    fn hit(&mut self, prompt: &Prompt) -> Option<ObjectId> {
        let FlightPlan { town, day, .. } = &self.plan;
        let pose = self.plan.pose(flight_s(&self.clock, prompt.frame_captured, self.start_wall_us));
        self.spotter.object_at(town, day, &self.plan.camera(), &pose, prompt.click)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nalgebra::Vector3;
    use smgeo_flow::SystemClock;
    use smgeo_geo::{Covariance2, Pixel};
    use smgeo_messages::{Basis, Estimate, FrameId, PromptSource, Track, TrackState};
    use smgeo_world::truth::visible_objects;
    use tokio::sync::broadcast;

    use super::*;

    fn prompt(target: u32, click: Pixel<smgeo_geo::Frame>, clock: &SharedClock) -> Prompt {
        Prompt {
            target: TargetId(target),
            revision: 1,
            frame: FrameId(1),
            frame_captured: clock.now(),
            click,
            sigma_px: 2.0,
            label: None,
            source: PromptSource::Exact,
            created: clock.now(),
        }
    }

    fn locked(prompt: &Prompt, at: smgeo_geo::LatLon) -> Arc<Track> {
        let estimate = Estimate {
            at,
            velocity_ne_mps: [0.0, 0.0],
            covariance: Covariance2::isotropic(2.0).unwrap(),
            ce90_m: 4.0,
            basis: Basis::Map,
            bounds_deg: None,
            score: Some(0.9),
        };
        Arc::new(Track {
            target: prompt.target,
            revision: prompt.revision,
            label: None,
            click: PromptSource::Exact,
            state: TrackState::Locked,
            reason: None,
            frame: prompt.frame,
            captured: prompt.frame_captured,
            published: prompt.frame_captured,
            estimate: Some(estimate),
            pixel: Some(prompt.click),
            ray: None,
            confirmation_age: None,
            telemetry_age: None,
            fixes: 1,
            provenance: None,
        })
    }

    #[test]
    fn a_click_on_the_page_is_scored_against_the_object_it_hit_and_counts_while_it_is_followed() {
        let plan = FlightPlan::new(7, 60.0).unwrap();
        let clock = SystemClock::shared();
        let seen = visible_objects(&plan.town, &plan.day, &plan.camera(), &plan.pose(5.0));
        let house =
            seen.iter().filter(|seen| seen.visible > 0.9).max_by(|one, other| one.visible.total_cmp(&other.visible));
        let house = house.expect("something is seen whole");
        let (tracks, heard) = broadcast::channel(4);
        let mut score = Score::new(plan.clone(), heard, broadcast::channel(1).1);
        let start_wall_us = clock.wall_us_now() - 5_000_000;
        let mut onlooker = Onlooker::new(plan.clone(), start_wall_us, clock.clone());
        let [east, north, up] = plan.town.object(house.id).unwrap().centre_enu;
        let beside = plan.town.frame().geodetic_from(Vector3::new(east + 3.0, north, up)).unwrap().at;

        let clicked = prompt(1, house.click, &clock);
        onlooker.tell(&PromptSet { revision: 1, targets: [clicked.clone()].into() }, &mut score);
        tracks.send(locked(&clicked, beside)).unwrap();
        score.take_published();
        let line = score.line(1);
        assert!(line.contains("targets  1") && line.contains("error 3.0 m"), "{line}");

        onlooker.tell(&PromptSet { revision: 2, targets: [].into() }, &mut score);
        assert!(score.line(2).contains("targets  0"), "a target that was let go is not followed");
    }
}
