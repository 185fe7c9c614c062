//! What the drone's sensors say: the true pose, wrong by a bias that holds for the flight and by noise that is new at
//! every sample, both drawn from stated sigmas. A reading depends on its number alone, so it may be asked for again.

use nalgebra::Vector3;
use smgeo_geo::{Euler, Geodetic, LocalFrame, Pose, PoseSigma};

use crate::dice::{Dice, mix};
use crate::flight::Flight;

/// How wrong the sensors are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensorSigma {
    /// Of the error that stays for a whole flight.
    pub bias: PoseSigma,
    /// Of the error that is new at every sample.
    pub noise: PoseSigma,
}

impl Default for SensorSigma {
    /// A small drone with GNSS, compass and a stabilised gimbal.
    fn default() -> SensorSigma {
        let deg = |angle: f64| angle.to_radians();
        SensorSigma {
            bias: PoseSigma {
                yaw_rad: deg(2.5),
                pitch_rad: deg(0.7),
                roll_rad: deg(0.5),
                horizontal_m: 1.6,
                vertical_m: 2.5,
            },
            noise: PoseSigma {
                yaw_rad: deg(0.3),
                pitch_rad: deg(0.1),
                roll_rad: deg(0.1),
                horizontal_m: 0.25,
                vertical_m: 0.3,
            },
        }
    }
}

impl SensorSigma {
    /// Bias and noise together: what a consumer has to reckon with.
    pub fn total(&self) -> PoseSigma {
        let (a, b) = (&self.bias, &self.noise);
        PoseSigma {
            yaw_rad: a.yaw_rad.hypot(b.yaw_rad),
            pitch_rad: a.pitch_rad.hypot(b.pitch_rad),
            roll_rad: a.roll_rad.hypot(b.roll_rad),
            horizontal_m: a.horizontal_m.hypot(b.horizontal_m),
            vertical_m: a.vertical_m.hypot(b.vertical_m),
        }
    }
}

/// The sensors of one flight.
#[derive(Debug, Clone)]
pub struct Sensor {
    seed: u64,
    sigma: SensorSigma,
    rate_hz: f64,
    bias: Error,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When it was taken, seconds into the flight.
    pub t_s: f64,
    /// The measured pose.
    pub pose: Pose,
    /// The measured velocity north, east, down, m/s.
    pub velocity_ned: [f64; 3],
}

#[derive(Debug, Clone, Copy)]
struct Error {
    yaw: f64,
    pitch: f64,
    roll: f64,
    enu: Vector3<f64>,
}

impl Sensor {
    /// Sensors that sample `rate_hz` times a second (held to 1 to 200), errors drawn by `seed`.
    pub fn new(seed: u64, sigma: SensorSigma, rate_hz: f64) -> Sensor {
        let rate_hz = if rate_hz.is_finite() { rate_hz.clamp(1.0, 200.0) } else { 10.0 };
        Sensor { seed, sigma, rate_hz, bias: Error::draw(&mut Dice::new(seed, "sensor bias"), &sigma.bias) }
    }

    /// The stated sigmas.
    pub fn sigma(&self) -> SensorSigma {
        self.sigma
    }

    /// Samples a second.
    pub fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    /// Sample `index` of a flight.
    pub fn reading(&self, flight: &Flight, index: u64) -> Reading {
        let t_s = index as f64 / self.rate_hz;
        Reading { t_s, pose: self.measured(&flight.pose(t_s), index), velocity_ned: flight.velocity_ned(t_s) }
    }

    /// A true pose as sample `index` measures it.
    pub fn measured(&self, truth: &Pose, index: u64) -> Pose {
        let noise = Error::draw(&mut Dice::new(self.seed ^ mix(index), "sensor noise"), &self.sigma.noise);
        let angles = truth.euler();
        let here = LocalFrame::new(truth.position);
        let position: Geodetic = here.geodetic_from(self.bias.enu + noise.enu).unwrap_or(truth.position);
        let wrong = Euler {
            yaw_rad: angles.yaw_rad + self.bias.yaw + noise.yaw,
            pitch_rad: angles.pitch_rad + self.bias.pitch + noise.pitch,
            roll_rad: angles.roll_rad + self.bias.roll + noise.roll,
        };
        Pose::from_euler(position, wrong)
    }
}

impl Error {
    fn draw(dice: &mut Dice, sigma: &PoseSigma) -> Error {
        Error {
            yaw: sigma.yaw_rad * dice.normal(),
            pitch: sigma.pitch_rad * dice.normal(),
            roll: sigma.roll_rad * dice.normal(),
            enu: Vector3::new(
                sigma.horizontal_m * dice.normal(),
                sigma.horizontal_m * dice.normal(),
                sigma.vertical_m * dice.normal(),
            ),
        }
    }
}
