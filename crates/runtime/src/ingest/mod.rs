//! Ingest: live video in, the newest frame out, for ever.
//!
//! A camera does not wait and a radio link does not hold, so two rules shape this module. The newest frame wins: a frame
//! that nobody took in time is replaced and counted, never queued. And no loss ends anything: whatever happens to a source,
//! it is taken down, and tried again after a back-off, until somebody stops the process.
//!
//! Each frame carries the time light fell on the sensor with its source and sigma ([`capture_clock`]), and each H.264 access
//! unit of the camera is handed to the page as it came, under the id of the frame it decodes to.

pub mod capture_clock;
pub mod config;
pub mod counts;
pub mod error;
pub mod gst;
pub mod packages;
mod shown;
pub mod still;
pub mod supervise;
pub mod tap;

pub use config::{AtEnd, Config, Source, TestSource, V4l2Format, V4l2Source};
pub use counts::Counts;
pub use error::IngestError;
pub use supervise::{Ingest, IngestBoard, IngestView, LossCause, SourceState};
