//! The form in which the interface gives and takes things; documented in `docs/api.md`, and it only grows.
//!
//! Times named `clock_us` are microseconds on the daemon's own monotonic timeline. A client compares them only with one
//! another: no wall clock, theirs or ours, can make an old thing look new.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use smgeo_flow::{Clock, Stamp};
use smgeo_messages::wire::TrackV1;
use smgeo_messages::{Prompt, PromptSet, PromptSource};

use super::about::About;
use super::drone::DroneView;
use super::tracks::{STALE_AFTER, ShownTrack};
use crate::control::Health;
use crate::prompts::SeenFrame;

/// Is a request for a new target.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowBody {
    /// The frame the operator saw.
    pub frame: u64,
    /// Column in that frame, pixels.
    pub x: f64,
    /// Row in that frame, pixels.
    pub y: f64,
    /// What the operator calls it.
    #[serde(default)]
    pub label: Option<String>,
}

/// Is a request to move or rename a target: a new click, a new label, or both.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The frame the operator saw.
    #[serde(default)]
    pub frame: Option<u64>,
    /// Column in that frame, pixels.
    #[serde(default)]
    pub x: Option<f64>,
    /// Row in that frame, pixels.
    #[serde(default)]
    pub y: Option<f64>,
    /// The new label; `null` takes it away, absent leaves it.
    #[serde(default, deserialize_with = "given")]
    pub label: Option<Option<String>>,
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Is everything that is followed.
#[derive(Serialize)]
pub struct TargetsBody {
    /// Grows with every change.
    pub revision: u64,
    /// The targets.
    pub targets: Vec<TargetBody>,
}

/// Is one target as the operator asked for it.
#[derive(Serialize)]
pub struct TargetBody {
    /// Its id, never reused within a run.
    pub target: u32,
    /// Counts the clicks on it.
    pub revision: u32,
    /// The frame the operator saw.
    pub frame: u64,
    /// Column in that frame, pixels.
    pub x: f64,
    /// Row in that frame, pixels.
    pub y: f64,
    /// What the operator calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
    /// Whether the frame was named by the sender or had to be assumed.
    pub source: &'static str,
    /// When the prompt was taken in.
    pub created_clock_us: u64,
}

impl From<&PromptSet> for TargetsBody {
    fn from(set: &PromptSet) -> Self {
        Self { revision: set.revision, targets: set.targets.iter().map(TargetBody::from).collect() }
    }
}

impl From<&Prompt> for TargetBody {
    fn from(prompt: &Prompt) -> Self {
        Self {
            target: prompt.target.0,
            revision: prompt.revision,
            frame: prompt.frame.0,
            x: prompt.click.x,
            y: prompt.click.y,
            label: prompt.label.clone(),
            source: match prompt.source {
                PromptSource::Exact => "exact",
                PromptSource::AssumedFrame => "assumed_frame",
            },
            created_clock_us: clock_us(prompt.created),
        }
    }
}

/// Is a track with its age at the moment of sending.
#[derive(Serialize)]
pub struct TrackBody {
    /// When its frame was captured.
    pub captured_clock_us: u64,
    /// How long ago that was, milliseconds.
    pub age_ms: f64,
    /// Whether it is too old to be the present; its position is then where the target *was*.
    pub stale: bool,
    /// The track.
    pub track: Arc<TrackV1>,
}

impl TrackBody {
    /// Describes a track at the moment `now`.
    pub fn new(shown: &ShownTrack, now: Stamp) -> Self {
        let age = now.since(shown.captured);
        Self {
            captured_clock_us: clock_us(shown.captured),
            age_ms: age.as_secs_f64() * 1e3,
            stale: age > STALE_AFTER,
            track: shown.track.clone(),
        }
    }
}

/// Is the newest track of each target.
#[derive(Serialize)]
pub struct TracksBody {
    /// The moment of sending.
    pub clock_us: u64,
    /// The tracks, by target.
    pub tracks: Vec<TrackBody>,
}

/// Is the state of the whole machine.
#[derive(Serialize)]
pub struct MachineBody {
    /// Always 1.
    pub version: u8,
    /// The moment of sending.
    pub clock_us: u64,
    /// The same by the wall clock, microseconds since 1970-01-01 UTC.
    pub wall_us: i64,
    /// The drone's name.
    pub drone: String,
    /// Names this run of the daemon.
    pub boot_id: String,
    /// The version of the software.
    pub software: &'static str,
    /// How it is.
    pub health: HealthBody,
    /// The newest frame; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoBody>,
    /// The vehicle whose telemetry is taken; absent before one is known, and without a MAVLink link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleBody>,
    /// Where the drone is; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pose: Option<PoseBody>,
    /// The network in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelBody>,
    /// The map in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imagery: Option<ImageryBody>,
}

/// Is the health of the machine.
#[derive(Serialize)]
pub struct HealthBody {
    /// `ok`, `degraded`, `starting` or `failed`: that of the worst part.
    pub level: &'static str,
    /// What is wrong, worst first.
    pub causes: Vec<String>,
    /// Every part.
    pub parts: Vec<PartBody>,
}

/// Is the health of one part.
#[derive(Serialize)]
pub struct PartBody {
    /// Its name.
    pub part: String,
    /// `ok`, `degraded`, `starting` or `failed`.
    pub level: &'static str,
    /// Why, when it is not `ok`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// How long it has been so, milliseconds.
    pub for_ms: f64,
}

/// Is the newest frame.
#[derive(Serialize)]
pub struct VideoBody {
    /// Its id.
    pub frame: u64,
    /// When it was captured.
    pub captured_clock_us: u64,
    /// How long ago that was, milliseconds.
    pub age_ms: f64,
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Whether the picture stands still to the bit: the camera is frozen.
    pub frozen: bool,
}

/// Names the vehicle.
#[derive(Serialize)]
pub struct VehicleBody {
    /// Its MAVLink system id.
    pub system_id: u8,
}

/// Is the drone at the capture time of a frame.
#[derive(Serialize)]
pub struct PoseBody {
    /// When that frame was captured.
    pub captured_clock_us: u64,
    /// How long ago that was, milliseconds.
    pub age_ms: f64,
    /// The age of the telemetry at that moment, milliseconds.
    pub telemetry_age_ms: f64,
    /// Latitude, degrees, WGS84.
    pub lat_deg: f64,
    /// Longitude, degrees, WGS84.
    pub lon_deg: f64,
    /// Height above mean sea level (EGM96), metres.
    pub altitude_msl_m: f64,
    /// Height above the ground, metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height_ground_m: Option<f64>,
    /// Where the nose points, degrees clockwise from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading_deg: Option<f64>,
    /// Where the camera looks, degrees clockwise from north.
    pub camera_azimuth_deg: f64,
    /// How far the camera looks down from the horizon, degrees.
    pub camera_depression_deg: f64,
    /// The corners of what it sees on the ground, as `[longitude, latitude]`, degrees.
    pub footprint: Vec<[f64; 2]>,
}

/// Names the network.
#[derive(Serialize)]
pub struct ModelBody {
    /// The name of the engine package.
    pub name: String,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// The backend that runs it.
    pub backend: String,
}

/// Names the map.
#[derive(Serialize)]
pub struct ImageryBody {
    /// The name of the store.
    pub name: String,
    /// Its date, as its source states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Who is to be credited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// The area covered: west, south, east, north, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds_deg: Option<[f64; 4]>,
    /// The smallest zoom held.
    pub zoom_min: u8,
    /// The largest zoom held.
    pub zoom_max: u8,
}

impl MachineBody {
    /// Describes the machine at this moment.
    pub fn new(
        about: &About,
        clock: &dyn Clock,
        health: &Health,
        frame: Option<SeenFrame>,
        drone: Option<&DroneView>,
    ) -> Self {
        let now = clock.now();
        Self {
            version: 1,
            clock_us: clock_us(now),
            wall_us: clock.wall_us(now),
            drone: about.drone.clone(),
            boot_id: about.boot_id.clone(),
            software: env!("CARGO_PKG_VERSION"),
            health: HealthBody::new(health, now),
            video: frame.map(|frame| VideoBody::new(frame, now)),
            vehicle: None,
            pose: drone.map(|drone| PoseBody::new(drone, now)),
            model: about.model.as_ref().map(|model| ModelBody {
                name: model.name.clone(),
                hash: model.hash.clone(),
                backend: model.backend.clone(),
            }),
            imagery: about.imagery.as_ref().map(|imagery| ImageryBody {
                name: imagery.name.clone(),
                date: imagery.date.clone(),
                attribution: imagery.attribution.clone(),
                bounds_deg: imagery.bounds_deg,
                zoom_min: imagery.zoom_min,
                zoom_max: imagery.zoom_max,
            }),
        }
    }
}

impl HealthBody {
    /// Describes the health at the moment `now`.
    pub fn new(health: &Health, now: Stamp) -> Self {
        let part = |part: &crate::control::PartHealth| PartBody {
            part: part.part.clone(),
            level: part.level.word(),
            cause: part.cause.clone(),
            for_ms: age_ms(now, part.since),
        };
        Self { level: health.level().word(), causes: health.causes(), parts: health.parts.iter().map(part).collect() }
    }
}

impl VideoBody {
    fn new(frame: SeenFrame, now: Stamp) -> Self {
        Self {
            frame: frame.id.0,
            captured_clock_us: clock_us(frame.captured),
            age_ms: age_ms(now, frame.captured),
            width_px: frame.width_px,
            height_px: frame.height_px,
            frozen: frame.frozen,
        }
    }
}

impl PoseBody {
    fn new(drone: &DroneView, now: Stamp) -> Self {
        let compass_deg = |angle_rad: f64| angle_rad.to_degrees().rem_euclid(360.0);
        Self {
            captured_clock_us: clock_us(drone.captured),
            age_ms: age_ms(now, drone.captured),
            telemetry_age_ms: drone.telemetry_age.as_secs_f64() * 1e3,
            lat_deg: drone.at.lat_deg(),
            lon_deg: drone.at.lon_deg(),
            altitude_msl_m: drone.altitude_msl_m,
            height_ground_m: drone.height_ground_m,
            heading_deg: drone.heading_rad.map(compass_deg),
            camera_azimuth_deg: compass_deg(drone.camera_azimuth_rad),
            camera_depression_deg: drone.camera_depression_rad.to_degrees(),
            footprint: drone.footprint.iter().map(|corner| [corner.lon_deg(), corner.lat_deg()]).collect(),
        }
    }
}

/// Returns a stamp in microseconds on the daemon's timeline.
pub fn clock_us(at: Stamp) -> u64 {
    at.ns() / 1_000
}

fn age_ms(now: Stamp, at: Stamp) -> f64 {
    now.since(at).as_secs_f64() * 1e3
}
