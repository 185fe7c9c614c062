//! A flight over a town: survey legs joined by half circles, with an orbit inside some legs, flown at even speed. The
//! path is computed once and read by time, so any moment may be asked for in any order.

use smgeo_geo::{Euler, Pose};

use crate::dice::Dice;
use crate::place::Place;
use crate::town::Town;

const STEP_S: f64 = 0.1;
/// How long a flight is before it is flown back the same way, seconds.
const LENGTH_S: f64 = 900.0;
/// The camera's heading and height follow the path with these time constants, seconds.
const YAW_FOLLOW_S: f64 = 2.2;
const HEIGHT_FOLLOW_S: f64 = 6.0;

/// A seeded flight: where the camera truly is at any time.
#[derive(Debug, Clone)]
pub struct Flight {
    speed_mps: f64,
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

/// A point of the path: ENU, heading, and how far to turn the camera off the heading.
#[derive(Clone, Copy)]
struct Way {
    at: [f32; 2],
    heading: f64,
    look_aside: f64,
}

impl Flight {
    /// A flight over a town, 80 to 150 m above the ground at 8 to 15 m/s, the camera 35 to 75 degrees down.
    pub fn new(town: &Town, seed: u64) -> Flight {
        let mut dice = Dice::new(seed ^ crate::dice::mix(town.seed()), "flight");
        let speed_mps = f64::from(dice.range(8.0, 15.0));
        let ways = ways(&mut dice, speed_mps * STEP_S);
        let states = follow(town, &mut dice, &ways);
        let shake = std::array::from_fn(|_| f64::from(dice.range(0.0, std::f32::consts::TAU)));
        Flight { speed_mps, states, shake, frame: *town.frame() }
    }

    /// Speed over ground, m/s.
    pub fn speed_mps(&self) -> f64 {
        self.speed_mps
    }

    /// Seconds until the flight turns back on its own path.
    pub fn length_s(&self) -> f64 {
        (self.states.len() - 1) as f64 * STEP_S
    }

    /// The true pose of the camera at a time in seconds. Beyond the end the path is flown back, and so on.
    pub fn pose(&self, t_s: f64) -> Pose {
        let t_s = if t_s.is_finite() { t_s } else { 0.0 };
        let state = self.state(t_s);
        let position = self.frame.geodetic_from(state.enu.into()).unwrap_or(self.frame.origin());
        // What a gimbal leaves of the airframe's motion: tenths of a degree at about 1 Hz.
        let sway = |k: usize, rate: f64, amplitude_deg: f64| {
            let slow = (t_s * rate + self.shake[k]).sin();
            let fast = (t_s * rate * 2.7 + self.shake[k + 1]).sin();
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
        let length = self.length_s();
        let phase = if t_s.is_finite() { t_s.rem_euclid(2.0 * length) } else { 0.0 };
        let t = if phase > length { 2.0 * length - phase } else { phase } / STEP_S;
        let index = (t as usize).min(self.states.len() - 2);
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

/// Legs up and down a square about the middle of the town, one point a step.
fn ways(dice: &mut Dice, step_m: f64) -> Vec<Way> {
    let count = (LENGTH_S / STEP_S) as usize;
    let turn = dice.range(0.0, std::f32::consts::TAU);
    let square = Place::turned([0.0, 0.0], turn);
    let half = dice.range(190.0, 260.0);
    let radius = dice.range(32.0, 55.0);
    let mut ways = Vec::with_capacity(count);
    let (mut x, mut side) = (-half, 1.0f32);
    let mut along = -half;
    let mut across = 1.0f32;
    while ways.len() < count {
        // A leg, with an orbit somewhere along it every other time.
        let orbit_at = dice.chance(0.5).then(|| dice.range(-0.5, 0.5) * half);
        let orbit_radius = dice.range(60.0, 110.0) * if x > 0.0 { -side } else { side };
        let mut left = orbit_at;
        while along * side < half {
            let heading = square.moved(x, along, std::f32::consts::FRAC_PI_2 * side);
            ways.push(Way { at: heading.at, heading: f64::from(heading.angle_rad()), look_aside: 0.0 });
            if let Some(start) = left.filter(|start| along * side >= start * side) {
                circle(&mut ways, &heading, -orbit_radius, std::f32::consts::TAU, step_m as f32, 1.1);
                left = None;
                along = start;
            }
            along += side * step_m as f32;
        }
        along = half * side;
        if (x + across * 2.0 * radius).abs() > half + radius {
            across = -across;
        }
        let end = square.moved(x, along, std::f32::consts::FRAC_PI_2 * side);
        circle(&mut ways, &end, -side * across * radius, std::f32::consts::PI, step_m as f32, 0.0);
        x += across * 2.0 * radius;
        side = -side;
    }
    evenly(&ways, step_m)
}

/// The same path in steps of one length, for legs and arcs do not end on a whole step.
fn evenly(ways: &[Way], step_m: f64) -> Vec<Way> {
    let mut even = vec![ways[0]];
    let mut left = step_m;
    for pair in ways.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let length = f64::from((b.at[0] - a.at[0]).hypot(b.at[1] - a.at[1]));
        while left <= length {
            let part = left / length;
            let mixed = |c: usize| a.at[c] + (b.at[c] - a.at[c]) * part as f32;
            let heading = a.heading + wrapped(b.heading - a.heading) * part;
            even.push(Way { at: [mixed(0), mixed(1)], heading, look_aside: b.look_aside });
            left += step_m;
        }
        left -= length;
    }
    even
}

/// An arc that leaves `start` straight ahead and turns left for a positive radius, right for a negative one.
fn circle(ways: &mut Vec<Way>, start: &Place, radius: f32, sweep: f32, step_m: f32, look_aside: f64) {
    let steps = (sweep * radius.abs() / step_m).ceil() as usize;
    let sign = radius.signum();
    for k in 1..=steps {
        let angle = sweep * k as f32 / steps as f32;
        let place = start.moved(radius.abs() * angle.sin(), radius * (1.0 - angle.cos()), sign * angle);
        ways.push(Way {
            at: place.at,
            heading: f64::from(place.angle_rad()),
            look_aside: look_aside * f64::from(sign),
        });
    }
}

/// Lets the camera follow the path: heading and height lag, pitch swings slowly.
fn follow(town: &Town, dice: &mut Dice, ways: &[Way]) -> Vec<State> {
    let above = f64::from(dice.range(90.0, 135.0));
    let swing = f64::from(dice.range(5.0, 14.0));
    let (pitch_rate, height_rate) = (f64::from(dice.range(0.09, 0.16)), f64::from(dice.range(0.03, 0.06)));
    let phase = f64::from(dice.range(0.0, std::f32::consts::TAU));
    let ground = |at: [f32; 2]| f64::from(town.relief.height(at[0], at[1]));
    let mut up = ground(ways[0].at) + above;
    let mut yaw = compass(&ways[0]);
    ways.iter()
        .enumerate()
        .map(|(k, way)| {
            let t = k as f64 * STEP_S;
            yaw += wrapped(compass(way) - yaw) * STEP_S / YAW_FOLLOW_S;
            let wanted = ground(way.at) + (above + swing * (height_rate * t + phase).sin()).clamp(82.0, 148.0);
            up += (wanted - up) * STEP_S / HEIGHT_FOLLOW_S;
            let pitch = -55.0 + 18.0 * (pitch_rate * t + phase).sin();
            State { enu: [f64::from(way.at[0]), f64::from(way.at[1]), up], yaw, pitch: pitch.to_radians() }
        })
        .collect()
}

/// Clockwise from north, with the look aside.
fn compass(way: &Way) -> f64 {
    std::f64::consts::FRAC_PI_2 - way.heading - way.look_aside
}

fn wrapped(angle: f64) -> f64 {
    let turn = std::f64::consts::TAU;
    (angle + turn / 2.0).rem_euclid(turn) - turn / 2.0
}
