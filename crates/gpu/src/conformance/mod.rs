//! Every kernel against a reference in f64, over shapes as flown and at the edges. One suite for any device: tests run it on
//! the host's emulation, `smgeo-gpu check` on a GPU.

mod gmoe;
mod noise;
mod preprocess;
mod sample;
mod window_attention;

pub use sample::{AttentionSample, GmoeSample};

use std::fmt;

use half::{bf16, f16};

use crate::device::Device;
use crate::error::GpuError;

/// What came of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Kernel and shape.
    pub name: String,
    /// Largest difference from the reference, as a part of the largest magnitude; infinite where one is no number.
    pub difference: f64,
    /// Largest difference allowed.
    pub limit: f64,
    /// A fingerprint of the bits that came out, so that two runs can be compared.
    pub bits: u64,
}

impl Case {
    /// Whether it held.
    pub fn holds(&self) -> bool {
        self.difference <= self.limit
    }
}

/// All comparisons of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order they ran.
    pub cases: Vec<Case>,
}

impl Report {
    /// Whether all held.
    pub fn holds(&self) -> bool {
        self.cases.iter().all(Case::holds)
    }

    fn add(&mut self, name: String, limit: f64, outcome: Outcome) {
        self.cases.push(Case { name, difference: outcome.difference, limit, bits: outcome.bits });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let verdict = if case.holds() { "holds" } else { "FAILS" };
            writeln!(f, "{verdict}  {:8.1e} of {:8.1e}  {}", case.difference, case.limit, case.name)?;
        }
        Ok(())
    }
}

/// How large the shapes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Small ones and edges: seconds on the host.
    Edges,
    /// The shapes of the networks as well: for a GPU.
    Flown,
}

/// Runs the mixture's kernels in both element types.
pub fn gmoe<D: Device>(device: &D, extent: Extent) -> Result<Report, GpuError> {
    let mut report = Report::default();
    gmoe::check::<f16, D>(device, extent, &mut report)?;
    gmoe::check::<bf16, D>(device, extent, &mut report)?;
    Ok(report)
}

/// Runs window attention in both element types.
pub fn window_attention<D: Device>(device: &D, extent: Extent) -> Result<Report, GpuError> {
    let mut report = Report::default();
    window_attention::check::<f16, D>(device, extent, &mut report)?;
    window_attention::check::<bf16, D>(device, extent, &mut report)?;
    Ok(report)
}

/// Runs the preparation of images.
pub fn preprocess<D: Device>(device: &D) -> Result<Report, GpuError> {
    let mut report = Report::default();
    preprocess::check(device, &mut report)?;
    Ok(report)
}

struct Outcome {
    difference: f64,
    bits: u64,
}

/// Holds what a kernel gave against what it should have given.
fn compare(found: impl IntoIterator<Item = f64>, wanted: &[f64]) -> Outcome {
    let found: Vec<f64> = found.into_iter().collect();
    let bits = found.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| {
        (hash ^ value.to_bits()).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
    });
    if found.len() != wanted.len() {
        return Outcome { difference: f64::INFINITY, bits };
    }
    let largest = wanted.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let apart = |(found, wanted): (&f64, &f64)| match (found - wanted).abs() / largest {
        apart if apart.is_nan() => f64::INFINITY,
        apart => apart,
    };
    Outcome { difference: found.iter().zip(wanted).map(apart).fold(0.0, f64::max), bits }
}
