//! The camera's pose at any moment of the last seconds.
//!
//! Position, airframe and gimbal are told at different moments and rates. Each is kept in its own row and interpolated at the
//! asked moment: position along the straight line, attitude along the great arc. Past the newest sample a pose is carried
//! on for a short, limited time. Its sigmas grow there, and in the middle between samples; over a gap there is none, and the answer
//! says what is missing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use nalgebra::{UnitQuaternion, Vector3};
use smgeo_flow::Stamp;
use smgeo_geo::attitude::frd_from_camera;
use smgeo_geo::local_frame::ned_from_ecef;
use smgeo_geo::{Euler, Geodetic, Pose, PoseSigma};
use smgeo_messages::{GimbalAttitude, Telemetry, Told, VehiclePosition, YawFrame};

use super::row::{Between, Row};
use super::{Mount, NoPose, PoseConfig, PositionGate, Rejected, Suspicion};

/// A sample may claim to be so much newer than the moment it is put in: the error of a sender's clock.
const AHEAD_MAX: Duration = Duration::from_millis(500);
/// Heights beyond these, above the ellipsoid, are no drone's.
const HEIGHT_M: std::ops::RangeInclusive<f64> = -1_000.0..=20_000.0;

/// Zooms are told once a second or on change: enough for the seconds that are kept.
const VIEWS_MAX: usize = 64;
/// What a vehicle may accelerate unseen, one sigma, m/s².
const CARRIED_MPS2: f64 = 3.0;
/// How fast a gimbal may turn unseen, one sigma, rad/s.
const CARRIED_RPS: f64 = 0.5;

/// Is the camera's pose at a moment.
#[derive(Clone, Copy, Debug)]
pub struct PoseAt {
    /// The pose.
    pub pose: Pose,
    /// Its standard deviations, with what the moment's distance from the samples adds.
    pub sigma: PoseSigma,
    /// The largest distance in time from a sample that the pose rests on.
    pub age: Duration,
    /// Whether it lies past the newest sample.
    pub extrapolated: bool,
    /// What speaks against the position.
    pub suspicion: Option<Suspicion>,
    /// The vehicle's velocity over ground, north, east, down, m/s.
    pub velocity_ned_mps: Option<[f64; 3]>,
    /// Where the nose points, clockwise from north, radians, where the airframe's attitude is told.
    pub heading_rad: Option<f64>,
}

/// Counts refused samples by cause.
pub type RejectedCounts = BTreeMap<&'static str, u64>;

/// Is the field of view as the camera told it last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldOfView {
    /// Horizontal, radians.
    pub horizontal_rad: f64,
    /// Vertical, radians, where told.
    pub vertical_rad: Option<f64>,
    /// The moment it was told for.
    pub at: Stamp,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    ecef_m: Vector3<f64>,
    velocity_ned_mps: Option<[f64; 3]>,
}

/// Keeps the last seconds of telemetry.
pub struct PoseBuffer {
    config: PoseConfig,
    places: Row<Place>,
    airframes: Row<UnitQuaternion<f64>>,
    gimbals: Row<GimbalAttitude>,
    views: VecDeque<FieldOfView>,
    accuracy_m: Option<(f64, f64)>,
    time_sigma_s: f64,
    gate: PositionGate,
    rejected: RejectedCounts,
    newest: Option<Stamp>,
}

impl PoseBuffer {
    /// Makes an empty buffer.
    pub fn new(config: PoseConfig) -> Self {
        let keep = Duration::from_secs_f64(config.keep_s.clamp(1.0, 600.0));
        Self {
            gate: PositionGate::new(config.speed_mps_max),
            places: Row::new("position", keep),
            airframes: Row::new("attitude", keep),
            gimbals: Row::new("gimbal attitude", keep),
            views: VecDeque::new(),
            accuracy_m: None,
            time_sigma_s: 0.0,
            rejected: RejectedCounts::new(),
            newest: None,
            config,
        }
    }

    /// Takes in a sample at the moment `now`; what is refused is counted.
    pub fn put(&mut self, sample: &Telemetry, now: Stamp) -> Result<(), Rejected> {
        let result = if sample.at > now.plus(AHEAD_MAX) { Err(Rejected::Future) } else { self.admit(sample) };
        match result {
            Ok(()) => {
                self.newest = self.newest.max(Some(sample.at));
                self.time_sigma_s = sample.at_sigma.as_secs_f64();
            }
            Err(rejected) => *self.rejected.entry(rejected.word()).or_default() += 1,
        }
        result
    }

    /// Counts refused samples by cause.
    pub fn rejected(&self) -> &RejectedCounts {
        &self.rejected
    }

    /// The moment of the newest sample of any kind.
    pub fn newest(&self) -> Option<Stamp> {
        self.newest
    }

    /// Says what speaks against the vehicle's positions now.
    pub fn suspicion(&self, now: Stamp) -> Option<Suspicion> {
        self.gate.suspicion(now)
    }

    /// Returns the field of view as told last before `at`, if any was ever told. One that is too old says nothing: since then the
    /// camera may have zoomed.
    pub fn field_of_view_at(&self, at: Stamp) -> Result<Option<FieldOfView>, NoPose> {
        let told = self.views.iter().rev().find(|view| view.at <= at).or(self.views.front()).copied();
        let age_s = told.map_or(0.0, |told| at.since(told.at).as_secs_f64());
        if age_s > self.config.field_of_view_age_s_max {
            return Err(NoPose::Old { what: "field of view", age_ms: age_s * 1e3 });
        }
        Ok(told)
    }

    /// Returns the camera's pose at a moment that is itself known to one standard deviation `at_sigma`, or says why there is
    /// none.
    pub fn pose_at(&self, at: Stamp, at_sigma: Duration) -> Result<PoseAt, NoPose> {
        let place = self.between(&self.places, at)?;
        let (turn, turn_age) = self.camera_turn(at)?;
        let ecef_m = ecef_at(&place);
        let position = Geodetic::from_ecef(ecef_m).map_err(|_| NoPose::Silent("position"))?;
        let pose = Pose { position, ned_from_camera: turn * frd_from_camera() };
        let age = place.age.max(turn_age.age);
        Ok(PoseAt {
            pose,
            sigma: self.sigma(&place, &turn_age, at_sigma),
            age,
            extrapolated: place.is_past || turn_age.is_past,
            suspicion: self.gate.suspicion(at),
            velocity_ned_mps: place.earlier.velocity_ned_mps,
            heading_rad: self.between(&self.airframes, at).ok().map(|airframe| heading_rad(&airframe)),
        })
    }

    fn admit(&mut self, sample: &Telemetry) -> Result<(), Rejected> {
        match &sample.told {
            Told::Begun => {
                // How far it has come is the sender's; what was refused stays counted.
                let rejected = std::mem::take(&mut self.rejected);
                *self = Self { rejected, ..Self::new(self.config.clone()) };
                Ok(())
            }
            Told::Position(position) => self.admit_position(sample.at, position),
            Told::Attitude { ned_from_body } => {
                sound_turn(ned_from_body)?;
                self.airframes.put(sample.at, *ned_from_body)
            }
            Told::Gimbal(gimbal) => {
                sound_turn(&gimbal.frame_from_gimbal)?;
                self.gimbals.put(sample.at, *gimbal)
            }
            Told::FieldOfView { horizontal_rad, vertical_rad } => {
                if !(*horizontal_rad > 0.0 && *horizontal_rad < std::f64::consts::PI) {
                    return Err(Rejected::Impossible);
                }
                if self.views.back().is_some_and(|last| sample.at <= last.at) {
                    return Err(Rejected::NotNewer);
                }
                let view = FieldOfView { horizontal_rad: *horizontal_rad, vertical_rad: *vertical_rad, at: sample.at };
                self.views.push_back(view);
                self.views.drain(..self.views.len().saturating_sub(VIEWS_MAX));
                Ok(())
            }
            Told::Accuracy { horizontal_m, vertical_m } => {
                let sound = |metres: f64| (0.0..1e6).contains(&metres);
                if !sound(*horizontal_m) || !sound(*vertical_m) {
                    return Err(Rejected::Impossible);
                }
                self.accuracy_m = Some((*horizontal_m, *vertical_m));
                Ok(())
            }
        }
    }

    fn admit_position(&mut self, at: Stamp, position: &VehiclePosition) -> Result<(), Rejected> {
        let height = position.height.to_ellipsoid(position.at);
        let velocity_is_sound =
            position.velocity_ned_mps.is_none_or(|velocity| velocity.iter().all(|part| part.abs() < 1_000.0));
        if !HEIGHT_M.contains(&height.m()) || !velocity_is_sound {
            return Err(Rejected::Impossible);
        }
        self.places.check_newer(at)?;
        let ecef_m = Geodetic { at: position.at, height }.to_ecef();
        let ecef_from_ned = ned_from_ecef(position.at).transpose();
        let velocity_ecef_mps = position.velocity_ned_mps.map(|velocity| ecef_from_ned * Vector3::from(velocity));
        if !self.gate.admits(at, ecef_m, velocity_ecef_mps) {
            return Err(Rejected::Jumped);
        }
        self.places.put(at, Place { ecef_m, velocity_ned_mps: position.velocity_ned_mps })
    }

    fn between<'a, T>(&self, row: &'a Row<T>, at: Stamp) -> Result<Between<&'a T>, NoPose> {
        row.between(at, self.config.gap_ms_max, self.config.extrapolate_ms_max)
    }

    /// Returns the rotation from the camera's FRD axes to NED, and how far from the samples it is.
    fn camera_turn(&self, at: Stamp) -> Result<(UnitQuaternion<f64>, Distance), NoPose> {
        match self.config.mount {
            Mount::Fixed { yaw_deg, pitch_deg, roll_deg } => {
                let airframe = self.between(&self.airframes, at)?;
                let turn = slerp(airframe.earlier, airframe.later, airframe.part);
                let rate_rps = rate_rps(airframe.earlier, airframe.later, airframe.gap);
                let mount = Euler::from_deg(yaw_deg, pitch_deg, roll_deg).ned_from_body();
                Ok((turn * mount, Distance::of(&airframe, rate_rps)))
            }
            Mount::Gimbal => {
                let gimbal = self.between(&self.gimbals, at)?;
                let (earlier, heading) = self.gimbal_turn(gimbal.earlier, gimbal.earlier_at)?;
                let (later, later_heading) = self.gimbal_turn(gimbal.later, gimbal.later_at)?;
                let rate_rps = rate_rps(&earlier, &later, gimbal.gap);
                let turn = slerp(&earlier, &later, gimbal.part);
                let own = Distance::of(&gimbal, rate_rps);
                Ok((turn, own.with(heading).with(later_heading)))
            }
        }
    }

    /// Turns a gimbal's attitude to north by what its yaw is measured from, and says how far from samples that is, where it is
    /// measured from the vehicle.
    fn gimbal_turn(
        &self,
        gimbal: &GimbalAttitude,
        at: Stamp,
    ) -> Result<(UnitQuaternion<f64>, Option<Distance>), NoPose> {
        let (heading_rad, distance) = match gimbal.yaw_frame {
            YawFrame::Earth => return Ok((gimbal.frame_from_gimbal, None)),
            YawFrame::Heading { delta_yaw_rad } => (delta_yaw_rad, None),
            YawFrame::Vehicle => {
                let airframe = self.between(&self.airframes, at).map_err(|_| NoPose::NoHeading)?;
                let rate_rps = rate_rps(airframe.earlier, airframe.later, airframe.gap);
                (heading_rad(&airframe), Some(Distance::of(&airframe, rate_rps)))
            }
        };
        Ok((UnitQuaternion::from_axis_angle(&Vector3::z_axis(), heading_rad) * gimbal.frame_from_gimbal, distance))
    }

    /// Adds to the configured sigmas what the error of time moves, and what may have happened between samples or since the newest.
    fn sigma(&self, place: &Between<&Place>, turn: &Distance, at_sigma: Duration) -> PoseSigma {
        let time_s = self.time_sigma_s.hypot(self.config.time_sigma_ms * 1e-3).hypot(at_sigma.as_secs_f64());
        let speed_mps =
            place.earlier.velocity_ned_mps.map_or(self.config.speed_mps_max * 0.25, |v| Vector3::from(v).norm());
        let span_s = if place.is_past { place.age } else { place.gap }.as_secs_f64();
        let moved_m = (speed_mps * time_s).hypot(0.5 * CARRIED_MPS2 * span_s * place.unseen_s());
        // While a gimbal turns, the time's error turns the camera; where no sample is near it may have begun or ceased to turn.
        let turned_rad = (turn.rate_rps * time_s).hypot(CARRIED_RPS * turn.unseen_s);
        let (told_horizontal_m, told_vertical_m) = self.accuracy_m.unwrap_or_default();
        let angle = |sigma_deg: f64| sigma_deg.to_radians().hypot(turned_rad);
        PoseSigma {
            yaw_rad: angle(self.config.yaw_sigma_deg),
            pitch_rad: angle(self.config.pitch_sigma_deg),
            roll_rad: angle(self.config.roll_sigma_deg),
            horizontal_m: self.config.horizontal_sigma_m.max(told_horizontal_m).hypot(moved_m),
            vertical_m: self.config.vertical_sigma_m.max(told_vertical_m).hypot(moved_m),
        }
    }
}

/// Is how far from its samples a rotation was told.
#[derive(Clone, Copy, Debug)]
struct Distance {
    age: Duration,
    is_past: bool,
    rate_rps: f64,
    unseen_s: f64,
}

impl Distance {
    fn of<T>(between: &Between<T>, rate_rps: f64) -> Self {
        Self { age: between.age, is_past: between.is_past, rate_rps, unseen_s: between.unseen_s() }
    }

    /// The worst of two rotations of which one is made.
    fn with(self, other: Option<Distance>) -> Self {
        let Some(other) = other else { return self };
        Self {
            age: self.age.max(other.age),
            is_past: self.is_past || other.is_past,
            rate_rps: self.rate_rps.max(other.rate_rps),
            unseen_s: self.unseen_s.max(other.unseen_s),
        }
    }
}

fn sound_turn(turn: &UnitQuaternion<f64>) -> Result<(), Rejected> {
    let length = turn.coords.norm();
    if (length - 1.0).abs() < 1e-3 { Ok(()) } else { Err(Rejected::Impossible) }
}

/// Between two positions the straight line; past the newest the told velocity.
fn ecef_at(place: &Between<&Place>) -> Vector3<f64> {
    let (from_m, to_m) = (place.earlier.ecef_m, place.later.ecef_m);
    if !place.is_past {
        return from_m + (to_m - from_m) * place.part;
    }
    let Ok(here) = Geodetic::from_ecef(from_m) else { return from_m };
    let velocity_mps = Vector3::from(place.earlier.velocity_ned_mps.unwrap_or_default());
    from_m + ned_from_ecef(here.at).transpose() * velocity_mps * place.age.as_secs_f64()
}

fn heading_rad(airframe: &Between<&UnitQuaternion<f64>>) -> f64 {
    Euler::of(&slerp(airframe.earlier, airframe.later, airframe.part)).yaw_rad
}

fn slerp(from: &UnitQuaternion<f64>, to: &UnitQuaternion<f64>, part: f64) -> UnitQuaternion<f64> {
    // Half a turn apart there is no shortest way; the earlier sample is as good.
    from.try_slerp(to, part, 1e-12).unwrap_or(*from)
}

fn rate_rps(from: &UnitQuaternion<f64>, to: &UnitQuaternion<f64>, gap: Duration) -> f64 {
    if gap.is_zero() { 0.0 } else { from.angle_to(to) / gap.as_secs_f64() }
}
