//! A flight over a town: a closed path of loops about its middle, flown at even speed, again and again. Everything in it
//! (path, height, pitch, sway) has the flight's period, so the end meets the start in place, attitude and speed. The path is
//! computed once and read by time, so any moment may be asked for in any order.

use std::f64::consts::{FRAC_PI_2, TAU};

use smgeo_geo::{Euler, Pose};

use crate::dice::Dice;
use crate::place::Place;
use crate::town::Town;

/// Between two points of the path, at most, seconds.
const STEP_S: f64 = 0.1;
/// A flight shorter than this could not turn as a drone does.
const PERIOD_S_MIN: f64 = 20.0;
/// The camera's heading and height follow the path with these time constants, seconds.
const YAW_FOLLOW_S: f64 = 2.2;
const HEIGHT_FOLLOW_S: f64 = 6.0;
/// Rounds flown before the one that is kept: what follows with a time constant has forgotten its start by then.
const ROUNDS_BEFORE: usize = 3;
/// Points the loops are drawn with before they are walked in even steps.
const DRAWN_A_LOOP: usize = 720;
/// Radius of a loop, m, from which the number of loops of a long flight follows.
const LOOP_RADIUS_M: f64 = 110.0;

/// A seeded flight: where the camera truly is at any time.
#[derive(Debug, Clone)]
pub struct Flight {
    speed_mps: f64,
    period_s: f64,
    // One period, the last state a whole number of turns after the first.
    states: Vec<State>,
    shake: [f64; 6],
    frame: smgeo_geo::LocalFrame,
}

/// East, north, up in metres; yaw (not wrapped) and pitch in radians.
#[derive(Debug, Clone, Copy)]
struct State {
    enu: [f64; 3],
    yaw: f64,
    pitch: f64,
}

impl Flight {
    /// A flight over a town, 80 to 150 m above the ground at 8 to 15 m/s, the camera 35 to 75 degrees down, that ends
    /// where it began after `period_s` seconds (20 at least).
    pub fn new(town: &Town, seed: u64, period_s: f64) -> Flight {
        let period_s = if period_s.is_finite() { period_s.max(PERIOD_S_MIN) } else { PERIOD_S_MIN };
        let mut dice = Dice::new(seed ^ crate::dice::mix(town.seed()), "flight");
        let speed_mps = f64::from(dice.range(8.0, 15.0));
        let path = evenly(&loops(&mut dice, speed_mps * period_s), (period_s / STEP_S).ceil() as usize);
        let states = follow(town, &mut dice, &path, period_s);
        let shake = std::array::from_fn(|_| f64::from(dice.range(0.0, std::f32::consts::TAU)));
        Flight { speed_mps, period_s, states, shake, frame: *town.frame() }
    }

    /// Speed over ground, m/s.
    pub fn speed_mps(&self) -> f64 {
        self.speed_mps
    }

    /// Seconds after which the flight begins again.
    pub fn period_s(&self) -> f64 {
        self.period_s
    }

    /// The true pose of the camera at a time in seconds.
    pub fn pose(&self, t_s: f64) -> Pose {
        let t_s = if t_s.is_finite() { t_s.rem_euclid(self.period_s) } else { 0.0 };
        let state = self.state(t_s);
        let position = self.frame.geodetic_from(state.enu.into()).unwrap_or(self.frame.origin());
        // What a gimbal leaves of the airframe's motion: tenths of a degree at about 1 Hz.
        let sway = |k: usize, rate: f64, amplitude_deg: f64| {
            let slow = (whole_rate(rate, self.period_s) * t_s + self.shake[k]).sin();
            let fast = (whole_rate(rate * 2.7, self.period_s) * t_s + self.shake[k + 1]).sin();
            amplitude_deg.to_radians() * (slow + 0.4 * fast)
        };
        let [yaw, pitch, roll] = [sway(0, 1.9, 0.25), sway(2, 2.6, 0.15), sway(4, 2.2, 0.2)];
        let angles = Euler { yaw_rad: wrapped(state.yaw + yaw), pitch_rad: state.pitch + pitch, roll_rad: roll };
        Pose::from_euler(position, angles)
    }

    /// The true velocity at a time: north, east, down, m/s.
    pub fn velocity_ned(&self, t_s: f64) -> [f64; 3] {
        let (a, b) = (self.state(t_s - STEP_S).enu, self.state(t_s + STEP_S).enu);
        let rate = |c: usize| (b[c] - a[c]) / (2.0 * STEP_S);
        [rate(1), rate(0), -rate(2)]
    }

    fn state(&self, t_s: f64) -> State {
        let steps = self.states.len() - 1;
        let phase = if t_s.is_finite() { t_s.rem_euclid(self.period_s) } else { 0.0 };
        let t = phase / self.period_s * steps as f64;
        let index = (t as usize).min(steps - 1);
        let part = t - index as f64;
        let (a, b) = (self.states[index], self.states[index + 1]);
        let between = |a: f64, b: f64| a + (b - a) * part;
        State {
            enu: std::array::from_fn(|c| between(a.enu[c], b.enu[c])),
            yaw: between(a.yaw, b.yaw),
            pitch: between(a.pitch, b.pitch),
        }
    }
}

/// The rate, rad/s, nearest to `rate` with which a swing repeats after a period.
fn whole_rate(rate: f64, period_s: f64) -> f64 {
    TAU / period_s * (rate * period_s / TAU).round().max(1.0)
}

/// A closed path `length_m` long: one rounded loop, or for a long flight several loops whose middle goes round the town's.
fn loops(dice: &mut Dice, length_m: f64) -> Vec<[f64; 2]> {
    let count = (length_m / (TAU * LOOP_RADIUS_M)).round().max(1.0);
    let turn = Place::turned([0.0, 0.0], dice.range(0.0, std::f32::consts::TAU));
    let way = if dice.chance(0.5) { 1.0 } else { -1.0 };
    // A loop with three soft corners; several of them are carried round a circle as large as they are.
    let corners = f64::from(dice.range(0.08, 0.16));
    let carried = if count > 1.0 { f64::from(dice.range(0.8, 1.1)) } else { 0.0 };
    let points = DRAWN_A_LOOP * count as usize;
    let drawn: Vec<[f64; 2]> = (0..points)
        .map(|k| {
            let round = TAU * k as f64 / points as f64;
            let angle = count * round;
            let x = angle.cos() + corners * (2.0 * angle).cos() + carried * round.cos();
            let y = angle.sin() - corners * (2.0 * angle).sin() + carried * round.sin();
            [x, way * y]
        })
        .collect();
    let scale = length_m / length(&drawn);
    let place = |[x, y]: [f64; 2]| turn.point((x * scale) as f32, (y * scale) as f32).map(f64::from);
    drawn.into_iter().map(place).collect()
}

/// Length of a closed path.
fn length(path: &[[f64; 2]]) -> f64 {
    closed(path).map(|(a, b)| (b[0] - a[0]).hypot(b[1] - a[1])).sum()
}

fn closed(path: &[[f64; 2]]) -> impl Iterator<Item = (&[f64; 2], &[f64; 2])> {
    path.iter().zip(path.iter().cycle().skip(1))
}

/// The same closed path in `count` steps of one length.
fn evenly(path: &[[f64; 2]], count: usize) -> Vec<[f64; 2]> {
    let step_m = length(path) / count as f64;
    let mut even = Vec::with_capacity(count);
    let mut left = 0.0;
    for (a, b) in closed(path) {
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        while left <= length && even.len() < count {
            let part = left / length;
            even.push(std::array::from_fn(|c| a[c] + (b[c] - a[c]) * part));
            left += step_m;
        }
        left -= length;
    }
    even
}

/// Lets the camera follow the path: heading and height lag, pitch swings slowly, and the camera looks somewhat inwards.
fn follow(town: &Town, dice: &mut Dice, path: &[[f64; 2]], period_s: f64) -> Vec<State> {
    let above = f64::from(dice.range(90.0, 135.0));
    let swing = f64::from(dice.range(5.0, 14.0));
    let pitch_rate = whole_rate(f64::from(dice.range(0.09, 0.16)), period_s);
    let height_rate = whole_rate(f64::from(dice.range(0.03, 0.06)), period_s);
    let phase = f64::from(dice.range(0.0, std::f32::consts::TAU));
    let inwards = f64::from(dice.range(0.2, 0.9)) * turning(path).signum();
    let ground = |at: [f64; 2]| f64::from(town.relief.height(at[0] as f32, at[1] as f32));
    let step_s = period_s / path.len() as f64;
    let compass = |k: usize| {
        let (a, b) = (path[k % path.len()], path[(k + 1) % path.len()]);
        FRAC_PI_2 - (b[1] - a[1]).atan2(b[0] - a[0]) - inwards
    };
    let (mut up, mut yaw) = (ground(path[0]) + above, compass(0));
    let rounds = (0..=(ROUNDS_BEFORE + 1) * path.len()).map(|k| {
        let (t, at) = (k as f64 * step_s, path[k % path.len()]);
        yaw += wrapped(compass(k) - yaw) * step_s / YAW_FOLLOW_S;
        let wanted = ground(at) + (above + swing * (height_rate * t + phase).sin()).clamp(82.0, 148.0);
        up += (wanted - up) * step_s / HEIGHT_FOLLOW_S;
        let pitch = -55.0 + 18.0 * (pitch_rate * t + phase).sin();
        State { enu: [at[0], at[1], up], yaw, pitch: pitch.to_radians() }
    });
    rounds.skip(ROUNDS_BEFORE * path.len()).collect()
}

/// Twice the area that a closed path encloses, positive if it turns left.
fn turning(path: &[[f64; 2]]) -> f64 {
    closed(path).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum()
}

fn wrapped(angle: f64) -> f64 {
    (angle + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0
}
