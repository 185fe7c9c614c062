//! `smgeo-gpu`: what is done beside the daemon on a machine with a GPU, or for one. It needs nothing but the driver, so it
//! can be carried in one folder with the module of kernels.

use std::process::ExitCode;

use smgeo_gpu::conformance::Extent;
use smgeo_gpu::lowering::{self, Mixtures};

#[cfg(not(feature = "cuda"))]
const WITHOUT_CUDA: &str = "this program was built without the feature `cuda`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["probe"] => probe(),
        // For the tests of this crate; `smgeo build-engine` is its own child.
        ["build-child"] => smgeo_gpu::builder::serve(&mut std::io::stdin().lock()).map_err(|error| error.to_string()),
        ["admit", rest @ ..] => Admission::of(rest).and_then(|admission| admit(&admission)),
        ["lower", from, to, precision, mixtures] => lower(from, to, precision, mixtures),
        ["check", module] => check(module, Extent::Flown),
        ["check", module, "--edges"] => check(module, Extent::Edges),
        ["bench", module] => bench(module),
        _ => Err("give one of: probe, check KERNELS.fatbin [--edges], bench KERNELS.fatbin, admit [--trusted-key KEY] [--engine NAME] PACKAGE PAIRS [FOLDER..], lower FROM.onnx TO.onnx fp16|bf16|fp32 plugin|gathered".into()),
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
fn check(module: &str, extent: Extent) -> Result<(), String> {
    smgeo_gpu::cuda::check::run(module.as_ref(), extent).map_err(|error| error.to_string())
}

#[cfg(feature = "cuda")]
fn bench(module: &str) -> Result<(), String> {
    smgeo_gpu::cuda::bench::run(module.as_ref()).map_err(|error| error.to_string())
}

/// Which engine is held against which pairs.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
#[derive(Debug, PartialEq)]
struct Admission<'a> {
    key: Option<&'a str>,
    /// Its name in `engines.toml`; the first that fits without.
    engine: Option<&'a str>,
    package: &'a str,
    pairs: &'a str,
    folders: &'a [&'a str],
}

impl<'a> Admission<'a> {
    fn of(words: &'a [&'a str]) -> Result<Self, String> {
        let (mut key, mut engine, mut rest) = (None, None, words);
        loop {
            match rest {
                ["--trusted-key", value, others @ ..] => (key, rest) = (Some(*value), others),
                ["--engine", value, others @ ..] => (engine, rest) = (Some(*value), others),
                [word, ..] if word.starts_with("--") => {
                    return Err(format!(
                        "admit knows no {word}, or its value is missing; give --trusted-key KEY, --engine NAME"
                    ));
                }
                [package, pairs, folders @ ..] => return Ok(Self { key, engine, package, pairs, folders }),
                _ => return Err("admit needs a PACKAGE and a folder of PAIRS".into()),
            }
        }
    }
}

/// Holds a package's engine against rten in f32 on held-out pairs, after the suite that every backend passes; and keeps the
/// result in the package, so that the engine may fly.
#[cfg(feature = "cuda")]
fn admit(admission: &Admission) -> Result<(), String> {
    use smgeo_engine::pairs::PairSet;
    use smgeo_engine::{Package, RtenBackend, RtenConfig, TrustedKey, conformance, gate};

    let said = |error: smgeo_engine::EngineError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let Admission { key, engine, package, pairs, folders } = *admission;
    let keys: Vec<TrustedKey> = key.map(str::parse).transpose().map_err(said)?.into_iter().collect();
    let package = Package::open_trusting(package, &keys).map_err(said)?;
    let set = PairSet::open(pairs.as_ref()).map_err(|error| error.to_string())?;
    let folders: Vec<std::path::PathBuf> = folders.iter().map(Into::into).collect();
    let room = smgeo_gpu::backend::Room::of(&smgeo_engine::EngineConfig::of(package.folder()));
    let (mut candidate, name) = smgeo_gpu::backend::unchecked(&package, &folders, room, engine).map_err(said)?;
    let mut trusted = RtenBackend::new(&package, &RtenConfig::default()).map_err(said)?;
    let suite = conformance::check(&mut candidate, conformance::Tolerance::BF16).map_err(said)?;
    print!("{suite}");
    let report = gate::check(&package, &mut trusted, &mut candidate, &set, &mut || ()).map_err(said)?;
    let report = gate::GateReport { candidate: name, ..report };
    print!("{report}");
    if !suite.holds() {
        return Err("the engine does not conform, so its check is not kept".into());
    }
    report.keep(&package).map_err(said)?;
    if report.passes() { Ok(()) } else { Err("the engine may not fly with this package".into()) }
}

#[cfg(not(feature = "cuda"))]
fn admit(_: &Admission) -> Result<(), String> {
    Err(WITHOUT_CUDA.into())
}

#[cfg(not(feature = "cuda"))]
fn check(_: &str, _: Extent) -> Result<(), String> {
    Err(WITHOUT_CUDA.into())
}

#[cfg(not(feature = "cuda"))]
fn bench(_: &str) -> Result<(), String> {
    Err(WITHOUT_CUDA.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_to_admit_can_be_named() {
        let plain = Admission::of(&["package", "pairs", "/opt/trt"]).unwrap();
        let expected =
            Admission { key: None, engine: None, package: "package", pairs: "pairs", folders: &["/opt/trt"] };
        assert_eq!(plain, expected);
        let named = ["--engine", "sm_89-rtx-bf16", "--trusted-key", "RW", "package", "pairs"];
        let named = Admission::of(&named).unwrap();
        assert_eq!((named.engine, named.key, named.folders.len()), (Some("sm_89-rtx-bf16"), Some("RW"), 0));
        assert!(Admission::of(&["package"]).unwrap_err().contains("PAIRS"));
        assert!(Admission::of(&["--engines", "a", "package", "pairs"]).unwrap_err().contains("--engine NAME"));
    }
}
