//! Where a target is, as well as all evidence so far says.

use std::sync::Arc;
use std::time::Duration;

use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Covariance2, LatLon, Pixel};

use crate::detection::Provenance;
use crate::frame::FrameId;
use crate::prompt::{PromptSource, TargetId};
use crate::query::RayFix;

/// Says how far a track is to be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TrackState {
    /// Nothing certain is known yet. A position, if one is given, is the ray's alone.
    Searching,
    /// The network confirms the position in fresh frames.
    Locked,
    /// Fresh confirmation is missing; the position is carried on and its uncertainty grows.
    Coasting,
    /// The position is not known any more. None is given.
    Lost,
}

impl TrackState {
    /// Returns the word that stands on the wire and on the page.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Searching => "searching",
            Self::Locked => "locked",
            Self::Coasting => "coasting",
            Self::Lost => "lost",
        }
    }
}

/// Is a target's state after one step of the fusion.
#[derive(Clone, Debug)]
pub struct Track {
    /// The target.
    pub target: TargetId,
    /// The revision of the prompt.
    pub revision: u32,
    /// What the operator calls it.
    pub label: Option<Arc<str>>,
    /// How well the frame that was clicked is known.
    pub click: PromptSource,
    /// How far it is to be trusted.
    pub state: TrackState,
    /// Why it is not locked, a short constant phrase.
    pub reason: Option<&'static str>,
    /// The frame it stands on.
    pub frame: FrameId,
    /// When that frame was captured: the moment the position is for.
    pub captured: Stamp,
    /// When this track was published.
    pub published: Stamp,
    /// The estimate; absent when none is known well enough to be said.
    pub estimate: Option<Estimate>,
    /// The target's pixel in that frame, when it is in sight.
    pub pixel: Option<Pixel<geo::Frame>>,
    /// The ray's own answer in that frame, for comparison.
    pub ray: Option<RayFix>,
    /// The age of the newest confirmation by the network, at `captured`.
    pub confirmation_age: Option<Duration>,
    /// The age of the telemetry at `captured`.
    pub telemetry_age: Option<Duration>,
    /// Answers of the network that confirmed the position so far.
    pub fixes: u64,
    /// Which map and which network stand behind it.
    pub provenance: Option<Arc<Provenance>>,
}

/// Is a position with its uncertainty.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The object's centre, WGS84.
    pub at: LatLon,
    /// Velocity north and east, m/s.
    pub velocity_ne_mps: [f64; 2],
    /// Covariance of the position, north and east, m².
    pub covariance: Covariance2,
    /// The radius that holds the true position with 90 %, metres.
    pub ce90_m: f64,
    /// What the estimate rests on.
    pub basis: Basis,
    /// The box on the map at the last confirmation: west, south, east, north, degrees.
    pub bounds_deg: Option<[f64; 4]>,
    /// The network's probability at the last confirmation.
    pub score: Option<f64>,
}

/// Says what a position rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// The network's answer on the map, and the ray as its prior.
    Map,
    /// The ray on the terrain alone.
    Ray,
}
