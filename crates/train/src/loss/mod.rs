//! What training minimises.

pub mod objective;
pub mod paper;
pub mod template;

pub use objective::Objective;
pub use template::{Loss, LossWeights, template_loss};
