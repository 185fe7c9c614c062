//! Times of the kernels at the sizes flown, against the bound that the card's data sheet sets.

use std::path::Path;

use half::f16;

use super::Cuda;
use crate::conformance::{AttentionSample, GmoeSample};
use crate::error::GpuError;
use crate::gmoe::GmoeShape;
use crate::roofline::Card;
use crate::window_attention::AttentionShape;

/// Replays before the clock starts, and replays timed.
const WARM_UP: usize = 20;
const TIMED: usize = 200;

/// Four 256 px images: stages of tiny. `benches/peers/gpu_blocks.py` measures the same ones.
const MIXTURES: [(&str, [usize; 2], [usize; 2]); 3] = [
    ("gmoe tiny stage 1", [64, 64], [192, 768]),
    ("gmoe tiny stage 2", [64, 16], [384, 1536]),
    ("gmoe tiny stage 3", [64, 4], [768, 3072]),
];
const ATTENTIONS: [(&str, [usize; 2], usize); 3] = [
    ("window_attention tiny stage 0", [64, 64], 3),
    ("window_attention tiny stage 1", [32, 32], 6),
    ("window_attention tiny stage 2", [16, 16], 12),
];

/// Measures everything and prints a table.
pub fn run(module: &Path) -> Result<(), GpuError> {
    let device = Cuda::new(module)?;
    let card = Card::of(&device.gpu().name);
    println!("on {}; four images, f16, mean of {TIMED} replays of a CUDA graph, by events", device.gpu());
    println!("| work | us | GB/s | TFLOP/s | bound us |");
    println!("|---|---|---|---|---|");
    for (name, cells, channels) in MIXTURES {
        let mut sample = GmoeSample::<f16, Cuda>::new(&device, &GmoeShape::new(cells, [6, 2], channels)?)?;
        let ms = time_ms(&device, || sample.run(&device))?;
        print_row(name, ms, sample.bytes(), sample.shape().multiply_adds(), card);
    }
    for (name, map, heads) in ATTENTIONS {
        let mut sample = AttentionSample::<f16, Cuda>::new(&device, &AttentionShape::new(4, map, [heads, 32], 4)?)?;
        let ms = time_ms(&device, || sample.run(&device))?;
        print_row(name, ms, sample.bytes(), sample.multiply_adds(), card);
    }
    Ok(())
}

/// The time of what `work` launches, without that of launching: it is recorded once and replayed.
fn time_ms(device: &Cuda, work: impl FnOnce() -> Result<(), GpuError>) -> Result<f64, GpuError> {
    let graph = device.capture(work)?;
    // SAFETY: what `work` was given is owned by the caller, which waits for the clock.
    let replay = |times: usize| (0..times).try_for_each(|_| unsafe { graph.launch() });
    replay(WARM_UP)?;
    Ok(device.time_ms(|| replay(TIMED))? / TIMED as f64)
}

fn print_row(name: &str, ms: f64, bytes: usize, multiply_adds: usize, card: Option<Card>) {
    let (gigabytes_per_s, teraflops) = (bytes as f64 / ms / 1e6, 2.0 * multiply_adds as f64 / ms / 1e9);
    let bound = card.map_or("unknown card".into(), |card| format!("{:.1}", 1e3 * card.bound_ms(bytes, multiply_adds)));
    println!("| {name} | {:.1} | {gigabytes_per_s:.0} | {teraflops:.1} | {bound} |", 1e3 * ms);
}
