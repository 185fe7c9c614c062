//! The inner loops of the network, each with one entrance.
//!
//! On the CPU with gradients, where training spends its time, each is one fused loop with a backward written by hand;
//! everywhere else it is the same thing in burn's operators. A test holds the two against each other, values and gradients.

mod attention;
mod convolution;
mod fused;
mod gather;
mod gelu;
mod layer_norm;
mod linear;
mod mlp;
mod product;
mod rows;
mod vector;

pub use attention::attention;
pub use convolution::convolution;
pub use gather::{gather_tokens, select_rows};
pub use gelu::gelu;
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use mlp::mlp;

#[cfg(test)]
mod tests;
