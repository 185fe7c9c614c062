//! The networks of a package, rewritten for TensorRT. A package's ONNX runs on any runtime: it writes a mixture of experts in
//! standard operators of f32. Here each mixture becomes one node `smgeo::GMoE` again, and the encoder gets 16-bit types, so
//! that one package serves every backend and nothing is stored twice.

mod graph;
mod mixture;
mod precision;

use crate::error::GpuError;
use graph::Model;

/// What the encoder computes in. The locator is f32 always: it is 3 % of the arithmetic, and its norms underflow in f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f16: 11 bits of mantissa.
    F16,
    /// bf16: 8 bits of mantissa, the range of f32.
    Bf16,
    /// f32. The plugin computes in 16 bits only, so mixtures are written as gathered products.
    F32,
}

impl Precision {
    /// The name in commands, manifests and logs.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F16 => "fp16",
            Precision::Bf16 => "bf16",
            Precision::F32 => "fp32",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "fp16" => Ok(Precision::F16),
            "bf16" => Ok(Precision::Bf16),
            "fp32" => Ok(Precision::F32),
            _ => Err(format!("there is no precision `{name}`; choose fp16, bf16 or fp32")),
        }
    }
}

/// How a mixture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixtures {
    /// One node `smgeo::GMoE`, for the plugin.
    Plugin,
    /// Standard operators of static shape: each cell gathers its experts' weights.
    Gathered,
}

/// Rewrites `encoder.onnx`; gives the file and the number of mixtures in it.
pub fn encoder(onnx: &[u8], precision: Precision, mixtures: Mixtures) -> Result<(Vec<u8>, usize), GpuError> {
    let mut model = Model::parse(onnx)?;
    let found = mixture::rewrite(&mut model, mixtures)?;
    if precision != Precision::F32 {
        precision::narrow(&mut model, precision)?;
    }
    Ok((model.write()?, found))
}

fn refused(problem: String) -> GpuError {
    GpuError::Network(problem)
}
