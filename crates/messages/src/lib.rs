//! The nouns that pass between actors.
//!
//! Plain structs that never change after they are sent. Each carries the [`smgeo_flow::Stamp`] of the moment it
//! describes: capture time, never arrival time. Only [`wire`] leaves the machine, and only it is serialisable.

pub mod detection;
pub mod evidence;
pub mod followed;
pub mod frame;
pub mod prompt;
pub mod query;
pub mod telemetry;
pub mod track;
pub mod wire;

pub use detection::{Detection, Found, Outcome, Provenance};
pub use evidence::Evidence;
pub use followed::{Followed, FollowedTarget, Sight};
pub use frame::{AccessUnit, Frame, FrameId, PixelFormat, SharedFrame, TimeSource};
pub use prompt::{Prompt, PromptSet, PromptSource, TargetId};
pub use query::{PoseUsed, Query, QueryBatch, RayFix};
pub use telemetry::{GimbalAttitude, Telemetry, Told, VehicleHeight, VehiclePosition, YawFrame};
pub use track::{Basis, Estimate, Track, TrackState};
