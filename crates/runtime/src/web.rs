//! The operator's window: the page, the REST interface and the WebSockets, described in `docs/api.md`.
//!
//! Everything here reads: states from `watch` channels, tracks and video from `broadcast` channels, each with its own copy
//! of what it shows. The one thing that is written, the prompts, goes through the prompt actor. So a slow or hostile
//! client can cost its own connection and nothing else. Nobody outside the machine is let in unless the configuration
//! says so.

pub mod about;
pub mod config;
pub mod drone;
pub mod error;
pub mod guard;
pub mod heat;
pub mod json;
pub mod live;
pub mod page;
pub mod problem;
pub mod rest;
pub mod server;
mod socket;
pub mod tiles;
pub mod tracks;
pub mod video;

pub use about::{About, ImageryAbout, ModelAbout};
pub use config::WebConfig;
pub use drone::DroneView;
pub use error::WebError;
pub use heat::{HeatBoard, HeatMap};
pub use server::{WebParts, WebServer};
pub use tiles::{ServedTile, TileServer};
pub use tracks::{ShownTrack, TrackBoard};
