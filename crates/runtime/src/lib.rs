//! The actors and their wiring: ingest, telemetry, tiles, prompts, assemble, locate, fuse, publish, control, web.

pub mod telemetry;
pub mod tiles;
