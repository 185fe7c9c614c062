//! How far the ray is believed, and what an answer is uncertain by.

use serde::{Deserialize, Serialize};

use crate::ranges;

/// Sets the search.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The ray's standard deviation is taken as this many times what telemetry claims: errors of a flight are the same in every frame, so
    /// a compass that is off by two standard deviations would choose the wrong one of two like houses each time.
    pub prior_widening: f64,
    /// The probability that the ray is wrong altogether, 0 to 1: it keeps an answer far from the ray possible.
    pub prior_outlier: f64,
    /// One standard deviation of what relief and pose distort, metres. This and the next two do not shrink with the number of answers.
    pub rectification_sigma_m: f64,
    /// The same for what is high, as part of how far it leans over in the picture.
    pub lean_share: f64,
    /// The same for what is large, as part of the longer side of its box.
    pub size_share: f64,
    /// Looks for four points around each object too, which tell it from its look-alikes. Without them an answer takes less time and is
    /// less certain.
    pub witnesses: bool,
    /// Asks each question with another target's picture as well and reports those answers apart. A control for
    /// evaluations: a network that looks at its query must fail at it.
    pub shuffled_control: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prior_widening: 3.0,
            prior_outlier: 0.01,
            rectification_sigma_m: 1.0,
            lean_share: 0.25,
            size_share: 0.1,
            witnesses: true,
            shuffled_control: false,
        }
    }
}

impl Config {
    /// Checks the numbers and returns a sentence that says which to change.
    pub fn check(&self) -> Result<(), String> {
        if !(self.prior_widening.is_finite() && self.prior_widening >= 1.0) {
            return Err(format!("locate.prior_widening is {}; it must be 1 or more", self.prior_widening));
        }
        if !(0.0..1.0).contains(&self.prior_outlier) {
            return Err(format!("locate.prior_outlier is {}; it must be from 0 to less than 1", self.prior_outlier));
        }
        ranges::not_negative(&[
            ("locate.rectification_sigma_m", self.rectification_sigma_m),
            ("locate.lean_share", self.lean_share),
            ("locate.size_share", self.size_share),
        ])
    }
}
