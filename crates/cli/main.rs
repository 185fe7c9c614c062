//! `smgeo`: click an object in live drone video; get its position on the Earth, continuously, and how sure it is.

mod build_engine;
mod demo;
mod engine;
mod inspect;
mod locate;
mod output;
mod run;
mod signals;
mod sim;
mod tiles;
mod trust;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The exit code of a configuration that cannot be used, as sysexits names it: a service manager need not try again at once.
const EXIT_CONFIG: u8 = 78;

/// Says where an object in live drone video is on the Earth, and how sure that is.
#[derive(Parser)]
#[command(name = "smgeo", version, about)]
struct Arguments {
    /// More log: -v for debug, -vv for trace.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon: video and telemetry in, tracks out.
    Run(run::Args),
    /// Flies over a made town and shows everything at http://127.0.0.1:8080.
    Demo(demo::Args),
    /// Is a drone: streams a made flight over RTSP and MAVLink.
    Sim(sim::Args),
    /// Finds the object under a click of one still image on another.
    Locate(locate::Args),
    /// Makes the map of a flight before the flight.
    Tiles(tiles::Args),
    /// Decides whether a faster arithmetic may fly.
    Engine(engine::Args),
    /// Says what an engine package is and whether it is whole.
    Inspect(inspect::Args),
    /// Makes TensorRT engines of an engine package.
    BuildEngine(build_engine::Args),
    #[command(name = build_engine::CHILD, hide = true)]
    BuildEngineChild,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.verbose);
    let result = match arguments.command {
        Command::Run(args) => return report(run::run(args)),
        Command::Demo(args) => demo::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Locate(args) => locate::run(args),
        Command::Tiles(args) => tiles::run(args),
        Command::Engine(args) => engine::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::BuildEngine(args) => build_engine::run(args),
        Command::BuildEngineChild => build_engine::serve(),
    };
    report(result.map(|()| ExitCode::SUCCESS))
}

/// Prints an error with everything that led to it, in one line, and turns it into an exit code.
fn report(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // Nobody is there to be told.
        Err(error) if output::is_closed(&error) => ExitCode::from(output::EXIT_CLOSED),
        Err(error) => {
            eprintln!("smgeo: {error:#}");
            let is_config = error.is::<smgeo_runtime::config::ConfigError>();
            ExitCode::from(if is_config { EXIT_CONFIG } else { 1 })
        }
    }
}

fn start_log(verbose: u8) {
    let level = ["smgeo=info,smgeo_runtime=info,warn", "smgeo=debug,smgeo_runtime=debug,info", "trace"];
    let default = level[usize::from(verbose).min(level.len() - 1)];
    // RUST_LOG is the one environment variable, and the one everybody knows.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A journal or a file takes no colours. A terminal does, unless NO_COLOR is set: asking for them would overrule that.
    match std::io::stderr().is_terminal() {
        true => log.init(),
        false => log.with_ansi(false).init(),
    }
}
