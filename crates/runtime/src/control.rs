//! Who keeps the machine running, and who says how it is.
//!
//! The [`conductor`] owns every stage of the frame path: it gives each a thread, rebuilds the one that failed, and
//! feeds the service manager's watchdog only while all of them move. What it and the other parts know about
//! themselves is gathered on the [`health`] board and in [`metrics`]; the web server shows both.

pub mod backoff;
pub mod conductor;
pub mod health;
#[cfg(test)]
pub mod journal;
pub mod metrics;
pub mod post;
pub mod seldom;
pub mod service;
pub mod told_cause;

pub use backoff::Backoff;
pub use conductor::{Conductor, ConductorParts, Ending, Shutdown, Tick};
pub use health::{Health, HealthBoard, Level, PartHealth, PartReporter};
pub use metrics::{Count, Gauge, Latency, Metrics, StageMetrics, resident_mb};
pub use post::{StageFactory, StageSpec};
pub use seldom::Seldom;
pub use service::{Notify, Systemd};
pub use told_cause::ToldCause;
