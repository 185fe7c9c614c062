//! The conformance suite on a GPU, and the mixture once more from a CUDA graph.

use std::path::Path;

use half::f16;

use super::Cuda;
use crate::conformance::{self, Extent, GmoeSample, Report};
use crate::error::GpuError;
use crate::gmoe::GmoeShape;

/// Runs everything and prints it; an error if anything failed.
pub fn run(module: &Path, extent: Extent) -> Result<(), GpuError> {
    let device = Cuda::new(module)?;
    println!("on {}", device.gpu());
    let said = |report: Report| {
        print!("{report}");
        report.holds()
    };
    let mut holds = said(conformance::gmoe(&device, extent)?);
    holds &= said(conformance::window_attention(&device, extent)?);
    holds &= said(conformance::preprocess(&device)?);
    let replayed = a_graph_gives_the_same_bits(&device)?;
    println!("{}  a CUDA graph of the mixture gives the same bits", if replayed { "holds" } else { "FAILS" });
    if holds && replayed {
        return Ok(());
    }
    Err(GpuError::Driver { action: "compute what it should", problem: "see the lines that say FAILS".into() })
}

fn a_graph_gives_the_same_bits(device: &Cuda) -> Result<bool, GpuError> {
    let shape = GmoeShape::new([64, 16], [6, 2], [384, 1536])?;
    let mut sample = GmoeSample::<f16, Cuda>::new(device, &shape)?;
    sample.run(device)?;
    let launched = sample.out(device)?;
    let graph = device.capture(|| sample.run(device))?;
    let mut same = true;
    for _ in 0..3 {
        sample.clear(device)?;
        // SAFETY: the graph's operands are the sample's, which lives.
        unsafe { graph.launch() }?;
        same &= sample.out(device)? == launched;
    }
    Ok(same)
}
