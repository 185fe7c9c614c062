//! What the operator wants followed.
//!
//! One actor is the sole writer of the prompt set, so that the page, the REST interface and a MAVLink ground station
//! cannot disagree. Every click names the frame the operator saw: by the time it arrives the drone has moved on, and the
//! pixel means something only in that frame. A click that cannot be placed is refused with a sentence that says what to do.

pub mod config;
pub mod error;
pub mod frame_index;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use smgeo_flow::SharedClock;
use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{FrameId, Prompt, PromptSet, PromptSource, TargetId};
use tokio::sync::watch;

pub use config::PromptsConfig;
pub use error::PromptError;
pub use frame_index::{FrameIndex, SeenFrame};

use crate::control::Metrics;
use crate::follow::PICTURE_MOTION;

/// Requests that may wait for the actor: far more than operators click, far less than a flood.
const MAILBOX_MAX: usize = 64;
/// A click hits its object this well.
const CLICK_SIGMA_PX: f64 = 2.0;

/// Starts following the object under a pixel of the frame the operator saw. Answers with the prompt as accepted.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<Prompt, PromptError>")]
pub struct Follow {
    /// The frame the operator saw.
    pub frame: FrameId,
    /// The pixel in that frame.
    pub click: Pixel<geo::Frame>,
    /// What the operator calls the object.
    pub label: Option<String>,
}

/// Says how long ago the picture that an operator saw was captured, as well as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownAgo {
    /// The best guess.
    pub mean: Duration,
    /// One standard deviation.
    pub sigma: Duration,
}

/// Starts following the object under a point of the picture, where the sender knows neither the frame nor its size.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<Prompt, PromptError>")]
pub struct FollowPoint {
    /// The point as fractions of width and height, 0 to 1 from the top left.
    pub fraction: [f64; 2],
    /// How long ago the picture that the operator saw was captured.
    pub shown_ago: ShownAgo,
    /// What the operator calls the object.
    pub label: Option<String>,
    /// The target whose place the new one takes, if it is accepted.
    pub instead_of: Option<TargetId>,
}

/// Says anew where a target is, or what it is called, or both: then both or neither. A click begins its search again.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<Prompt, PromptError>")]
pub struct Change {
    /// The target.
    pub target: TargetId,
    /// The frame the operator saw and the pixel in it; where absent, the target's search goes on.
    pub click: Option<(FrameId, Pixel<geo::Frame>)>,
    /// What the operator calls it; `Some(None)` takes the name away.
    pub label: Option<Option<String>>,
}

/// Stops following a target. Answers with the prompt it had.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<Prompt, PromptError>")]
pub struct Delete {
    /// The target.
    pub target: TargetId,
}

/// Asks for everything that is followed.
#[derive(Message, Clone, Debug)]
#[rtype(result = "PromptSet")]
pub struct List;

/// Holds the prompt set and is its only writer.
pub struct Prompts {
    config: PromptsConfig,
    clock: SharedClock,
    frames: FrameIndex,
    metrics: Metrics,
    set: watch::Sender<PromptSet>,
    target_next: u32,
}

impl Prompts {
    /// Makes the actor. `set` is where the prompt set is published; `frames` holds every frame an operator can have seen.
    pub fn new(
        config: PromptsConfig,
        clock: SharedClock,
        frames: FrameIndex,
        metrics: Metrics,
        set: watch::Sender<PromptSet>,
    ) -> Self {
        Self { config, clock, frames, metrics, set, target_next: 1 }
    }

    fn follow(&mut self, follow: Follow) -> Result<Prompt, PromptError> {
        let seen = self.frame_of(follow.frame)?;
        self.add(&seen, (follow.click, CLICK_SIGMA_PX), follow.label, PromptSource::Exact, None)
    }

    fn follow_point(&mut self, point: &FollowPoint) -> Result<Prompt, PromptError> {
        let [x, y] = point.fraction;
        if !(0.0..=1.0).contains(&x) || !(0.0..=1.0).contains(&y) {
            return Err(PromptError::OutsidePicture { x, y });
        }
        let shown = self.clock.now().minus(point.shown_ago.mean);
        let seen = self.frames.shown_at(shown).ok_or(PromptError::NoVideo)?;
        self.check_shown(&seen)?;
        // The last column's outer edge is still the last column.
        let inside = |fraction: f64, size_px: u32| (fraction * f64::from(size_px)).min(f64::from(size_px) - 0.5);
        let click = Pixel::new(inside(x, seen.width_px), inside(y, seen.height_px));
        // The operator may have seen another frame, in which the object was elsewhere.
        let motion_px_s = PICTURE_MOTION * f64::from(seen.width_px);
        let sigma_px = CLICK_SIGMA_PX.hypot(motion_px_s * point.shown_ago.sigma.as_secs_f64());
        self.add(&seen, (click, sigma_px), point.label.clone(), PromptSource::AssumedFrame, point.instead_of)
    }

    fn add(
        &mut self,
        seen: &SeenFrame,
        (click, sigma_px): (Pixel<geo::Frame>, f64),
        label: Option<String>,
        source: PromptSource,
        instead_of: Option<TargetId>,
    ) -> Result<Prompt, PromptError> {
        inside(seen, click)?;
        let label = self.checked_label(label)?;
        let limit = self.config.targets_max;
        let stays = |prompt: &Prompt| Some(prompt.target) != instead_of;
        if self.set.borrow().targets.iter().filter(|prompt| stays(prompt)).count() >= limit {
            return Err(PromptError::TooMany { limit });
        }
        let prompt = Prompt {
            target: TargetId(self.target_next),
            revision: 1,
            frame: seen.id,
            frame_captured: seen.captured,
            click,
            sigma_px,
            label,
            source,
            created: self.clock.now(),
        };
        self.target_next += 1;
        self.publish(|targets| {
            targets.retain(stays);
            targets.push(prompt.clone());
        });
        tracing::info!(target_id = %prompt.target, frame_id = %prompt.frame, "target followed");
        Ok(prompt)
    }

    fn change(&mut self, change: Change) -> Result<Prompt, PromptError> {
        let mut prompt = self.prompt_of(change.target)?;
        if let Some(label) = change.label {
            prompt.label = self.checked_label(label)?;
        }
        if let Some((frame, click)) = change.click {
            prompt = self.moved(prompt, frame, click)?;
            tracing::info!(target_id = %prompt.target, frame_id = %prompt.frame, "target moved");
        }
        self.replace(prompt.clone());
        Ok(prompt)
    }

    fn moved(&self, prompt: Prompt, frame: FrameId, click: Pixel<geo::Frame>) -> Result<Prompt, PromptError> {
        let seen = self.frame_of(frame)?;
        inside(&seen, click)?;
        Ok(Prompt {
            revision: prompt.revision + 1,
            frame: seen.id,
            frame_captured: seen.captured,
            click,
            sigma_px: CLICK_SIGMA_PX,
            source: PromptSource::Exact,
            created: self.clock.now(),
            ..prompt
        })
    }

    fn delete(&mut self, target: TargetId) -> Result<Prompt, PromptError> {
        let prompt = self.prompt_of(target)?;
        self.publish(|targets| targets.retain(|kept| kept.target != target));
        tracing::info!(target_id = %target, "target deleted");
        Ok(prompt)
    }

    fn prompt_of(&self, target: TargetId) -> Result<Prompt, PromptError> {
        let set = self.set.borrow();
        set.get(target).cloned().ok_or_else(|| PromptError::UnknownTarget {
            target,
            known: set.targets.iter().map(|prompt| prompt.target.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    fn frame_of(&self, frame: FrameId) -> Result<SeenFrame, PromptError> {
        let newest = self.frames.newest().ok_or(PromptError::NoVideo)?;
        let Some(seen) = self.frames.find(frame) else {
            let newest = newest.id;
            return Err(if frame > newest {
                PromptError::FrameUnknown { frame, newest }
            } else {
                PromptError::FrameGone { frame, newest, limit: self.config.frame_age_max() }
            });
        };
        self.check_shown(&seen)?;
        Ok(seen)
    }

    /// Refuses frames that do not show what the drone saw lately.
    fn check_shown(&self, seen: &SeenFrame) -> Result<(), PromptError> {
        if seen.frozen {
            return Err(PromptError::VideoFrozen { frame: seen.id });
        }
        let limit = self.config.frame_age_max();
        if self.clock.now().since(seen.captured) <= limit {
            return Ok(());
        }
        let newest = self.frames.newest().map_or(seen.id, |newest| newest.id);
        Err(PromptError::FrameGone { frame: seen.id, newest, limit })
    }

    fn checked_label(&self, label: Option<String>) -> Result<Option<Arc<str>>, PromptError> {
        let Some(label) = label else { return Ok(None) };
        let label = label.trim();
        let limit = self.config.label_chars_max;
        if label.chars().count() > limit || label.chars().any(char::is_control) {
            return Err(PromptError::BadLabel { limit });
        }
        Ok((!label.is_empty()).then(|| Arc::from(label)))
    }

    fn replace(&mut self, prompt: Prompt) {
        self.publish(|targets| {
            if let Some(slot) = targets.iter_mut().find(|slot| slot.target == prompt.target) {
                *slot = prompt;
            }
        });
    }

    fn publish(&mut self, change: impl FnOnce(&mut Vec<Prompt>)) {
        self.set.send_modify(|set| {
            let mut targets = set.targets.to_vec();
            change(&mut targets);
            set.targets = targets.into();
            set.revision += 1;
        });
    }

    /// Counts an answer, by its outcome.
    fn counted<T>(&self, answer: Result<T, PromptError>) -> Result<T, PromptError> {
        match &answer {
            Ok(_) => self.metrics.items("prompts", "accepted").inc(),
            Err(error) => self.metrics.errors("prompts", error.code()).inc(),
        }
        answer
    }
}

/// Refuses a click outside its frame. Written so that NaN is outside.
fn inside(seen: &SeenFrame, click: Pixel<geo::Frame>) -> Result<(), PromptError> {
    let (width_px, height_px) = (seen.width_px, seen.height_px);
    let (x, y) = (click.x, click.y);
    if (0.0..f64::from(width_px)).contains(&x) && (0.0..f64::from(height_px)).contains(&y) {
        return Ok(());
    }
    Err(PromptError::OutsideFrame { x, y, width_px, height_px })
}

impl Actor for Prompts {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<Follow> for Prompts {
    type Result = Result<Prompt, PromptError>;

    fn handle(&mut self, message: Follow, _: &mut Self::Context) -> Self::Result {
        let answer = self.follow(message);
        self.counted(answer)
    }
}

impl Handler<FollowPoint> for Prompts {
    type Result = Result<Prompt, PromptError>;

    fn handle(&mut self, message: FollowPoint, _: &mut Self::Context) -> Self::Result {
        let answer = self.follow_point(&message);
        self.counted(answer)
    }
}

impl Handler<Change> for Prompts {
    type Result = Result<Prompt, PromptError>;

    fn handle(&mut self, message: Change, _: &mut Self::Context) -> Self::Result {
        let answer = self.change(message);
        self.counted(answer)
    }
}

impl Handler<Delete> for Prompts {
    type Result = Result<Prompt, PromptError>;

    fn handle(&mut self, message: Delete, _: &mut Self::Context) -> Self::Result {
        let answer = self.delete(message.target);
        self.counted(answer)
    }
}

impl Handler<List> for Prompts {
    type Result = MessageResult<List>;

    fn handle(&mut self, _: List, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.set.borrow().clone())
    }
}

#[cfg(test)]
#[path = "prompts/tests.rs"]
mod tests;
