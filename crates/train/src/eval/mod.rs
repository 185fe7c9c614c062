//! Evaluation on pair sets: boxes, places, calibration, and controls that a network which ignores the click must fail.

pub mod answer;
pub mod calibration;
pub mod correlation;
pub mod measure;
pub mod measured;
pub mod predictor;
pub mod rectangle;
pub mod report;
