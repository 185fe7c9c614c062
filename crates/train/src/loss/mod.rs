//! Losses.

pub mod paper;
