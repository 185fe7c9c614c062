//! `smgeo engine`: decides whether a faster arithmetic may fly, and lists a package for its signature.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args as ClapArgs, Subcommand};
use smgeo_engine::gate;
use smgeo_engine::pairs::PairSet;
use smgeo_engine::{BackendInfo, BackendName, EngineConfig, Package, Precision};
use smgeo_gpu::engines;

use crate::output::{self, say};
use crate::trust::Trust;

/// Checks how an engine package may be run, and lists it for its signature.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Hold a faster arithmetic against rten in f32 on held-out pairs, and keep the result in the package's folder: the daemon
    /// runs an arithmetic other than f32 only after it has passed.
    Check(Check),
    /// Write package.sha256, the list of the package's files and engines that `minisign -S -m package.sha256` signs.
    SignList(SignList),
}

#[derive(ClapArgs, Debug)]
struct SignList {
    /// Folder of the engine package.
    #[arg(value_name = "FOLDER")]
    package: PathBuf,
}

#[derive(ClapArgs, Debug)]
struct Check {
    /// Folder of the engine package.
    #[arg(value_name = "FOLDER")]
    package: PathBuf,
    /// Folder of held-out pairs, at least 100 of them. Give one for each kind of place: the arithmetic has to pass on all.
    #[arg(long, value_name = "FOLDER", required = true)]
    pairs: Vec<PathBuf>,
    /// The arithmetic: bf16 on OpenVINO, int8 on rten.
    #[arg(long, value_name = "NAME", default_value = "bf16")]
    precision: Precision,
    /// Folder of the OpenVINO library, where it is not where the system or scripts/setup-openvino.sh puts it.
    #[arg(long, value_name = "FOLDER")]
    openvino_folder: Option<PathBuf>,
    /// Threads to compute on; as many as there are cores unless given.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Prints one JSON object a line, for each set, instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: Trust,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Check(args) => check(args),
        Command::SignList(args) => sign_list(args),
    }
}

fn check(args: Check) -> anyhow::Result<()> {
    let package = args.trust.open(&args.package)?;
    // Asked before the pairs are run, which takes minutes: new checks are kept beside these.
    gate::kept(&package)?;
    let sets: Result<Vec<PairSet>, _> = args.pairs.iter().map(|folder| PairSet::open(folder)).collect();
    let sets = sets.context("reading the pairs")?;
    let trusted = EngineConfig { backend: BackendName::Rten, threads: args.threads, ..EngineConfig::of(&args.package) };
    let backend = match args.precision {
        Precision::Int8 => BackendName::Rten,
        Precision::F32 | Precision::Bf16 => BackendName::OpenVino,
    };
    let openvino_folder = args.openvino_folder;
    let candidate = EngineConfig { backend, precision: args.precision, openvino_folder, ..trusted.clone() };
    let mut trusted = trusted.build(&package).context("starting rten in f32")?;
    let mut candidate = candidate
        .build_unchecked(&package)
        .with_context(|| format!("starting the engine in {}", args.precision.name()))?;
    for set in &sets {
        let bar = output::bar("pairs", set.pairs.len());
        let report = gate::check(&package, trusted.as_mut(), candidate.as_mut(), set, &mut || bar.inc(1))?;
        bar.finish_and_clear();
        match args.json {
            true => say!("{}", serde_json::to_string(&report)?)?,
            false => output::write(&report)?,
        }
        // After it was shown: the folder may be one that cannot be written.
        report.keep(&package)?;
    }
    let BackendInfo { name, precision, .. } = candidate.info();
    ensure!(
        gate::is_admitted(&package, name, precision)?,
        "{name}-{precision} may not fly with this package, as {} says; stay with precision = \"f32\"",
        package.folder().join(gate::CHECKS).display()
    );
    Ok(())
}

fn sign_list(args: SignList) -> anyhow::Result<()> {
    let package = Package::open(&args.package).context("opening the engine package")?;
    let list = engines::write_list(&package).context("listing the package")?;
    say!("{0} is written; sign it with: minisign -S -m {0}", list.display())?;
    Ok(())
}
