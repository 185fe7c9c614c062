//! Where the drone is and what it sees, for the map.

use std::time::Duration;

use smgeo_flow::Stamp;
use smgeo_geo::LatLon;

/// Is the drone at the capture time of a frame. Whoever knows the pose writes it.
#[derive(Clone, Debug)]
pub struct DroneView {
    /// When the frame was captured.
    pub captured: Stamp,
    /// Where the drone is, WGS84.
    pub at: LatLon,
    /// Height above mean sea level (EGM96), metres.
    pub altitude_msl_m: f64,
    /// Height above the ground below it, metres, where the ground is known.
    pub height_ground_m: Option<f64>,
    /// Where the nose points, clockwise from north, radians, where it is known.
    pub heading_rad: Option<f64>,
    /// Where the camera looks, clockwise from north, radians.
    pub camera_azimuth_rad: f64,
    /// How far the camera looks down from the horizon, radians.
    pub camera_depression_rad: f64,
    /// The corners of what the camera sees on the ground, in the order of the frame's corners; empty when the horizon is in
    /// sight.
    pub footprint: Vec<LatLon>,
    /// The age of the telemetry at `captured`.
    pub telemetry_age: Duration,
}
