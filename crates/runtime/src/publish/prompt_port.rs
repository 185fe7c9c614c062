//! How a ground station's click becomes a prompt.

use std::time::Duration;

use actix::Addr;
use smgeo_messages::{Prompt, TargetId};
use tokio::runtime::Runtime;

use crate::prompts::{Delete, FollowPoint, FrameIndex, Prompts, ShownAgo};

/// The longest a sender is kept waiting: its retries come after a second and more.
const ANSWER_MAX: Duration = Duration::from_millis(200);

/// Takes clicks that name no frame. Calls answer soon: the sender waits for its acknowledgement.
pub trait PromptPort: Send {
    /// Starts following the object under a point of the picture (fractions of width and height from the top left) that was
    /// captured `shown_ago`. The answered prompt names the frame that was assumed, and stands in the place of `instead_of`.
    fn follow(
        &mut self,
        fraction: [f64; 2],
        shown_ago: ShownAgo,
        instead_of: Option<TargetId>,
    ) -> Result<Prompt, String>;

    /// Stops following a target; one that is gone already is no error.
    fn stop(&mut self, target: TargetId);

    /// The size of the newest frame, width and height in pixels; `None` before the first.
    fn frame_px(&self) -> Option<[u32; 2]>;
}

/// Hands clicks to the prompt actor and waits a limited time for its answer.
pub struct ActorPromptPort {
    prompts: Addr<Prompts>,
    frames: FrameIndex,
    // Only for waiting with a limit.
    runtime: Runtime,
}

impl ActorPromptPort {
    /// Makes the port; `frames` is the index that the actor uses.
    pub fn new(prompts: Addr<Prompts>, frames: FrameIndex) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { prompts, frames, runtime })
    }
}

impl PromptPort for ActorPromptPort {
    fn follow(
        &mut self,
        fraction: [f64; 2],
        shown_ago: ShownAgo,
        instead_of: Option<TargetId>,
    ) -> Result<Prompt, String> {
        let request = self.prompts.send(FollowPoint { fraction, shown_ago, label: None, instead_of });
        match self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, request).await }) {
            Ok(Ok(answer)) => answer.map_err(|refusal| refusal.to_string()),
            Ok(Err(_)) => Err("the prompt actor is not there: click again".to_owned()),
            Err(_) => Err("the prompt actor is busy: click again".to_owned()),
        }
    }

    fn stop(&mut self, target: TargetId) {
        let request = self.prompts.send(Delete { target });
        // Whether it was there, and whether the answer comes in time, changes nothing for the sender.
        let _ = self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, request).await });
    }

    fn frame_px(&self) -> Option<[u32; 2]> {
        self.frames.newest().map(|frame| [frame.width_px, frame.height_px])
    }
}
