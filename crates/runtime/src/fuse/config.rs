//! How evidence becomes a track.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::ranges;

/// Whoever hears nothing of a target for two seconds takes it as dropped.
const PUBLISH_INTERVAL_S: RangeInclusive<f64> = 0.01..=1.0;

/// Sets how evidence becomes a track.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Answers below this probability are no confirmation, 0 to 1.
    pub score_min: f64,
    /// An answer further from the ray of the click than both explain is no confirmation; the ray's standard deviation is
    /// taken as this many times what telemetry claims.
    pub click_widening: f64,
    /// Confirmations before a track counts as locked.
    pub confirmations_min: u32,
    /// A track becomes locked when its place is at least this probable, averaged over `correlation_s`. CE90 leaves one case in ten: half
    /// of that for look-alikes elsewhere, half for the spread about the place.
    pub locked_probability_min: f64,
    /// It stays locked while its place is at least this probable: less, so that one answer elsewhere does not unlock it.
    pub kept_probability_min: f64,
    /// A track is locked only while its CE90 is at most this, metres.
    pub locked_ce90_m_max: f64,
    /// A track is locked only while its last confirmation is at most this old, seconds.
    pub locked_age_s_max: f64,
    /// A track without confirmation for this long is lost, seconds.
    pub coasting_s: f64,
    /// Errors of frames closer than this are taken as the same error, seconds.
    pub correlation_s: f64,
    /// How fast the variance of a confirmed position grows, m²/s, so that an old error is not believed for ever.
    pub creep_m2_s: f64,
    /// How fast the uncertainty of an unconfirmed position grows, m/s, one standard deviation.
    pub drift_mps: f64,
    /// One standard deviation of how far the imagery itself may lie off, metres; added to every CE90.
    pub map_sigma_m: f64,
    /// A track is published at least this often, seconds.
    pub publish_interval_s_max: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            score_min: 0.25,
            click_widening: 2.0,
            confirmations_min: 5,
            locked_probability_min: 0.95,
            kept_probability_min: 0.9,
            locked_ce90_m_max: 25.0,
            locked_age_s_max: 2.0,
            coasting_s: 10.0,
            correlation_s: 4.0,
            creep_m2_s: 0.02,
            drift_mps: 0.5,
            map_sigma_m: 1.0,
            publish_interval_s_max: 0.5,
        }
    }
}

impl Config {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        ranges::positive(&[
            ("fuse.click_widening", self.click_widening),
            ("fuse.locked_ce90_m_max", self.locked_ce90_m_max),
            ("fuse.locked_age_s_max", self.locked_age_s_max),
            ("fuse.coasting_s", self.coasting_s),
            ("fuse.correlation_s", self.correlation_s),
        ])?;
        ranges::within(PUBLISH_INTERVAL_S, &[("fuse.publish_interval_s_max", self.publish_interval_s_max)])?;
        ranges::not_negative(&[
            ("fuse.creep_m2_s", self.creep_m2_s),
            ("fuse.drift_mps", self.drift_mps),
            ("fuse.map_sigma_m", self.map_sigma_m),
        ])?;
        ranges::probability(&[
            ("fuse.score_min", self.score_min),
            ("fuse.locked_probability_min", self.locked_probability_min),
            ("fuse.kept_probability_min", self.kept_probability_min),
        ])?;
        if self.kept_probability_min > self.locked_probability_min {
            return Err(
                "fuse.kept_probability_min is more than fuse.locked_probability_min; what locks has to keep the lock"
                    .into(),
            );
        }
        if self.coasting_s < self.locked_age_s_max {
            return Err(
                "fuse.coasting_s is less than fuse.locked_age_s_max; a track coasts after it was locked".to_owned()
            );
        }
        Ok(())
    }
}
