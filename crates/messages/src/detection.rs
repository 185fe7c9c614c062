//! What the network answered, as a place on the Earth.

use std::sync::Arc;
use std::time::Duration;

use smgeo_engine::Posterior;
use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Covariance2, LatLon, Pixel, TileWindow};

use crate::frame::FrameId;
use crate::prompt::TargetId;
use crate::query::RayFix;

/// Is one answer about one target in one frame.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The target.
    pub target: TargetId,
    /// The revision of the prompt it belongs to.
    pub revision: u32,
    /// The frame.
    pub frame: FrameId,
    /// When the frame was captured.
    pub captured: Stamp,
    /// When the answer was ready.
    pub answered: Stamp,
    /// What was found.
    pub outcome: Outcome,
    /// The ray's own answer for the same frame, where there is one.
    pub ray: Option<RayFix>,
    /// The ray of the click itself, in the frame the operator saw, where there was a pose at that moment.
    pub clicked: Option<RayFix>,
    /// The target's pixel in the frame.
    pub pixel: Pixel<geo::Frame>,
    /// The age, at capture time, of the telemetry behind the pose.
    pub telemetry_age: Option<Duration>,
    /// Which map and which network answered.
    pub provenance: Arc<Provenance>,
}

/// Says what the network made of a query.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The object is in the window.
    Found(Box<Found>),
    /// There is no answer that could be used; the reason is a short constant phrase.
    NotFound(&'static str),
    /// The answer speaks against what is believed so far: it is not in the window, or away from the ray; a short constant phrase.
    Against(&'static str),
    /// Tiles of the window are missing, so the question could not be asked.
    NoMap {
        /// How many of the window's tiles are missing.
        missing: usize,
        /// How many of these the map may have, and they cannot be read: a server is down, a file is damaged.
        unread: usize,
        /// How many it has.
        of: usize,
    },
}

/// Is a found object.
#[derive(Clone, Debug)]
pub struct Found {
    /// The object's centre.
    pub at: LatLon,
    /// The covariance of the centre, north and east, m²: what another answer would draw anew.
    pub covariance: Covariance2,
    /// The covariance of what all answers about this object have in common, north and east, m².
    pub shared: Covariance2,
    /// The covariance of what the followed point is off the clicked one, north and east, m²: the same in every answer for as long as
    /// that point is followed.
    pub click: Covariance2,
    /// The box on the map: west, south, east, north, degrees.
    pub bounds_deg: [f64; 4],
    /// The probability of the mode the centre was taken from, 0 to 1.
    pub score: f64,
    /// The probability that the object is not in the window, 0 to 1.
    pub absent: f64,
    /// Where the window lies.
    pub window: TileWindow,
    /// The whole posterior over the window, prior included.
    pub posterior: Arc<Posterior>,
}

/// Names the map and the network behind an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// The name of the imagery.
    pub imagery: String,
    /// The date of the imagery, as its source states it.
    pub imagery_date: Option<String>,
    /// Identifies the imagery, hexadecimal: a file of the same name with other tiles has another.
    pub imagery_hash: String,
    /// The name of the engine package.
    pub model: String,
    /// The hash of the engine package, hexadecimal.
    pub model_hash: String,
    /// The backend that ran it.
    pub backend: String,
}
