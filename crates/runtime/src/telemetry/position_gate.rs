//! Doubts positions: those that jump, stand still while the vehicle says it moves, or drift against its velocity.
//!
//! A receiver that is jammed or spoofed looks healthy. So a position that cannot follow from the last ones is held back; only
//! when the new place repeats for some seconds is it taken, and then every pose that rests on it says so for a while. A
//! return to the old place clears it at once.

use std::collections::VecDeque;
use std::time::Duration;

use nalgebra::Vector3;
use smgeo_flow::Stamp;

/// Metres that a position may be off in any case: receivers step by some metres when satellites change.
const STEP_M: f64 = 15.0;
/// A new place must repeat for so long before it is taken.
const SETTLE: Duration = Duration::from_secs(3);
/// So long after a jump the old place is still where the vehicle's velocity then leads; later it may be anywhere.
const RETURN_MAX: Duration = Duration::from_secs(30);
/// Poses are doubted for so long after a new place was taken, unless a return clears it.
const DOUBT: Duration = Duration::from_secs(600);
/// The acceleration that a vehicle may show between two positions, m/s².
const ACCELERATION_MPS2: f64 = 10.0;
/// The stretch over which motion is compared with the told velocity.
const COMPARE: Duration = Duration::from_secs(3);
/// The difference between motion and told velocity that is doubted, m/s.
const MISMATCH_MPS: f64 = 3.0;
/// Below this told speed a position may stand still to the last bit.
const STILL_MPS: f64 = 1.0;

/// Says why a position is doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It came to another place in no time.
    Jumped,
    /// It stands still while the vehicle says that it moves.
    Frozen,
    /// It moves otherwise than the vehicle says.
    Drifts,
}

impl Suspicion {
    /// Returns a short constant phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Jumped => "position jumped",
            Self::Frozen => "position frozen",
            Self::Drifts => "position drifts against velocity",
        }
    }
}

/// Watches the positions of one vehicle.
#[derive(Clone, Debug)]
pub struct PositionGate {
    speed_mps_max: f64,
    trusted: Option<Fix>,
    held: Option<Held>,
    recent: VecDeque<Fix>,
    doubted_until: Option<Stamp>,
    // Where the vehicle was before a new place was taken, to recognise a return.
    before_jump: Option<Fix>,
}

#[derive(Clone, Copy, Debug)]
struct Fix {
    at: Stamp,
    ecef_m: Vector3<f64>,
    velocity_ecef_mps: Option<Vector3<f64>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: Stamp,
    last: Fix,
}

impl PositionGate {
    /// Makes a gate for a vehicle that is no faster than `speed_mps_max`.
    pub fn new(speed_mps_max: f64) -> Self {
        Self {
            speed_mps_max,
            trusted: None,
            held: None,
            recent: VecDeque::new(),
            doubted_until: None,
            before_jump: None,
        }
    }

    /// Takes in a position, and says whether it may be used. Positions come in order of time; earth-centred, metres.
    pub fn admits(&mut self, at: Stamp, ecef_m: Vector3<f64>, velocity_ecef_mps: Option<Vector3<f64>>) -> bool {
        let fix = Fix { at, ecef_m, velocity_ecef_mps };
        match self.trusted {
            Some(trusted) if !self.follows(&trusted, &fix) => self.returns(fix) || self.settles(fix),
            _ => {
                self.held = None;
                self.trusted = Some(fix);
                self.remember(fix);
                true
            }
        }
    }

    /// Ends the doubt after a jump.
    fn clear_doubt(&mut self) {
        (self.doubted_until, self.before_jump) = (None, None);
    }

    /// Says what speaks against the newest positions.
    pub fn suspicion(&self, now: Stamp) -> Option<Suspicion> {
        if self.held.is_some() || self.doubted_until.is_some_and(|until| now < until) {
            return Some(Suspicion::Jumped);
        }
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let span_s = last.at.seconds_after(first.at);
        if span_s < 0.8 * COMPARE.as_secs_f64() {
            return None;
        }
        let told: Vec<Vector3<f64>> = self.recent.iter().filter_map(|fix| fix.velocity_ecef_mps).collect();
        if told.is_empty() {
            return None;
        }
        let told_mps = told.iter().sum::<Vector3<f64>>() / told.len() as f64;
        let moved_m = last.ecef_m - first.ecef_m;
        if moved_m == Vector3::zeros() && told_mps.norm() > STILL_MPS {
            return Some(Suspicion::Frozen);
        }
        ((moved_m / span_s - told_mps).norm() > MISMATCH_MPS).then_some(Suspicion::Drifts)
    }

    fn follows(&self, earlier: &Fix, later: &Fix) -> bool {
        let after_s = later.at.seconds_after(earlier.at).max(0.0);
        let reach_m = match (self.held, earlier.velocity_ecef_mps) {
            (None, None) => STEP_M + self.speed_mps_max * after_s,
            (None, Some(_)) => {
                let turn_m = (0.5 * ACCELERATION_MPS2 * after_s * after_s).min(self.speed_mps_max * after_s);
                STEP_M + MISMATCH_MPS * after_s + turn_m
            }
            // The reach must not grow over a jump merely because time passes.
            (Some(_), _) => STEP_M + MISMATCH_MPS * after_s,
        };
        off_course_m(earlier, later) <= reach_m
    }

    /// Says whether a position that jumped lies where the vehicle was before an earlier jump.
    fn returns(&mut self, fix: Fix) -> bool {
        let Some(before) = self.before_jump else { return false };
        let after_s = fix.at.seconds_after(before.at).max(0.0);
        let is_back =
            after_s <= RETURN_MAX.as_secs_f64() && off_course_m(&before, &fix) <= STEP_M + 2.0 * MISMATCH_MPS * after_s;
        if is_back {
            self.clear_doubt();
            self.trust_anew(fix);
        }
        is_back
    }

    /// Holds a position at a new place back until the place has repeated for long enough.
    fn settles(&mut self, fix: Fix) -> bool {
        let held = match self.held {
            Some(held) if self.follows(&held.last, &fix) => Held { last: fix, ..held },
            _ => Held { since: fix.at, last: fix },
        };
        self.held = Some(held);
        if fix.at.since(held.since) < SETTLE {
            return false;
        }
        self.before_jump = self.trusted;
        self.doubted_until = Some(fix.at.plus(DOUBT));
        self.trust_anew(fix);
        true
    }

    fn trust_anew(&mut self, fix: Fix) {
        (self.trusted, self.held) = (Some(fix), None);
        self.recent.clear();
        self.remember(fix);
    }

    fn remember(&mut self, fix: Fix) {
        self.recent.push_back(fix);
        while self.recent.front().is_some_and(|first| fix.at.since(first.at) > COMPARE) {
            self.recent.pop_front();
        }
    }
}

/// The distance of a position from where the earlier one and its velocity lead.
fn off_course_m(earlier: &Fix, later: &Fix) -> f64 {
    let after_s = later.at.seconds_after(earlier.at).max(0.0);
    let moved_m = earlier.velocity_ecef_mps.unwrap_or_default() * after_s;
    (later.ecef_m - earlier.ecef_m - moved_m).norm()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAST_MPS: f64 = 12.0;

    fn at(second: f64) -> Stamp {
        Stamp::from_ns((second * 1e9) as u64)
    }

    /// Flies east at 12 m/s, 10 positions a second; `shifted` says how far off a position is at a time.
    fn fly(gate: &mut PositionGate, from_s: f64, to_s: f64, shifted: impl Fn(f64) -> Vector3<f64>) -> Vec<bool> {
        let count = ((to_s - from_s) * 10.0).round() as usize;
        (0..count)
            .map(|step| {
                let now_s = from_s + step as f64 * 0.1;
                let place = Vector3::new(6_378_137.0, EAST_MPS * now_s, 0.0) + shifted(now_s);
                gate.admits(at(now_s), place, Some(Vector3::new(0.0, EAST_MPS, 0.0)))
            })
            .collect()
    }

    fn still(_: f64) -> Vector3<f64> {
        Vector3::zeros()
    }

    fn north(metres: f64) -> impl Fn(f64) -> Vector3<f64> {
        move |_| Vector3::new(0.0, 0.0, metres)
    }

    #[test]
    fn an_honest_flight_is_never_doubted() {
        let mut gate = PositionGate::new(60.0);
        let weave = |now_s: f64| Vector3::new(0.0, 0.0, 2.0 * (now_s * 0.7).sin());
        assert!(fly(&mut gate, 0.0, 60.0, weave).iter().all(|admitted| *admitted));
        assert_eq!(gate.suspicion(at(60.0)), None);
    }

    #[test]
    fn a_jump_is_held_back_then_taken_in_doubt() {
        for metres in [40.0, 200.0, 2_000.0] {
            let mut gate = PositionGate::new(60.0);
            fly(&mut gate, 0.0, 10.0, still);
            let held = fly(&mut gate, 10.0, 12.9, north(metres));
            assert!(held.iter().all(|admitted| !admitted), "{metres}");
            assert_eq!(gate.suspicion(at(12.9)), Some(Suspicion::Jumped));
            let later = fly(&mut gate, 12.9, 30.0, north(metres));
            assert_eq!(later.last(), Some(&true), "{metres}");
            assert_eq!(gate.suspicion(at(30.0)), Some(Suspicion::Jumped), "{metres}");
        }
    }

    #[test]
    fn a_return_clears_the_doubt_at_once() {
        for seconds in [0.5, 20.0] {
            let mut gate = PositionGate::new(60.0);
            fly(&mut gate, 0.0, 10.0, still);
            fly(&mut gate, 10.0, 10.0 + seconds, north(2_000.0));
            let back = fly(&mut gate, 10.0 + seconds, 11.0 + seconds, still);
            assert!(back.iter().all(|admitted| *admitted), "{seconds}");
            assert_eq!(gate.suspicion(at(11.0 + seconds)), None, "{seconds}");
        }
    }

    #[test]
    fn long_after_a_jump_another_one_is_no_return() {
        for metres in [0.0, 300.0] {
            let mut gate = PositionGate::new(60.0);
            fly(&mut gate, 0.0, 10.0, still);
            fly(&mut gate, 10.0, 110.0, north(2_000.0));
            let next = fly(&mut gate, 110.0, 112.0, north(metres));
            assert!(next.iter().all(|admitted| !admitted), "{metres}");
            assert_eq!(gate.suspicion(at(112.0)), Some(Suspicion::Jumped), "{metres}");
        }
    }

    #[test]
    fn a_position_that_stands_while_the_vehicle_moves_is_doubted() {
        let mut gate = PositionGate::new(60.0);
        fly(&mut gate, 0.0, 10.0, still);
        fly(&mut gate, 10.0, 14.0, |now_s| Vector3::new(0.0, -EAST_MPS * (now_s - 10.0), 0.0));
        assert!(gate.suspicion(at(14.0)).is_some());
    }

    #[test]
    fn a_slow_pull_against_the_velocity_is_doubted() {
        let mut gate = PositionGate::new(60.0);
        fly(&mut gate, 0.0, 10.0, still);
        fly(&mut gate, 10.0, 15.0, |now_s| Vector3::new(0.0, 0.0, 5.0 * (now_s - 10.0)));
        assert_eq!(gate.suspicion(at(15.0)), Some(Suspicion::Drifts));
    }
}
