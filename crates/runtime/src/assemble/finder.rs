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
    // Revision of the prompt, and height with its standard deviation, when ray and map last told it: out of sight there is no ray.
    heights_m: BTreeMap<TargetId, (u32, (f64, f64))>,
    tried: BTreeMap<TargetId, Stamp>,
}

impl Finder {
    /// Makes a finder that hears every track from now on.
    pub fn new(tracks: broadcast::Receiver<Arc<Track>>) -> Self {
        Self { tracks, newest: BTreeMap::new(), heights_m: BTreeMap::new(), tried: BTreeMap::new() }
    }

    /// Takes in the tracks published since the last call.
    pub fn take_tracks(&mut self) {
        loop {
            match self.tracks.try_recv() {
                Ok(track) => {
                    if let (Some(ray), Some(by_map)) = (track.ray, by_map(&track)) {
                        let height_m = ray.height_m(by_map.at, by_map.covariance);
                        self.heights_m.insert(track.target, (track.revision, height_m));
                    }
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
        by_map(track).filter(|estimate| estimate.ce90_m <= CE90_M_MAX)
    }

    /// How high over the ground the clicked point of a target is, and the standard deviation of that, metres: as its position told
    /// when it was last seen, or as any object's, whose mean height is `any_m`.
    fn height_m(&self, prompt: &Prompt, any_m: f64) -> (f64, f64) {
        let told = self.heights_m.get(&prompt.target).filter(|(revision, _)| *revision == prompt.revision);
        told.map_or((any_m, any_m), |(_, height_m)| *height_m)
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
        let (height_m, height_sigma_m) = self.height_m(prompt, scene.object_height_m);
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

/// The position of a track, if the map stands behind it.
fn by_map(track: &Track) -> Option<&Estimate> {
    track.estimate.as_ref().filter(|estimate| estimate.basis == Basis::Map)
}

#[cfg(test)]
mod tests {
    use nalgebra::Vector2;
    use smgeo_geo::{Covariance2, LatLon, Pixel, RaySpread};
    use smgeo_messages::{FrameId, PromptSource, TrackState};

    use super::*;

    const TARGET: TargetId = TargetId(1);

    fn north_m(metres: f64) -> LatLon {
        LatLon::new(25.0 + metres / 110_770.0, 55.0).unwrap()
    }

    fn prompt(revision: u32) -> Prompt {
        Prompt {
            target: TARGET,
            revision,
            frame: FrameId(1),
            frame_captured: Stamp::from_ns(0),
            click: Pixel::new(0.0, 0.0),
            sigma_px: 2.0,
            label: None,
            source: PromptSource::Exact,
            created: Stamp::from_ns(0),
        }
    }

    /// A track at the origin by the map, whose ray passed over it and met the ground 20 m north, if it is in sight.
    fn track(in_sight: bool) -> Arc<Track> {
        let covariance = Covariance2::isotropic(1.0).unwrap();
        let spread = RaySpread { covariance, overshoot_ne: Vector2::new(1.0, 0.0), height_mean_m: 8.0 };
        Arc::new(Track {
            target: TARGET,
            revision: 1,
            label: None,
            click: PromptSource::Exact,
            state: TrackState::Coasting,
            reason: None,
            frame: FrameId(1),
            captured: Stamp::from_ns(0),
            published: Stamp::from_ns(0),
            estimate: Some(Estimate {
                at: north_m(0.0),
                velocity_ne_mps: [0.0; 2],
                covariance,
                ce90_m: 2.0,
                basis: Basis::Map,
                bounds_deg: None,
                score: None,
            }),
            pixel: None,
            ray: in_sight.then(|| RayFix { at: north_m(20.0), spread, range_m: 100.0 }),
            confirmation_age: None,
            telemetry_age: None,
            fixes: 3,
            provenance: None,
        })
    }

    #[test]
    fn the_height_of_a_roof_is_remembered_while_it_is_out_of_sight() {
        let (tracks, heard) = broadcast::channel(4);
        let mut finder = Finder::new(heard);
        assert_eq!(finder.height_m(&prompt(1), 8.0), (8.0, 8.0), "never seen");
        for in_sight in [true, false] {
            tracks.send(track(in_sight)).unwrap();
            finder.take_tracks();
            let (height_m, sigma_m) = finder.height_m(&prompt(1), 8.0);
            assert!((height_m - 19.6).abs() < 0.3 && sigma_m < 2.0, "{height_m} {sigma_m}, in sight: {in_sight}");
        }
        assert_eq!(finder.height_m(&prompt(2), 8.0), (8.0, 8.0), "clicked anew, on something else perhaps");
    }
}
