//! What the network is asked: is the object under this click in that part of the map, and where?

use std::sync::Arc;
use std::time::Duration;

use smgeo_engine::EncoderImage;
use smgeo_flow::Stamp;
use smgeo_geo::{self as geo, Covariance2, LatLon, Pixel, Pose, PoseSigma, TileWindow};

use crate::frame::FrameId;
use crate::prompt::TargetId;

/// Is where the ray through the click meets the ground, before the network has said anything.
#[derive(Clone, Debug)]
pub struct RayFix {
    /// The point on the terrain.
    pub at: LatLon,
    /// Its covariance, north and east, m².
    pub covariance: Covariance2,
    /// The slant range, metres.
    pub range_m: f64,
}

/// Is the camera's pose at the capture time, and how old the telemetry behind it is.
#[derive(Clone, Debug)]
pub struct PoseUsed {
    /// The pose.
    pub pose: Pose,
    /// Its accuracy.
    pub sigma: PoseSigma,
    /// The age, at capture time, of the newest telemetry it stands on.
    pub telemetry_age: Duration,
}

/// Is one question to the network.
#[derive(Clone, Debug)]
pub struct Query {
    /// The target.
    pub target: TargetId,
    /// The revision of the prompt it belongs to.
    pub revision: u32,
    /// The frame it was cut from.
    pub frame: FrameId,
    /// When that frame was captured.
    pub captured: Stamp,
    /// The target's pixel in that frame.
    pub pixel: Pixel<geo::Frame>,
    /// The crop with its click map, as the encoder takes it.
    pub image: EncoderImage,
    /// The click in the crop.
    pub click: Pixel<geo::Query>,
    /// Whether the crop was laid north up at map scale by a pose, or is raw.
    pub rectified: bool,
    /// One standard deviation of where the click lies on the ground because its pixel is uncertain, metres.
    pub pixel_sigma_m: f64,
    /// Where to look.
    pub window: TileWindow,
    /// The pose, where telemetry allowed one.
    pub pose: Option<PoseUsed>,
    /// The ray's own answer, where there is a pose and the ray meets the ground.
    pub ray: Option<RayFix>,
}

/// Is all questions about one frame; they are answered in one batch.
#[derive(Clone, Debug)]
pub struct QueryBatch {
    /// The frame.
    pub frame: FrameId,
    /// When it was captured.
    pub captured: Stamp,
    /// One query for each target in sight.
    pub queries: Vec<Query>,
    /// Targets that are wanted but not in sight, with the reason.
    pub unseen: Vec<(TargetId, &'static str)>,
    /// What stood in the way of a pose, if there is none.
    pub no_pose: Option<Arc<str>>,
}
