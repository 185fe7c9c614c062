//! From answers to a position: a track per target, gated, aged, and honest about what it rests on.
//!
//! The network confirms a position several times a second, but consecutive frames err alike: their errors are counted as one
//! independent measurement per [`Config::correlation_s`], or the track would become sure of a shared mistake. An answer far
//! from the track is not averaged in; it is set aside, and when several set-aside answers agree with each other the track is begun
//! anew there. What lies away from the ray of the click itself confirms nothing: following has been led to something
//! else, or the target has moved, and neither can be told from the other. Silence is an answer too: without confirmation a track goes from locked to coasting, its uncertainty
//! grows, and after [`Config::coasting_s`] it is lost and gives no position.

mod config;
mod hypothesis;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{
    Basis, Detection, Estimate, Evidence, Found, FrameId, Outcome, Prompt, PromptSet, Provenance, RayFix, TargetId,
    Track, TrackState,
};
use tokio::sync::{broadcast, watch};

use crate::control::Latency;
pub use config::Config;
use hypothesis::{Hypothesis, Verdict};

/// Is how long one step waits for evidence.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Is the stage: evidence in, tracks out.
pub struct Fuse {
    config: Config,
    clock: SharedClock,
    prompts: watch::Receiver<PromptSet>,
    evidence: Receiver<Evidence>,
    tracks: broadcast::Sender<Arc<Track>>,
    latency: Latency,
    targets: BTreeMap<TargetId, Target>,
    prompts_revision: u64,
}

/// Is what is known of one target.
struct Target {
    prompt: Prompt,
    // Where the ray of the click met the ground: what is followed from there on has to stay there.
    clicked: Option<RayFix>,
    hypothesis: Option<Hypothesis>,
    frame: FrameId,
    captured: Stamp,
    pixel: Option<Pixel<geo::Frame>>,
    ray: Option<RayFix>,
    telemetry_age: Option<Duration>,
    reason: Option<&'static str>,
    fixes: u64,
    begun: Stamp,
    published: Option<Stamp>,
    provenance: Option<Arc<Provenance>>,
}

impl Fuse {
    /// Makes the stage from its two ends and the prompts; `latency` takes the time from capture to publication.
    pub fn new(
        config: Config,
        clock: SharedClock,
        prompts: watch::Receiver<PromptSet>,
        evidence: Receiver<Evidence>,
        tracks: broadcast::Sender<Arc<Track>>,
        latency: Latency,
    ) -> Self {
        let (targets, prompts_revision) = (BTreeMap::new(), u64::MAX);
        Self { config, clock, prompts, evidence, tracks, latency, targets, prompts_revision }
    }

    /// Begins tracks for new prompts, begins moved ones anew, and drops those that nobody wants any more.
    fn follow_prompts(&mut self) {
        let set = self.prompts.borrow_and_update().clone();
        if set.revision == self.prompts_revision {
            return;
        }
        self.prompts_revision = set.revision;
        self.targets.retain(|target, _| set.get(*target).is_some());
        for prompt in set.targets.iter() {
            match self.targets.get_mut(&prompt.target) {
                // It may have got another name.
                Some(target) if target.prompt.revision == prompt.revision => target.prompt = prompt.clone(),
                _ => drop(self.targets.insert(prompt.target, Target::new(prompt.clone(), self.clock.now()))),
            }
        }
    }

    fn take_in(&mut self, evidence: Evidence) -> Option<TargetId> {
        match evidence {
            Evidence::Answered(detection) => {
                let id = detection.target;
                let target = self.targets.get_mut(&id)?;
                if target.prompt.revision != detection.revision || detection.captured < target.captured {
                    return None;
                }
                target.take_in(&self.config, *detection);
                Some(id)
            }
            Evidence::Unseen { target: id, frame, captured, telemetry_age, reason } => {
                let target = self.targets.get_mut(&id)?;
                if captured < target.captured {
                    return None;
                }
                target.unseen(frame, captured, telemetry_age, reason);
                Some(id)
            }
        }
    }

    fn publish(&mut self, id: TargetId) {
        let now = self.clock.now();
        if let Some(target) = self.targets.get_mut(&id) {
            let track = target.track(&self.config, now);
            target.published = Some(now);
            // No receiver is no fault: a ground station may come later.
            let _ = self.tracks.send(Arc::new(track));
        }
    }

    /// Publishes what has been silent for too long, so that a state that worsens with time is seen to worsen.
    fn publish_silent(&mut self) {
        let now = self.clock.now();
        let silence = Duration::from_secs_f64(self.config.publish_interval_s_max);
        let due: Vec<TargetId> = self
            .targets
            .iter()
            .filter(|(_, target)| target.published.is_none_or(|at| now.since(at) >= silence))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.publish(id);
        }
    }
}

impl Stage for Fuse {
    fn name(&self) -> &'static str {
        "fuse"
    }

    fn step(&mut self) -> Result<(), Fault> {
        self.follow_prompts();
        if let Ok(evidence) = self.evidence.recv_timeout(POLL_INTERVAL)
            && let Some(target) = self.take_in(evidence)
        {
            self.publish(target);
            if let Some(target) = self.targets.get(&target) {
                self.latency.observe(self.clock.now().since(target.captured));
            }
        }
        self.publish_silent();
        Ok(())
    }
}

impl Target {
    fn new(prompt: Prompt, now: Stamp) -> Self {
        Self {
            frame: prompt.frame,
            captured: prompt.frame_captured,
            prompt,
            clicked: None,
            hypothesis: None,
            pixel: None,
            ray: None,
            telemetry_age: None,
            reason: Some("waiting for the first answer"),
            fixes: 0,
            begun: now,
            published: None,
            provenance: None,
        }
    }

    fn take_in(&mut self, config: &Config, detection: Detection) {
        self.frame = detection.frame;
        self.captured = detection.captured;
        self.pixel = Some(detection.pixel);
        self.telemetry_age = detection.telemetry_age;
        self.clicked = self.clicked.or(detection.clicked);
        self.ray = detection.ray;
        self.provenance = Some(detection.provenance);
        self.reason = match detection.outcome {
            Outcome::NotFound(reason) => Some(reason),
            Outcome::Against(reason) => {
                self.doubt(config, 0.0);
                Some(reason)
            }
            Outcome::NoMap { unread: 0, .. } => Some("the map has no tiles there"),
            Outcome::NoMap { .. } => Some("the map cannot be read there"),
            Outcome::Found(found) if found.score < config.score_min => {
                self.doubt(config, found.score);
                Some("no clear match on the map")
            }
            Outcome::Found(found) => self.confirm(config, &found),
        };
    }

    /// Lets an answer act on the hypothesis and returns why it did not confirm it, if it did not.
    fn confirm(&mut self, config: &Config, found: &Found) -> Option<&'static str> {
        // Following can be led to another object, and there map and ray agree: only the click still knows better.
        let elsewhere = |clicked: &RayFix| clicked.disagrees(found.at, found.covariance, config.click_widening);
        let ray = match (&self.clicked, &self.ray) {
            // Whether following has kept to what was clicked cannot be told without both rays.
            (_, None) => return Some("without telemetry nothing confirms a place"),
            (None, Some(_)) => return Some("there was no pose at the moment of the click: click again"),
            (Some(clicked), Some(_)) if elsewhere(clicked) => {
                self.doubt(config, 0.0);
                return Some("what is followed is not where it was clicked");
            }
            (Some(_), Some(ray)) => *ray,
        };
        let verdict = match &mut self.hypothesis {
            Some(hypothesis) => hypothesis.weigh(config, found, &ray, self.captured),
            None => Hypothesis::new(config, found, &ray, self.captured).map(|begun| {
                self.hypothesis = Some(begun);
                Verdict::Confirmed
            }),
        };
        match verdict {
            Ok(Verdict::Confirmed) => {
                self.fixes += 1;
                None
            }
            Ok(Verdict::SetAside) => Some("an answer far from the track was set aside"),
            Ok(Verdict::BegunAnew) => {
                self.fixes = 1;
                Some("begun anew: the network keeps pointing elsewhere")
            }
            Err(_) => Some("an answer that is no number was refused"),
        }
    }

    /// Says whether what is followed is no longer what was clicked: its ray leads elsewhere.
    fn has_strayed(&self, config: &Config) -> bool {
        let (Some(clicked), Some(ray)) = (&self.clicked, &self.ray) else { return false };
        clicked.disagrees(ray.at, ray.spread.covariance, config.click_widening)
    }

    /// Lets an answer that holds the place to be this improbable count against it; one about something else says nothing of it.
    fn doubt(&mut self, config: &Config, probability: f64) {
        let strayed = self.has_strayed(config);
        if let Some(hypothesis) = self.hypothesis.as_mut().filter(|_| !strayed) {
            hypothesis.average(config, probability, self.captured);
        }
    }

    fn unseen(&mut self, frame: FrameId, captured: Stamp, telemetry_age: Option<Duration>, reason: &'static str) {
        self.frame = frame;
        self.captured = captured;
        self.telemetry_age = telemetry_age;
        self.reason = Some(reason);
        self.pixel = None;
        self.ray = None;
    }

    fn track(&self, config: &Config, now: Stamp) -> Track {
        let confirmation_age = self.hypothesis.as_ref().map(|hypothesis| now.since(hypothesis.confirmed));
        let mapped = self.hypothesis.as_ref().and_then(|hypothesis| hypothesis.estimate(config, now).ok());
        let state = self.state(config, now, mapped.as_ref(), confirmation_age);
        let estimate = match state {
            TrackState::Locked | TrackState::Coasting => mapped,
            TrackState::Searching if self.has_strayed(config) => None,
            TrackState::Searching => self.ray.as_ref().and_then(by_ray),
            TrackState::Lost => None,
        };
        Track {
            target: self.prompt.target,
            revision: self.prompt.revision,
            label: self.prompt.label.clone(),
            click: self.prompt.source,
            state,
            reason: self.reason(state),
            frame: self.frame,
            captured: self.captured,
            published: now,
            estimate,
            pixel: self.pixel,
            ray: self.ray,
            confirmation_age: self.hypothesis.as_ref().map(|hypothesis| self.captured.since(hypothesis.confirmed)),
            telemetry_age: self.telemetry_age,
            fixes: self.fixes,
            provenance: self.provenance.clone(),
        }
    }

    /// Says why it is not locked.
    fn reason(&self, state: TrackState) -> Option<&'static str> {
        match state {
            TrackState::Locked => None,
            _ if self.reason.is_some() => self.reason,
            _ if self.hypothesis.as_ref().is_some_and(|hypothesis| !hypothesis.is_probable) => {
                Some("other places look alike")
            }
            _ => Some("unconfirmed"),
        }
    }

    fn state(&self, config: &Config, now: Stamp, mapped: Option<&Estimate>, age: Option<Duration>) -> TrackState {
        let age_s = age.map(|age| age.as_secs_f64());
        let begun_s = now.since(self.begun).as_secs_f64();
        match (mapped, age_s) {
            (Some(estimate), Some(age_s)) => {
                let confirmed = self.hypothesis.as_ref().is_some_and(|hypothesis| {
                    hypothesis.confirmations >= config.confirmations_min && hypothesis.is_probable
                });
                let sharp = estimate.ce90_m <= config.locked_ce90_m_max;
                match (confirmed, age_s) {
                    (_, age_s) if age_s > config.coasting_s => TrackState::Lost,
                    (true, age_s) if age_s <= config.locked_age_s_max && sharp => TrackState::Locked,
                    (true, _) => TrackState::Coasting,
                    (false, _) => TrackState::Searching,
                }
            }
            // A ray from a frame long past is no position for now.
            _ if now.since(self.captured).as_secs_f64() > config.coasting_s && begun_s > config.coasting_s => {
                TrackState::Lost
            }
            _ => TrackState::Searching,
        }
    }
}

/// The ray's own answer; the height of what was clicked is not known, and makes up most of its uncertainty.
fn by_ray(ray: &RayFix) -> Option<Estimate> {
    let covariance = ray.spread.of_object().ok()?;
    Some(Estimate {
        at: ray.at,
        velocity_ne_mps: [0.0; 2],
        covariance,
        ce90_m: covariance.circular_error_m(0.9),
        basis: Basis::Ray,
        bounds_deg: None,
        score: None,
    })
}
