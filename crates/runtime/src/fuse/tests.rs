//! The fusion, stepped by hand: what it says, and what it refuses to say.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use nalgebra::Vector2;
use smgeo_engine::{Maps, Posterior};
use smgeo_flow::{Clock, HandClock};
use smgeo_geo::{Covariance2, LatLon, RaySpread, TileWindow};
use smgeo_messages::PromptSource;

use super::*;

mod sureness;

const TARGET: TargetId = TargetId(1);

struct Bench {
    clock: Arc<HandClock>,
    prompts: watch::Sender<PromptSet>,
    evidence: Sender<Evidence>,
    tracks: broadcast::Receiver<Arc<Track>>,
    fuse: Fuse,
    frame: u64,
    /// Where the ray of the click met the ground.
    clicked: Option<LatLon>,
    /// Whether every frame shows the target from where the one before did.
    hovers: bool,
}

fn bench() -> Bench {
    let clock = HandClock::shared();
    let (prompts, prompts_seen) = watch::channel(PromptSet::default());
    let (evidence, evidence_taken) = bounded(64);
    let (tracks_sent, tracks) = broadcast::channel(256);
    let latency = crate::control::Metrics::new().latency("capture_to_publish");
    let fuse = Fuse::new(Config::default(), clock.clone(), prompts_seen, evidence_taken, tracks_sent, latency);
    let bench = Bench { clock, prompts, evidence, tracks, fuse, frame: 0, clicked: Some(place(3.0)), hovers: false };
    bench.click(1);
    bench
}

/// A place this many metres north of the bench's origin.
fn place(north_m: f64) -> LatLon {
    LatLon::new(25.0 + north_m / 110_770.0, 55.0).unwrap()
}

/// What all answers about the target have in common, metres.
const SHARED_SIGMA_M: f64 = 1.0;

fn found(north_m: f64, sigma_m: f64) -> Outcome {
    probable(0.98, north_m, sigma_m)
}

fn probable(score: f64, north_m: f64, sigma_m: f64) -> Outcome {
    let maps = Maps { width: 1, height: 1, heat: vec![4.0], boxes: vec![0.0; 4], attention: vec![0.0] };
    Outcome::Found(Box::new(Found {
        at: place(north_m),
        covariance: Covariance2::isotropic(sigma_m).unwrap(),
        shared: Covariance2::isotropic(SHARED_SIGMA_M).unwrap(),
        click: Covariance2::isotropic(0.3).unwrap(),
        bounds_deg: [55.0, 25.0, 55.0, 25.0],
        score,
        absent: 0.01,
        window: TileWindow::around(place(0.0), 18, 1, 1).unwrap(),
        posterior: Arc::new(Posterior::new(&maps, 16, 1.0).unwrap()),
    }))
}

impl Bench {
    fn click(&self, revision: u32) {
        let prompt = Prompt {
            target: TARGET,
            revision,
            frame: FrameId(0),
            frame_captured: self.clock.now(),
            click: Pixel::new(10.0, 10.0),
            sigma_px: 2.0,
            label: None,
            source: PromptSource::Exact,
            created: self.clock.now(),
        };
        self.prompts.send_replace(PromptSet { revision: u64::from(revision), targets: Arc::new([prompt]) });
    }

    /// Lets 200 ms pass, gives one answer, and returns what was published last.
    fn answer(&mut self, outcome: Outcome) -> Arc<Track> {
        self.answer_of(1, outcome)
    }

    fn answer_of(&mut self, revision: u32, outcome: Outcome) -> Arc<Track> {
        self.answer_along(place(3.0), revision, outcome)
    }

    /// The same with the ray of that frame meeting the ground at `ray_at`; none where there is no pose.
    fn answer_along(&mut self, ray_at: impl Into<Option<LatLon>>, revision: u32, outcome: Outcome) -> Arc<Track> {
        self.clock.advance(Duration::from_millis(200));
        self.frame += 1;
        // A hand's breadth to and fro is another view already.
        let overshoot = if self.hovers || self.frame.is_multiple_of(2) { 0.0 } else { 0.11 };
        let fix = |at: LatLon| RayFix { at, spread: steep(6.0, overshoot), range_m: 150.0 };
        let provenance = Provenance {
            imagery: "town".into(),
            imagery_date: None,
            imagery_hash: "0".to_owned(),
            model: "test".into(),
            model_hash: "00".into(),
            backend: "none".into(),
        };
        let detection = Detection {
            target: TARGET,
            revision,
            frame: FrameId(self.frame),
            captured: self.clock.now().minus(Duration::from_millis(50)),
            answered: self.clock.now(),
            outcome,
            ray: ray_at.into().map(fix),
            clicked: self.clicked.map(fix),
            pixel: Pixel::new(10.0, 10.0),
            telemetry_age: Some(Duration::from_millis(20)),
            provenance: Arc::new(provenance),
        };
        self.evidence.try_send(Evidence::Answered(Box::new(detection))).unwrap();
        self.step()
    }

    fn silence(&mut self, seconds: f64) -> Arc<Track> {
        self.clock.advance(Duration::from_secs_f64(seconds));
        self.step()
    }

    fn step(&mut self) -> Arc<Track> {
        self.fuse.step().unwrap();
        let mut last = None;
        while let Ok(track) = self.tracks.try_recv() {
            last = Some(track);
        }
        last.expect("a step publishes what is due")
    }

    fn locked(&mut self) -> Arc<Track> {
        (0..10).map(|_| self.answer(found(0.0, 2.0))).last().unwrap()
    }
}

/// A ray from nearly above.
fn steep(sigma_m: f64, overshoot: f64) -> RaySpread {
    RaySpread {
        covariance: Covariance2::isotropic(sigma_m).unwrap(),
        overshoot_ne: Vector2::new(0.0, overshoot),
        height_mean_m: 8.0,
    }
}

fn off_m(track: &Track) -> f64 {
    let at = track.estimate.as_ref().expect("a position").at;
    (at.lat_deg() - place(0.0).lat_deg()) * 110_770.0
}

#[test]
fn before_the_network_has_spoken_only_the_ray_is_given_and_says_so() {
    let track = bench().answer(Outcome::NotFound("it is not in the search window"));
    let estimate = track.estimate.as_ref().unwrap();
    assert_eq!((track.state, estimate.basis), (TrackState::Searching, Basis::Ray));
    assert_eq!(track.reason, Some("it is not in the search window"));
}

#[test]
fn answers_that_agree_lock_the_track() {
    let mut bench = bench();
    let track = bench.locked();
    assert_eq!((track.state, track.reason, track.fixes), (TrackState::Locked, None, 10));
    assert!(off_m(&track).abs() < 0.1);
}

#[test]
fn silence_makes_it_coast_and_then_lost_without_a_position() {
    let mut bench = bench();
    let locked_m = bench.locked().estimate.as_ref().unwrap().ce90_m;
    let coasting = bench.silence(4.0);
    assert_eq!(coasting.state, TrackState::Coasting);
    assert!(coasting.estimate.as_ref().unwrap().ce90_m > locked_m + 1.0);
    let lost = bench.silence(8.0);
    assert_eq!(lost.state, TrackState::Lost);
    assert!(lost.estimate.is_none());
}

#[test]
fn what_was_lost_is_locked_again_as_what_is_new_is() {
    let mut bench = bench();
    bench.locked();
    assert_eq!(bench.silence(12.0).state, TrackState::Lost);
    let states = (0..7).map(|_| bench.answer(found(0.0, 2.0)).state).collect::<Vec<_>>();
    let needed = Config::default().confirmations_min as usize - 1;
    assert!(states[..needed].iter().all(|state| *state == TrackState::Searching), "{states:?}");
    assert_eq!(states[needed..], vec![TrackState::Locked; 7 - needed]);
    // Enough to keep a lock is not enough to gain one.
    assert_eq!(bench.silence(12.0).state, TrackState::Lost);
    let track = (0..10).map(|_| bench.answer(probable(0.92, 0.0, 2.0))).last().unwrap();
    assert_eq!(track.state, TrackState::Searching);
}

#[test]
fn when_telemetry_ends_answers_confirm_no_longer() {
    let mut bench = bench();
    bench.locked();
    let track = (0..30).map(|_| bench.answer_along(None, 1, found(0.0, 2.0))).last().unwrap();
    assert_eq!((track.state, track.fixes), (TrackState::Coasting, 10));
    assert_eq!(track.reason, Some("without telemetry nothing confirms a place"));
}

#[test]
fn answers_within_a_moment_overturn_nothing_however_many_agree() {
    let mut bench = bench();
    bench.locked();
    // A smeared picture, until the next key frame.
    let track = (0..9).map(|_| bench.answer(found(30.0, 2.0))).last().unwrap();
    assert_eq!((track.state, track.fixes), (TrackState::Searching, 10), "{:?}", track.reason);
    assert!(off_m(&track) < 5.0, "the ray's, and not the answers'");
}

#[test]
fn one_far_answer_is_set_aside_and_those_of_two_seconds_that_agree_begin_anew() {
    let mut bench = bench();
    bench.locked();
    let track = bench.answer(found(30.0, 2.0));
    assert!(off_m(&track).abs() < 0.1);
    assert_eq!(track.fixes, 10);
    for _ in 0..9 {
        bench.answer(found(30.0, 2.0));
    }
    let track = bench.answer(found(30.0, 2.0));
    assert_eq!(track.state, TrackState::Searching, "a new belief must be confirmed before it is locked");
    let track = bench.locked_at(30.0);
    assert!((off_m(&track) - 30.0).abs() < 0.2);
}

impl Bench {
    fn locked_at(&mut self, north_m: f64) -> Arc<Track> {
        (0..5).map(|_| self.answer(found(north_m, 2.0))).last().unwrap()
    }
}

#[test]
fn an_answer_to_an_older_click_changes_nothing() {
    let mut bench = bench();
    bench.locked();
    bench.click(2);
    let track = bench.answer_of(1, found(0.0, 2.0));
    assert_eq!((track.revision, track.state, track.fixes), (2, TrackState::Searching, 0));
}

#[test]
fn an_unsure_answer_confirms_nothing() {
    let mut bench = bench();
    let Outcome::Found(mut unsure) = found(0.0, 2.0) else { unreachable!() };
    unsure.score = 0.05;
    let track = (0..10).map(|_| bench.answer(Outcome::Found(unsure.clone()))).last().unwrap();
    assert_eq!((track.state, track.fixes), (TrackState::Searching, 0));
}

#[test]
fn a_target_nobody_wants_any_more_is_not_published() {
    let mut bench = bench();
    bench.locked();
    bench.prompts.send_replace(PromptSet { revision: 9, targets: Arc::new([]) });
    bench.clock.advance(Duration::from_secs(1));
    bench.fuse.step().unwrap();
    assert!(bench.tracks.try_recv().is_err());
}

#[test]
fn a_target_that_following_led_away_from_its_click_is_never_locked_there() {
    let mut bench = bench();
    (0..4).for_each(|_| drop(bench.answer(found(0.0, 2.0))));
    // Another object, 116 m off: from now on ray and map agree on it, again and again.
    let tracks: Vec<_> = (0..120).map(|_| bench.answer_along(place(115.0), 1, found(116.0, 2.0))).collect();
    for track in &tracks {
        let at_the_other = track.estimate.as_ref().is_some_and(|e| e.at.lat_deg() > place(60.0).lat_deg());
        assert!(!at_the_other, "{:?} {:?}", track.state, track.reason);
    }
    let last = tracks.last().unwrap();
    assert_eq!(last.state, TrackState::Lost);
    assert_eq!(last.reason, Some("what is followed is not where it was clicked"));
}

#[test]
fn a_target_that_following_led_away_before_the_first_question_is_never_locked() {
    let mut bench = bench();
    let track = (0..40).map(|_| bench.answer_along(place(115.0), 1, found(116.0, 2.0))).last().unwrap();
    assert_eq!((track.state, track.fixes), (TrackState::Searching, 0));
    assert!(track.estimate.is_none(), "the ray of something else is no position of this");
}

#[test]
fn without_a_pose_at_the_moment_of_the_click_nothing_is_locked() {
    for (ray_at, reason) in [
        (Some(place(3.0)), "there was no pose at the moment of the click: click again"),
        (None, "without telemetry nothing confirms a place"),
    ] {
        let mut bench = bench();
        bench.clicked = None;
        let track = (0..20).map(|_| bench.answer_along(ray_at, 1, found(0.0, 2.0))).last().unwrap();
        assert_eq!((track.state, track.fixes), (TrackState::Searching, 0));
        assert_eq!(track.reason, Some(reason));
    }
}

#[test]
fn answers_that_the_place_is_another_make_a_lock_doubtful_however_far_off_they_are() {
    for against in [Outcome::Against("map and ray disagree"), found(400.0, 2.0)] {
        let mut bench = bench();
        assert_eq!(bench.locked().state, TrackState::Locked);
        let outcome = |index: u32| if index.is_multiple_of(3) { against.clone() } else { found(0.0, 2.0) };
        let track = (0..40).map(|index| bench.answer(outcome(index))).last().unwrap();
        assert_eq!(track.state, TrackState::Searching);
    }
}

#[test]
fn a_track_says_whether_the_map_lacks_tiles_or_cannot_be_read() {
    for (unread, reason) in [(0, "the map has no tiles there"), (1, "the map cannot be read there")] {
        let track = bench().answer(Outcome::NoMap { missing: 9, unread, of: 9 });
        assert_eq!(track.reason, Some(reason));
    }
}

#[test]
fn a_new_name_is_told_with_the_next_track() {
    let mut bench = bench();
    bench.locked();
    bench.prompts.send_modify(|set| {
        let renamed = Prompt { label: Some("tank".into()), ..set.targets[0].clone() };
        *set = PromptSet { revision: 5, targets: Arc::new([renamed]) };
    });
    let track = bench.answer(found(0.0, 2.0));
    assert_eq!((track.label.as_deref(), track.state), (Some("tank"), TrackState::Locked));
}

#[test]
fn a_frame_without_a_pose_tells_no_age_of_telemetry() {
    let mut bench = bench();
    bench.locked();
    let captured = bench.clock.now();
    let unseen =
        Evidence::Unseen { target: TARGET, frame: FrameId(99), captured, telemetry_age: None, reason: "out of sight" };
    bench.evidence.try_send(unseen).unwrap();
    assert_eq!(bench.step().telemetry_age, None);
}

#[test]
fn a_place_with_look_alikes_is_never_locked_however_often_it_is_found() {
    let mut bench = bench();
    bench.click(1);
    let track = (0..100).map(|_| bench.answer(probable(0.8, 0.0, 2.0))).last().unwrap();
    assert_eq!((track.state, track.reason), (TrackState::Searching, Some("other places look alike")));
    assert_eq!(track.estimate.as_ref().map(|estimate| estimate.basis), Some(Basis::Ray));
}

#[test]
fn a_lock_is_kept_at_a_probability_that_would_not_give_it() {
    for (locks_first, state) in [(true, TrackState::Locked), (false, TrackState::Searching)] {
        let mut bench = bench();
        bench.click(1);
        if locks_first {
            bench.locked();
        }
        let track = (0..100).map(|_| bench.answer(probable(0.92, 0.0, 2.0))).last().unwrap();
        assert_eq!(track.state, state);
    }
}

#[test]
fn answers_elsewhere_make_a_lock_doubtful() {
    let mut bench = bench();
    bench.click(1);
    assert_eq!(bench.locked().state, TrackState::Locked);
    // One in five points to another place, never enough of them in a row to overturn the track.
    let far = |index: u32| if index.is_multiple_of(5) { 20.0 } else { 0.0 };
    let track = (0..40).map(|index| bench.answer(found(far(index), 2.0))).last().unwrap();
    assert_eq!(track.state, TrackState::Searching);
}
