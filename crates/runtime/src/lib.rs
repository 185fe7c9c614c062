//! The actors and their wiring: ingest, telemetry, tiles, prompts, assemble, locate, fuse, publish, control, web.

pub mod control;
pub mod follow;
pub mod ingest;
pub mod prompts;
pub mod rtsp_server;
pub mod telemetry;
pub mod tiles;
pub mod web;
