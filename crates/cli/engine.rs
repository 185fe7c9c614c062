//! `smgeo engine`: decides whether a faster arithmetic may fly.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args as ClapArgs, Subcommand};
use smgeo_engine::gate;
use smgeo_engine::pairs::PairSet;
use smgeo_engine::{BackendName, EngineConfig, Package, Precision};

/// Checks how an engine package may be run.
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
}

#[derive(ClapArgs, Debug)]
struct Check {
    /// Folder of the engine package.
    #[arg(value_name = "FOLDER")]
    package: PathBuf,
    /// Folder of held-out pairs, at least 100 of them.
    #[arg(long, value_name = "FOLDER")]
    pairs: PathBuf,
    /// The arithmetic.
    #[arg(long, value_name = "NAME", default_value = "bf16")]
    precision: Precision,
    /// Threads to compute on; as many as there are cores unless given.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Command::Check(check) = args.command;
    let package = Package::open(&check.package).context("opening the engine package")?;
    let set = PairSet::open(&check.pairs).context("reading the pairs")?;
    let trusted =
        EngineConfig { backend: BackendName::Rten, threads: check.threads, ..EngineConfig::of(&check.package) };
    let candidate = EngineConfig { backend: BackendName::OpenVino, precision: check.precision, ..trusted.clone() };
    let mut trusted = trusted.build(&package).context("starting rten")?;
    let mut candidate = candidate.build_unchecked(&package).context("starting OpenVINO")?;
    let report = gate::check(&package, trusted.as_mut(), candidate.as_mut(), &set)?;
    report.keep(&package)?;
    match check.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    let candidate = &report.candidate;
    ensure!(report.passes(), "{candidate} may not fly with this package; stay with precision = \"f32\"");
    Ok(())
}
