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
    /// Checks the numbers; `ring_ms` is how long following keeps frames. The sentence says which to change.
    pub fn check(&self, ring_ms: u64) -> Result<(), String> {
        if self.targets_max == 0 {
            return Err("prompts.targets_max is 0, so nothing could be followed; give at least 1".to_owned());
        }
        let age_ms = self.frame_age_ms_max;
        if age_ms == 0 || age_ms > ring_ms {
            return Err(format!(
                "prompts.frame_age_ms_max is {age_ms}; it must be from 1 to follow.ring_ms, which is {ring_ms}: \
                 a click on a frame that is not kept cannot be followed"
            ));
        }
        Ok(())
    }

    /// Returns the age at which a frame can no longer be clicked.
    pub fn frame_age_max(&self) -> Duration {
        Duration::from_millis(self.frame_age_ms_max)
    }
}
