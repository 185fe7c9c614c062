//! The stage: every target in the newest frame.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use smgeo_engine::rectify::Halvings;
use smgeo_flow::latest::{Put, Take};
use smgeo_flow::{Fault, Stage};
use smgeo_geo::{self as geo, Pixel};
use smgeo_messages::{Followed, FollowedTarget, Frame, FrameId, Prompt, PromptSet, Sight, TargetId};
use tokio::sync::watch;

use super::Config;
use super::follower::{Buffers, Follower, LostReason};
use super::pyramid::PyramidBuilder;
use super::ring::FrameRing;

/// A step returns after this, so that a heartbeat is seen and a stop is heard.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A click may come before its frame has been decoded; one that is so far ahead belongs to no frame of ours.
const AHEAD_MAX: u64 = 300;

/// Says where a target was found by other means, in a frame of the past.
#[derive(Clone, Copy, Debug)]
pub struct ReAnchor {
    /// The target.
    pub target: TargetId,
    /// The prompt's revision the finding belongs to.
    pub revision: u32,
    /// The frame it was found in.
    pub frame: FrameId,
    /// Where.
    pub pixel: Pixel<geo::Frame>,
    /// One standard deviation of either coordinate, pixels.
    pub sigma_px: f64,
}

/// Follows all targets.
pub struct Follow {
    frames: Take<Frame>,
    prompts: watch::Receiver<PromptSet>,
    re_anchors: Receiver<ReAnchor>,
    followed: Put<Followed>,
    builder: PyramidBuilder,
    ring: FrameRing,
    targets: BTreeMap<TargetId, Target>,
    buffers: Buffers,
}

struct Target {
    revision: u32,
    follower: Result<Follower, LostReason>,
}

impl Follow {
    /// Makes the stage.
    pub fn new(
        config: Config,
        frames: Take<Frame>,
        prompts: watch::Receiver<PromptSet>,
        re_anchors: Receiver<ReAnchor>,
        followed: Put<Followed>,
    ) -> Self {
        Self {
            frames,
            prompts,
            re_anchors,
            followed,
            builder: PyramidBuilder::new(config.work_width_px_max),
            ring: FrameRing::new(config),
            targets: BTreeMap::new(),
            buffers: Buffers::default(),
        }
    }

    fn follow(&mut self, frame: Frame) {
        let prompts = self.prompts.borrow_and_update().targets.clone();
        let Some(picture) = frame.picture() else { return };
        // Following and the crops both look at a smaller picture.
        let halvings = Arc::new(Halvings::of(picture));
        let Some(targets) = self.follow_targets(&frame, &halvings, &prompts) else { return };
        self.followed.put(Followed { frame: Arc::new(frame), halvings, targets });
    }

    /// Carries all targets to a frame; none if it is too small for that.
    fn follow_targets(
        &mut self,
        frame: &Frame,
        halvings: &Halvings,
        prompts: &[Prompt],
    ) -> Option<Vec<FollowedTarget>> {
        let picture = self.builder.build(frame, halvings)?;
        self.ring.push(picture.clone());
        for target in self.targets.values_mut() {
            if let Ok(follower) = &mut target.follower {
                // How it ended is asked below.
                let _ = follower.step(&picture, &mut self.buffers);
            }
        }
        while let Ok(found) = self.re_anchors.try_recv() {
            self.re_anchor(found);
        }
        self.targets.retain(|target, _| prompts.iter().any(|prompt| prompt.target == *target));
        Some(prompts.iter().map(|prompt| self.target(prompt)).collect())
    }

    fn target(&mut self, prompt: &Prompt) -> FollowedTarget {
        let known = self.targets.get(&prompt.target).filter(|target| target.revision == prompt.revision);
        let sight = match known {
            Some(target) => sight_of(&target.follower),
            None if self.is_yet_to_come(prompt.frame) => Sight::Lost("the clicked frame is not decoded yet"),
            None => {
                let follower = self.ring.carry(prompt.frame, prompt.click, prompt.sigma_px, &mut self.buffers);
                let sight = sight_of(&follower);
                self.targets.insert(prompt.target, Target { revision: prompt.revision, follower });
                sight
            }
        };
        FollowedTarget { prompt: prompt.clone(), sight }
    }

    fn is_yet_to_come(&self, frame: FrameId) -> bool {
        self.ring.is_ahead(frame) && !self.ring.is_ahead(FrameId(frame.0.saturating_sub(AHEAD_MAX)))
    }

    fn re_anchor(&mut self, found: ReAnchor) {
        let Some(target) = self.targets.get_mut(&found.target) else { return };
        if target.revision != found.revision {
            return;
        }
        if let Ok(follower) = &mut target.follower
            && follower.re_anchor(found.frame, found.pixel, found.sigma_px)
        {
            return;
        }
        // A target that was lost from sight and found by other means is followed again from where it was found.
        let follower = self.ring.carry(found.frame, found.pixel, found.sigma_px, &mut self.buffers);
        if follower.is_ok() {
            target.follower = follower;
        }
    }
}

impl Stage for Follow {
    fn name(&self) -> &'static str {
        "follow"
    }

    fn step(&mut self) -> Result<(), Fault> {
        if let Some(frame) = self.frames.take(POLL_INTERVAL) {
            self.follow(frame);
        }
        Ok(())
    }
}

fn sight_of(follower: &Result<Follower, LostReason>) -> Sight {
    match follower {
        Ok(follower) => follower.sight(),
        Err(reason) => Sight::Lost(reason.phrase()),
    }
}
