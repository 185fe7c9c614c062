//! What may be asked for, and how late.

use std::time::Duration;

use serde::Deserialize;

/// Limits what operators may ask for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptsConfig {
    /// The most targets followed at once; each costs one query per frame.
    pub targets_max: usize,
    /// The age at which a frame can no longer be clicked. The ring of frames holds at least as much.
    pub frame_age_ms_max: u64,
    /// The most characters of a target's name.
    pub label_chars_max: usize,
}

impl Default for PromptsConfig {
    fn default() -> Self {
        Self { targets_max: 16, frame_age_ms_max: 5_000, label_chars_max: 64 }
    }
}

impl PromptsConfig {
    /// Returns the age at which a frame can no longer be clicked.
    pub fn frame_age_max(&self) -> Duration {
        Duration::from_millis(self.frame_age_ms_max)
    }
}
