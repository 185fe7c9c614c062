//! `smgeo build-engine`: makes TensorRT engines of a package, for this machine or for an RTX 4090.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use smgeo_gpu::Probe;
use smgeo_gpu::builder::{self, Said};
use smgeo_gpu::engines::{self, Order};
use smgeo_gpu::key::Key;
use smgeo_gpu::lowering::Precision;
use smgeo_gpu::target::Target;
use smgeo_gpu::tensorrt::{Flavour, Libraries};

use crate::output::say;
use crate::trust::Trust;

/// Makes TensorRT engines of a package and enters them in its `engines.toml`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the engine package; the engines are written into it.
    #[arg(long, value_name = "FOLDER")]
    package: PathBuf,
    /// What runs the engines: rtx4090 (built anywhere), orin (built on it) or host.
    #[arg(long, value_name = "NAME", default_value = "host", value_parser = parse::<Target>)]
    target: Target,
    /// What the encoder computes in: fp16, bf16 or fp32.
    #[arg(long, value_name = "NAME", default_value = "fp16", value_parser = parse::<Precision>)]
    precision: Precision,
    /// Which TensorRT: rtx or enterprise; the target's own unless given.
    #[arg(long, value_name = "NAME", value_parser = parse::<Flavour>)]
    flavour: Option<Flavour>,
    /// Folder with TensorRT's libraries or with smgeo's over them; can be given twice. The system's are looked at last.
    #[arg(long, value_name = "FOLDER")]
    libraries: Vec<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

fn parse<T: std::str::FromStr<Err = String>>(name: &str) -> Result<T, String> {
    name.parse()
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let package = args.trust.open(&args.package)?;
    let route = args.target.route(args.flavour, Probe::run).context("choosing how to build")?;
    let libraries = Libraries::find(route.flavour, &args.libraries)?;
    let program = std::env::current_exe().context("finding this program, which is its own builder")?;
    let child = || {
        let mut command = Command::new(&program);
        command.arg(CHILD);
        command
    };
    // Asked for first: a build takes minutes, and without the key there would be nothing to enter.
    let key = Key::read_or_make().context("finding the key of this user's engines")?;
    let (sm, gpu) = (route.sm, route.gpu.as_ref());
    let order = Order { package: &package, sm, gpu, precision: args.precision, libraries: &libraries, key: &key };
    let bar = ProgressBar::new(1).with_style(ProgressStyle::with_template("{msg:50!} {wide_bar} {elapsed}")?);
    let entry = engines::build(&order, child, |network, said| show(&bar, network, said));
    bar.finish_and_clear();
    let entry = entry.with_context(|| format!("building engines for sm_{sm} with TensorRT {}", route.flavour))?;
    for plan in [&entry.encoder, &entry.locator] {
        say!("{}: {:.1} MB", args.package.join(&plan.file).display(), plan.bytes as f64 / 1e6)?;
    }
    say!("built with TensorRT {} ({}), {} for sm_{sm}", entry.tensorrt, entry.flavour, entry.precision)?;
    Ok(())
}

fn show(bar: &ProgressBar, network: &str, said: &Said) {
    match said {
        Said::Progress { phase, step, steps } => {
            bar.set_length(u64::from((*steps).max(1)));
            bar.set_position(u64::from(*step));
            bar.set_message(format!("{network}: {phase}"));
        }
        Said::Log { severity: 2, text } => bar.suspend(|| tracing::debug!(network, text, "TensorRT warns")),
        Said::Log { .. } | Said::Done { .. } => {}
    }
}

/// The hidden subcommand that a builder's child is started with.
pub const CHILD: &str = "build-engine-child";

/// Is the child. What went wrong has been told to the parent, which says it.
pub fn serve() -> anyhow::Result<()> {
    builder::serve(&mut std::io::stdin().lock()).map_err(|_| anyhow!("the engine was not built"))
}
