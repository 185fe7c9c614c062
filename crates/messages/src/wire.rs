//! The form that leaves the machine.
//!
//! These structs are versioned and only grow: a field is never renamed, never removed, never changes its unit. They are
//! the contract with ground stations, so `docs/wire.md` and `schemas/track_v1.json` are checked against them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smgeo_flow::Clock;
use smgeo_geo::grid::Mgrs;

use crate::prompt::PromptSource;
use crate::track::{Basis, Track, TrackState};

/// Is one target's position as ground stations read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "smgeo track, version 1")]
pub struct TrackV1 {
    /// Always 1.
    pub version: u8,
    /// The drone's name, as configured.
    pub drone: String,
    /// Names this run of the daemon; `sequence` counts within it.
    pub boot_id: String,
    /// Grows by one with every track that is published.
    pub sequence: u64,
    /// The target's id, never reused within a run.
    pub target: u32,
    /// Counts the operator's clicks on this target.
    pub revision: u32,
    /// What the operator calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How it was clicked, where that is not in the very frame that was seen: the object may then be another than was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click: Option<ClickV1>,
    /// How far the position is to be trusted.
    pub state: StateV1,
    /// Why the state is not `locked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the frame the position is for.
    pub frame: u64,
    /// When that frame was captured, microseconds since 1970-01-01 UTC.
    pub captured_us: i64,
    /// When the track was published, microseconds since 1970-01-01 UTC.
    pub published_us: i64,
    /// From capture to publication, milliseconds, on one monotonic clock.
    pub latency_ms: f64,
    /// The position; absent when it is not known. A stale or unsure one is never given as fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionV1>,
    /// Age of the network's last confirmation at `captured_us`, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation_age_ms: Option<f64>,
    /// Age of the telemetry at `captured_us`, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_age_ms: Option<f64>,
    /// Answers of the network that confirmed the position so far.
    pub fixes: u64,
    /// The target's pixel in the frame: x right, y down, from the outer corner of the first pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel: Option<[f64; 2]>,
    /// The position by the camera's ray and the terrain alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ray: Option<RayV1>,
    /// Which map and which network stand behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ProvenanceV1>,
}

/// Says how a target was clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClickV1 {
    /// Over MAVLink, which names no frame: one shown a configured time before was assumed.
    AssumedFrame,
}

/// Is a track's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateV1 {
    /// Nothing certain is known yet.
    Searching,
    /// The network confirms the position in fresh frames.
    Locked,
    /// Fresh confirmation is missing; the uncertainty grows.
    Coasting,
    /// The position is not known any more.
    Lost,
}

/// Is a position with its uncertainty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PositionV1 {
    /// Latitude, degrees, WGS84.
    pub lat_deg: f64,
    /// Longitude, degrees, WGS84, in -180 to 180.
    pub lon_deg: f64,
    /// The same in MGRS, to one metre.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mgrs: Option<String>,
    /// The radius that holds the true position with 90 %, metres, relative to the imagery.
    pub ce90_m: f64,
    /// Covariance of north and east: [nn, ne, ee], m².
    pub covariance_ne_m2: [f64; 3],
    /// Velocity north and east, m/s.
    pub velocity_ne_mps: [f64; 2],
    /// What the position rests on.
    pub basis: BasisV1,
    /// The object's box on the map: west, south, east, north, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds_deg: Option<[f64; 4]>,
    /// The network's probability at the last confirmation, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// Says what a position rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasisV1 {
    /// The network's answer on the map.
    Map,
    /// The camera's ray and the terrain alone.
    Ray,
}

/// Is the position by the camera's ray alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RayV1 {
    /// Latitude, degrees, WGS84.
    pub lat_deg: f64,
    /// Longitude, degrees, WGS84.
    pub lon_deg: f64,
    /// The radius that holds the true position with 90 %, metres, by the telemetry's stated accuracies and for an object whose
    /// height is not known.
    pub ce90_m: f64,
}

/// Names the map and the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProvenanceV1 {
    /// The name of the imagery.
    pub imagery: String,
    /// The date of the imagery, as its source states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imagery_date: Option<String>,
    /// Identifies the imagery, hexadecimal: a file of the same name with other tiles has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imagery_hash: Option<String>,
    /// The name of the engine package.
    pub model: String,
    /// The hash of the engine package, hexadecimal.
    pub model_hash: String,
    /// The backend that ran it.
    pub backend: String,
}

/// Says who publishes: what every track of a run has in common.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// The drone's name.
    pub drone: String,
    /// Names the run.
    pub boot_id: String,
}

impl TrackV1 {
    /// Puts a track into the form that leaves the machine.
    pub fn new(track: &Track, publisher: &Publisher, sequence: u64, clock: &dyn Clock) -> Self {
        Self {
            version: 1,
            drone: publisher.drone.clone(),
            boot_id: publisher.boot_id.clone(),
            sequence,
            target: track.target.0,
            revision: track.revision,
            label: track.label.as_deref().map(str::to_owned),
            click: match track.click {
                PromptSource::Exact => None,
                PromptSource::AssumedFrame => Some(ClickV1::AssumedFrame),
            },
            state: track.state.into(),
            reason: track.reason.map(str::to_owned),
            frame: track.frame.0,
            captured_us: clock.wall_us(track.captured),
            published_us: clock.wall_us(track.published),
            latency_ms: track.published.since(track.captured).as_secs_f64() * 1e3,
            position: track.estimate.as_ref().map(PositionV1::from),
            confirmation_age_ms: track.confirmation_age.map(|age| age.as_secs_f64() * 1e3),
            telemetry_age_ms: track.telemetry_age.map(|age| age.as_secs_f64() * 1e3),
            fixes: track.fixes,
            pixel: track.pixel.map(|pixel| [pixel.x, pixel.y]),
            ray: track.ray.and_then(|ray| {
                let covariance = ray.spread.of_object().ok()?;
                let (lat_deg, lon_deg) = (ray.at.lat_deg(), ray.at.lon_deg());
                Some(RayV1 { lat_deg, lon_deg, ce90_m: covariance.circular_error_m(0.9) })
            }),
            provenance: track.provenance.as_deref().map(|provenance| ProvenanceV1 {
                imagery: provenance.imagery.clone(),
                imagery_date: provenance.imagery_date.clone(),
                imagery_hash: Some(provenance.imagery_hash.clone()),
                model: provenance.model.clone(),
                model_hash: provenance.model_hash.clone(),
                backend: provenance.backend.clone(),
            }),
        }
    }
}

impl From<&crate::track::Estimate> for PositionV1 {
    fn from(estimate: &crate::track::Estimate) -> Self {
        Self {
            lat_deg: estimate.at.lat_deg(),
            lon_deg: estimate.at.lon_deg(),
            mgrs: Mgrs::of(estimate.at).ok().map(|mgrs| mgrs.to_string()),
            ce90_m: estimate.ce90_m,
            covariance_ne_m2: [estimate.covariance.nn_m2(), estimate.covariance.ne_m2(), estimate.covariance.ee_m2()],
            velocity_ne_mps: estimate.velocity_ne_mps,
            basis: match estimate.basis {
                Basis::Map => BasisV1::Map,
                Basis::Ray => BasisV1::Ray,
            },
            bounds_deg: estimate.bounds_deg,
            score: estimate.score,
        }
    }
}

impl From<TrackState> for StateV1 {
    fn from(state: TrackState) -> Self {
        match state {
            TrackState::Searching => Self::Searching,
            TrackState::Locked => Self::Locked,
            TrackState::Coasting => Self::Coasting,
            TrackState::Lost => Self::Lost,
        }
    }
}
