//! How we behave as a MAVLink camera.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::ranges;

/// Ids of cameras in the dialect: MAV_COMP_ID_CAMERA to MAV_COMP_ID_CAMERA6.
pub(super) const COMPONENTS: RangeInclusive<u8> = 100..=105;
/// No ground station shows a picture later than this.
const SHOWN_AGO_MS: RangeInclusive<f64> = 0.0..=10_000.0;

/// Says how the camera component behaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// The vehicle's system id; where absent, that of `telemetry.mavlink`, else of the first autopilot heard on the link.
    pub system_id: Option<u8>,
    /// The first component id to try, 100 to 105.
    pub component_id: u8,
    /// How long after its capture a picture is seen by the ground station's operator, milliseconds.
    pub shown_ago_ms: f64,
    /// One standard deviation of that, milliseconds: while the picture moves, the click is as uncertain as the object has moved.
    pub shown_ago_sigma_ms: f64,
    /// The video's RTSP address as ground stations reach it.
    pub video_uri: Option<String>,
    /// The gimbal's component id, where there is one.
    pub gimbal_device_id: u8,
    /// Whether positions also go out as text, for ground stations that show them no other way.
    pub status_text: bool,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            system_id: None,
            component_id: *COMPONENTS.start(),
            shown_ago_ms: 250.0,
            shown_ago_sigma_ms: 50.0,
            video_uri: None,
            gimbal_device_id: 0,
            status_text: true,
        }
    }
}

impl CameraConfig {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        ranges::within(
            SHOWN_AGO_MS,
            &[
                ("telemetry.mavlink.camera.shown_ago_ms", self.shown_ago_ms),
                ("telemetry.mavlink.camera.shown_ago_sigma_ms", self.shown_ago_sigma_ms),
            ],
        )?;
        let (first, last) = (COMPONENTS.start(), COMPONENTS.end());
        match self.component_id {
            id if COMPONENTS.contains(&id) => Ok(()),
            id => Err(format!("telemetry.mavlink.camera.component_id is {id}; it must be from {first} to {last}")),
        }
    }
}
