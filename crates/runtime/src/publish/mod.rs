//! Out of the machine: each track, to everyone who listens.
//!
//! Every output is a function of one [`smgeo_messages::Track`]. Each has a thread of its own, fed by a broadcast that never
//! waits: a slow output loses its oldest tracks, and both it and its readers see how many. Nothing here can hold up the
//! frame path, and no output can hold up another.

mod camera_commands;
mod camera_component;
mod camera_config;
mod camera_messages;
mod error;
mod ndjson;
mod prompt_port;
mod sink;
mod zenoh;

pub(crate) use self::zenoh::key_prefix;
pub use self::zenoh::{ZenohConfig, ZenohSink};
pub use camera_commands::{Answer, CameraCommand};
pub use camera_component::{CameraComponent, CameraCounts};
pub use camera_config::CameraConfig;
pub use error::PublishError;
pub use ndjson::{NdjsonConfig, NdjsonSink};
pub use prompt_port::{ActorPromptPort, PromptPort};
pub use sink::{Numbered, Sink, SinkCounts, SinkStage};

#[cfg(test)]
mod tests;
