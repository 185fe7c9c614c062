//! Finds targets again that left the picture and came back.
//!
//! A target whose position is known can be told from the pose alone where it must be in the picture. That pixel is as
//! uncertain as pose and position are, and whatever the network answers about it is held to be as uncertain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nalgebra::Vector3;
use smgeo_flow::Stamp;
use smgeo_geo::{Altitude, Geodetic};
use smgeo_messages::{Basis, Estimate, Frame, Prompt, RayFix, TargetId, Track};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::Scene;
use crate::follow::ReAnchor;

/// A target is looked for again this often.
const INTERVAL: Duration = Duration::from_millis(500);

/// A position vaguer than this, CE90 in metres, may be that of the neighbour.
const CE90_M_MAX: f64 = 12.0;

/// The ray's standard deviation is taken as this many times what telemetry claims before it is said to lead elsewhere.
const RAY_WIDENING: f64 = 2.0;

/// The target must be this far inside the picture, as part of its height: at the rim there is nothing to follow.
const MARGIN: f64 = 0.06;

/// Keeps the newest position of each target.
pub struct Finder {
    tracks: broadcast::Receiver<Arc<Track>>,
    newest: BTreeMap<TargetId, Arc<Track>>,
    tried: BTreeMap<TargetId, Stamp>,
}

impl Finder {
    /// Makes a finder that hears every track from now on.
    pub fn new(tracks: broadcast::Receiver<Arc<Track>>) -> Self {
        Self { tracks, newest: BTreeMap::new(), tried: BTreeMap::new() }
    }

    /// Takes in the tracks published since the last call.
    pub fn take_tracks(&mut self) {
        loop {
            match self.tracks.try_recv() {
                Ok(track) => {
                    self.newest.insert(track.target, track);
                }
                // What was missed is older than what comes next.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Says whether a ray leads away from where the map says its target is: following has then been led to something else.
    pub fn strayed(&self, prompt: &Prompt, ray: &RayFix) -> bool {
        self.position(prompt).is_some_and(|estimate| ray.disagrees(estimate.at, estimate.covariance, RAY_WIDENING))
    }

    /// The position of a target by the map, if it is known well.
    fn position(&self, prompt: &Prompt) -> Option<&Estimate> {
        let track = self.newest.get(&prompt.target).filter(|track| track.revision == prompt.revision)?;
        let by_map = track.estimate.as_ref().filter(|estimate| estimate.basis == Basis::Map);
        by_map.filter(|estimate| estimate.ce90_m <= CE90_M_MAX)
    }

    /// Returns where a target must be in this frame, if its position is known well and falls into the picture.
    pub fn find(&mut self, frame: &Frame, scene: &Scene, prompt: &Prompt) -> Option<ReAnchor> {
        let tried = self.tried.get(&prompt.target);
        if tried.is_some_and(|tried| frame.captured.since(*tried) < INTERVAL) {
            return None;
        }
        let estimate = self.position(prompt)?.clone();
        self.tried.insert(prompt.target, frame.captured);
        let ground = &scene.ground;
        let flat = ground
            .frame
            .enu_from(Geodetic { at: estimate.at, height: Altitude::from_m(ground.frame.origin().height.m()) });
        let up_m = ground.terrain.height_m(flat.x, flat.y)?;
        // Where it was last seen its position told how high the clicked point is.
        let seen = self.newest.get(&prompt.target).and_then(|track| track.ray);
        let any_m = scene.object_height_m;
        let (height_m, height_sigma_m) =
            seen.map_or((any_m, any_m), |ray| ray.height_m(estimate.at, estimate.covariance));
        let place = Vector3::new(flat.x, flat.y, up_m + height_m);
        let view = scene.used.pose.view(&ground.frame);
        let pixel = view.project(&scene.camera, place)?;
        let (width, height) = (f64::from(frame.width_px), f64::from(frame.height_px));
        let margin = MARGIN * height;
        if pixel.x < margin || pixel.y < margin || pixel.x > width - margin || pixel.y > height - margin {
            return None;
        }
        let range_m = view.depth_m(place);
        let sigma = &scene.used.sigma;
        let turned_m = range_m * sigma.yaw_rad.hypot(sigma.pitch_rad);
        // CE90 is 2.146 standard deviations of a circular normal distribution.
        let known_m = (estimate.ce90_m / 2.146).hypot(sigma.horizontal_m).hypot(sigma.vertical_m).hypot(height_sigma_m);
        let sigma_px = turned_m.hypot(known_m) * scene.camera.fx_px / range_m;
        Some(ReAnchor { target: prompt.target, revision: prompt.revision, frame: frame.id, pixel, sigma_px })
    }
}
