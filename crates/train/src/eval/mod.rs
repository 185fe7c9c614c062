//! Evaluation on pair sets: boxes, places, calibration, and controls that a network which ignores the click must fail.

pub mod rectangle;
