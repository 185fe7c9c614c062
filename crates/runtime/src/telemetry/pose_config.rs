//! How poses are made of telemetry.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::ranges;

/// How much telemetry may be kept, seconds.
const KEEP_S: RangeInclusive<f64> = 1.0..=600.0;

/// Says how poses are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoseConfig {
    /// How the camera hangs on the vehicle.
    pub mount: Mount,
    /// The longest stretch between two samples that is bridged, milliseconds.
    pub gap_ms_max: f64,
    /// The longest time past the newest sample, milliseconds.
    pub extrapolate_ms_max: f64,
    /// How long a field of view that telemetry told is believed, seconds: since then the camera may have zoomed.
    pub field_of_view_age_s_max: f64,
    /// How many seconds are kept.
    pub keep_s: f64,
    /// The fastest the vehicle flies, m/s; what is faster is a jump.
    pub speed_mps_max: f64,
    /// One standard deviation of the camera's yaw, degrees.
    pub yaw_sigma_deg: f64,
    /// One standard deviation of the camera's pitch, degrees.
    pub pitch_sigma_deg: f64,
    /// One standard deviation of the camera's roll, degrees.
    pub roll_sigma_deg: f64,
    /// One standard deviation of the position, metres; the vehicle's own figure counts where it is larger.
    pub horizontal_sigma_m: f64,
    /// One standard deviation of the height, metres; the vehicle's own figure counts where it is larger.
    pub vertical_sigma_m: f64,
    /// What is not known of the time between video and telemetry, milliseconds.
    pub time_sigma_ms: f64,
}

impl PoseConfig {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        ranges::within(KEEP_S, &[("pose.keep_s", self.keep_s)])?;
        ranges::positive(&[
            ("pose.field_of_view_age_s_max", self.field_of_view_age_s_max),
            ("pose.speed_mps_max", self.speed_mps_max),
            ("pose.yaw_sigma_deg", self.yaw_sigma_deg),
            ("pose.pitch_sigma_deg", self.pitch_sigma_deg),
            ("pose.roll_sigma_deg", self.roll_sigma_deg),
            ("pose.horizontal_sigma_m", self.horizontal_sigma_m),
            ("pose.vertical_sigma_m", self.vertical_sigma_m),
        ])?;
        ranges::not_negative(&[
            ("pose.gap_ms_max", self.gap_ms_max),
            ("pose.extrapolate_ms_max", self.extrapolate_ms_max),
            ("pose.time_sigma_ms", self.time_sigma_ms),
        ])?;
        if let Mount::Fixed { yaw_deg, pitch_deg, roll_deg } = self.mount
            && ![yaw_deg, pitch_deg, roll_deg].iter().all(|angle| angle.is_finite())
        {
            return Err("pose.mount has an angle that is no number".to_owned());
        }
        Ok(())
    }
}

impl Default for PoseConfig {
    fn default() -> Self {
        Self {
            mount: Mount::Gimbal,
            gap_ms_max: 1_000.0,
            extrapolate_ms_max: 500.0,
            field_of_view_age_s_max: 10.0,
            keep_s: 10.0,
            speed_mps_max: 60.0,
            yaw_sigma_deg: 2.0,
            pitch_sigma_deg: 1.0,
            roll_sigma_deg: 1.0,
            horizontal_sigma_m: 2.5,
            vertical_sigma_m: 4.0,
            time_sigma_ms: 20.0,
        }
    }
}

/// Says how the camera hangs on the vehicle.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mount {
    /// On a gimbal that tells its attitude.
    #[default]
    Gimbal,
    /// Fixed to the airframe, turned by these angles against it.
    Fixed {
        /// To the right, degrees.
        yaw_deg: f64,
        /// Up, degrees: straight down is -90.
        pitch_deg: f64,
        /// Right side down, degrees.
        roll_deg: f64,
    },
}
