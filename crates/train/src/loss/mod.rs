//! What training minimises.

pub mod paper;
pub mod template;

pub use template::{LossWeights, TemplateLoss, template_loss};
