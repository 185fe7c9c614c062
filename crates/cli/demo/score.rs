//! The scorekeeper: compares what is published with what is true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use smgeo_geo::{Geodetic, LatLon};
use smgeo_messages::{Basis, Detection, Outcome, TargetId, Track, TrackState};
use smgeo_runtime::wiring::Machine;
use smgeo_world::ObjectId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::report::{self, Quantiles, Report, TargetReport, rss_mb_max};
use crate::sim::flight_plan::FlightPlan;

/// A locked position older than this when it is published is stale, seconds: far above the engine's own time.
const FRESH_S_MAX: f64 = 2.0;

/// A locked position further off than this is a gross error, metres.
const GROSS_M: f64 = 30.0;

/// Keeps the score of a flight.
pub struct Score {
    plan: FlightPlan,
    tracks: broadcast::Receiver<Arc<Track>>,
    controls: broadcast::Receiver<Arc<Detection>>,
    targets: BTreeMap<TargetId, Target>,
    latency_ms: Vec<f64>,
    error_shuffled_m: Vec<f64>,
    published: u64,
    published_locked: u64,
    stale: u64,
    followed: usize,
    told: Told,
}

/// Is what was seen of one target: its truth, and its locked tracks.
#[derive(Default)]
struct Target {
    object: Option<ObjectId>,
    published: u64,
    fixes: u64,
    error_m: Vec<f64>,
    error_ray_m: Vec<f64>,
    ce90_m: Vec<f64>,
}

impl Target {
    /// Returns how many locked positions are within their CE90.
    fn within_ce90(&self) -> usize {
        self.error_m.iter().zip(&self.ce90_m).filter(|(error_m, ce90_m)| error_m <= ce90_m).count()
    }
}

/// Is what the last line said, for the rates of the next.
#[derive(Default)]
struct Told {
    fixes: u64,
    frames: u64,
    frames_now: u64,
    latency: usize,
}

impl Score {
    /// Begins to listen.
    pub fn new(
        plan: FlightPlan,
        tracks: broadcast::Receiver<Arc<Track>>,
        controls: broadcast::Receiver<Arc<Detection>>,
    ) -> Self {
        Self {
            plan,
            tracks,
            controls,
            targets: BTreeMap::new(),
            latency_ms: Vec::new(),
            error_shuffled_m: Vec::new(),
            published: 0,
            published_locked: 0,
            stale: 0,
            followed: 0,
            told: Told::default(),
        }
    }

    /// Learns which object a target truly is; none where the click hit no object.
    pub fn know(&mut self, target: TargetId, object: Option<ObjectId>) {
        self.targets.entry(target).or_default().object = object;
    }

    /// Says whether it knows which object a target truly is.
    pub fn knows(&self, target: TargetId) -> bool {
        self.targets.get(&target).is_some_and(|target| target.object.is_some())
    }

    /// Learns how many targets are followed now.
    pub fn follows(&mut self, targets: usize) {
        self.followed = targets;
    }

    /// Takes in everything published since the last call.
    pub fn take(&mut self, machine: &Machine) {
        self.told.frames_now =
            machine.video.counts.all().iter().find(|(name, _)| *name == "frames_in").map_or(0, |c| c.1);
        self.take_published();
    }

    /// The same without the machine's own counts.
    pub fn take_published(&mut self) {
        loop {
            match self.tracks.try_recv() {
                Ok(track) => self.track(&track),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        loop {
            match self.controls.try_recv() {
                Ok(control) => self.control(&control),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
    }

    fn track(&mut self, track: &Track) {
        self.published += 1;
        let target = self.targets.entry(track.target).or_default();
        target.published += 1;
        if track.fixes > target.fixes {
            self.latency_ms.push(track.published.since(track.captured).as_secs_f64() * 1e3);
        }
        target.fixes = target.fixes.max(track.fixes);
        if track.state != TrackState::Locked {
            return;
        }
        self.published_locked += 1;
        self.stale += u64::from(track.published.since(track.captured).as_secs_f64() > FRESH_S_MAX);
        let Some(estimate) = track.estimate.as_ref().filter(|estimate| estimate.basis == Basis::Map) else { return };
        let Some(error_m) = self.off_m(track.target, estimate.at) else { return };
        let ray_m = track.ray.and_then(|ray| self.off_m(track.target, ray.at));
        let target = self.targets.entry(track.target).or_default();
        target.error_m.push(error_m);
        target.ce90_m.push(estimate.ce90_m);
        target.error_ray_m.extend(ray_m);
    }

    fn control(&mut self, control: &Detection) {
        if let Outcome::Found(found) = &control.outcome
            && let Some(error_m) = self.off_m(control.target, found.at)
        {
            self.error_shuffled_m.push(error_m);
        }
    }

    /// Returns how far a place is from a target's true centre, horizontally, metres.
    fn off_m(&self, target: TargetId, at: LatLon) -> Option<f64> {
        let object = self.plan.town.object(self.targets.get(&target)?.object?)?;
        let frame = self.plan.town.frame();
        let place = frame.enu_from(Geodetic { at, height: frame.origin().height });
        Some((place.x - object.centre_enu[0]).hypot(place.y - object.centre_enu[1]))
    }

    /// Returns what `of` holds of every target, one after another.
    fn all(&self, of: impl Fn(&Target) -> &Vec<f64>) -> Vec<f64> {
        self.targets.values().flat_map(|target| of(target).iter().copied()).collect()
    }

    fn fixes(&self) -> u64 {
        self.targets.values().map(|target| target.fixes).sum()
    }

    /// Says how it goes, in one line: the last second and what is followed now, and errors over all of the flight.
    pub fn line(&mut self, elapsed_s: u64) -> String {
        let fixes = self.fixes();
        let latency_ms = Quantiles::of(self.latency_ms[self.told.latency.min(self.latency_ms.len())..].to_vec());
        let show = |quantiles: Option<Quantiles>, unit: &str| {
            quantiles.map_or_else(|| "-".to_owned(), |quantiles| format!("{:.1} {unit}", quantiles.median))
        };
        let line = format!(
            "{elapsed_s:4} s  frames {:3}/s  targets {:2}  fixes {:3}/s  latency {}  error {} (ray {})",
            self.told.frames_now - self.told.frames.min(self.told.frames_now),
            self.followed,
            fixes - self.told.fixes.min(fixes),
            show(latency_ms, "ms"),
            show(Quantiles::of(self.all(|target| &target.error_m)), "m"),
            show(Quantiles::of(self.all(|target| &target.error_ray_m)), "m"),
        );
        self.told = Told {
            fixes,
            frames: self.told.frames_now,
            frames_now: self.told.frames_now,
            latency: self.latency_ms.len(),
        };
        line
    }

    /// Sums up.
    pub fn report(&mut self, machine: &Machine, flown: Duration) -> Report {
        self.take(machine);
        let counts: BTreeMap<String, u64> =
            machine.video.counts.all().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        let mut kinds = BTreeMap::<String, u64>::new();
        let targets: Vec<TargetReport> =
            self.targets.values().filter_map(|target| self.target_report(target)).collect();
        for target in &targets {
            *kinds.entry(target.kind.clone()).or_default() += 1;
        }
        let fixes = self.fixes();
        let error_m = self.all(|target| &target.error_m);
        let locked = error_m.len() as f64;
        let within_ce90: usize = self.targets.values().map(Target::within_ce90).sum();
        Report {
            seed: self.plan.seed,
            duration_s: flown.as_secs_f64(),
            frames_in: counts.get("frames_in").copied().unwrap_or(0),
            frames_dropped: report::dropped(&counts, machine.superseded()),
            prompts: targets.len() as u64,
            kinds,
            fixes,
            fixes_per_s: fixes as f64 / flown.as_secs_f64().max(1e-9),
            latency_ms: Quantiles::of(self.latency_ms.clone()).map(Into::into),
            gross_fixes: error_m.iter().filter(|error| **error > GROSS_M).count() as u64,
            error_m: Quantiles::of(error_m),
            error_ray_only_m: Quantiles::of(self.all(|target| &target.error_ray_m)),
            error_shuffled_query_m: Quantiles::of(self.error_shuffled_m.clone()),
            within_ce90: (locked > 0.0).then(|| within_ce90 as f64 / locked),
            locked_fraction: self.published_locked as f64 / (self.published as f64).max(1.0),
            targets_locked: targets.iter().filter(|target| target.error_m.is_some()).count() as u64,
            stale_fixes: self.stale,
            targets,
            rss_mb_max: rss_mb_max(),
        }
    }

    /// Sums one target up; none for a click beside every object, where there is no truth.
    fn target_report(&self, target: &Target) -> Option<TargetReport> {
        let object = self.plan.town.object(target.object?)?;
        let locked = target.error_m.len();
        Some(TargetReport {
            kind: object.kind.name().to_owned(),
            height_m: object.height_m,
            published: target.published,
            fixes: target.fixes,
            error_m: Quantiles::of(target.error_m.clone()),
            error_ray_only_m: Quantiles::of(target.error_ray_m.clone()),
            ce90_m: Quantiles::of(target.ce90_m.clone()),
            within_ce90: (locked > 0).then(|| target.within_ce90() as f64 / locked as f64),
        })
    }
}
