//! What the vehicle says of itself, and from it the camera's pose at any recent moment.
//!
//! A source (a MAVLink link, a recorded log) gives samples; each holds what one message told about one moment. The
//! [`PoseBuffer`] keeps a few seconds of them and joins them at a frame's capture time. It believes nothing at once: what
//! is no number, jumps, stands still or runs backwards is refused and counted by cause, and a pose that rests on a
//! doubtful position says so.

mod address;
mod boot_clock;
mod buffer;
mod error;
mod link;
mod log;
mod log_player;
mod mavlink;
mod no_pose;
mod pose_config;
mod position_gate;
mod row;
mod serial_line;
mod udp_port;
mod utc_watch;

pub use address::LinkAddress;
pub use boot_clock::{BootClock, BootClockJump, Mapped};
pub use buffer::{FieldOfView, PoseAt, PoseBuffer, RejectedCounts};
pub use error::TelemetryError;
pub use link::{Link, LinkCounts, LinkReader, Received, Signing};
pub use log::{LogReader, LogWriter};
pub use log_player::{LogCounts, LogPlayer};
pub use mavlink::{GpsFix, MavlinkCounts, MavlinkDecoder, MavlinkReceiver};
pub use no_pose::{NoPose, Rejected};
pub use pose_config::{Mount, PoseConfig};
pub use position_gate::{PositionGate, Suspicion};
pub use utc_watch::UtcWatch;

#[cfg(test)]
mod tests;
