//! The actors and their wiring: ingest, telemetry, tiles, prompts, assemble, locate, fuse, publish, control, web.

pub mod assemble;
pub mod backend;
pub mod camera;
pub mod config;
pub mod control;
pub mod film;
pub mod follow;
pub mod fuse;
pub mod ingest;
pub mod locate;
pub mod prompts;
pub mod publish;
mod ranges;
pub mod rtsp_server;
pub mod telemetry;
pub mod terrain;
pub mod tiles;
pub mod vehicle;
pub mod web;
pub mod wiring;

/// Makes the actix system that the machine runs in.
pub fn system() -> actix_rt::SystemRunner {
    actix_rt::System::new()
}
