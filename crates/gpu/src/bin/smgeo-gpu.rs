//! `smgeo-gpu`: what is done beside the daemon on a machine with a GPU, or for one. It needs nothing but the driver, so it
//! can be carried in one folder with the module of kernels.

use std::process::ExitCode;

use smgeo_gpu::lowering::{self, Mixtures};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["probe"] => probe(),
        // For the tests of this crate; `smgeo build-engine` is its own child.
        ["build-child"] => smgeo_gpu::builder::serve(&mut std::io::stdin().lock()).map_err(|error| error.to_string()),
        ["lower", from, to, precision, mixtures] => lower(from, to, precision, mixtures),
        ["check", module] => check(module),
        ["bench", module] => bench(module),
        _ => Err("give one of: probe, check KERNELS.fatbin, bench KERNELS.fatbin, lower FROM.onnx TO.onnx fp16|bf16|fp32 plugin|gathered".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("smgeo-gpu: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn probe() -> Result<(), String> {
    let found = smgeo_gpu::Probe::run().map_err(|error| error.to_string())?;
    println!("driver of CUDA {}.{}", found.driver.0, found.driver.1);
    found.gpus.iter().for_each(|gpu| println!("GPU {}: {gpu}", gpu.index));
    Ok(())
}

/// Writes an encoder as TensorRT is given it, for a person to look at or another runtime to run.
fn lower(from: &str, to: &str, precision: &str, mixtures: &str) -> Result<(), String> {
    let mixtures = match mixtures {
        "plugin" => Mixtures::Plugin,
        "gathered" => Mixtures::Gathered,
        other => return Err(format!("there is no way `{other}` to write mixtures; choose plugin or gathered")),
    };
    let onnx = std::fs::read(from).map_err(|error| format!("{from}: {error}"))?;
    let (lowered, count) = lowering::encoder(&onnx, precision.parse()?, mixtures).map_err(|error| error.to_string())?;
    std::fs::write(to, &lowered).map_err(|error| format!("{to}: {error}"))?;
    println!("{count} mixtures, {} bytes", lowered.len());
    Ok(())
}

#[cfg(feature = "cuda")]
fn check(module: &str) -> Result<(), String> {
    smgeo_gpu::cuda::check::run(module.as_ref()).map_err(|error| error.to_string())
}

#[cfg(feature = "cuda")]
fn bench(module: &str) -> Result<(), String> {
    smgeo_gpu::cuda::bench::run(module.as_ref()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "cuda"))]
fn check(_: &str) -> Result<(), String> {
    Err("this program was built without the feature `cuda`".into())
}

#[cfg(not(feature = "cuda"))]
fn bench(module: &str) -> Result<(), String> {
    check(module)
}
