//! The nouns that pass between actors.
//!
//! Plain structs that never change after they are sent. Each carries the [`smgeo_flow::Stamp`] of the moment it
//! describes: capture time, never arrival time.

pub mod frame;

pub use frame::{AccessUnit, Frame, FrameId, PixelFormat, SharedFrame, TimeSource};
