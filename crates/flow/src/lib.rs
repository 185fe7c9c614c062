//! How work moves through smgeo, without knowing what the work is.
//!
//! A frame path that must never fall behind its camera needs four things: a slot in which the newest item replaces
//! the stale one ([`latest`]), a unit of work that can be restarted ([`stage`]), evidence of progress
//! ([`heartbeat`]), and one source of time that a test can turn by hand ([`clock`]).

pub mod clock;
pub mod heartbeat;
pub mod latest;
pub mod stage;
pub mod stop;

pub use clock::{Clock, HandClock, SharedClock, Stamp, SystemClock};
pub use heartbeat::{Heartbeat, Pulse};
pub use stage::{Fault, Stage, Verdict};
pub use stop::StopToken;
