//! Training: the plan, one step, and the run around it with its log, checkpoints and looks at held-out data.

pub mod average;
pub mod devices;
pub mod gradients;
pub mod journal;
pub mod look;
pub mod plan;
pub mod ranges;
pub mod run;
pub mod schedule;
pub mod start;
pub mod store;
pub mod trainer;

pub use plan::Plan;
pub use trainer::Trainer;
