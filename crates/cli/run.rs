//! `smgeo run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use smgeo_flow::{StopToken, SystemClock};
use smgeo_runtime::config::{Config, ConfigError};
use smgeo_runtime::control::Shutdown;
use smgeo_runtime::wiring::Machine;
use tracing::{error, info};

use crate::output::say;
use crate::signals::Signals;

/// How long the stages have to end after a signal.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// Says which configuration to run.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration file; configs/smgeo.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Checks the configuration and ends.
    #[arg(long)]
    check: bool,
}

/// Runs until a signal asks for the end, or a stage says that the process must end.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?;
    if args.check {
        say!("{} is sound", args.config.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    smgeo_runtime::system().block_on(async {
        let machine = Machine::start(config, SystemClock::shared(), StopToken::new())
            .map_err(|error| ConfigError::of_start(error, &args.config))?;
        info!(page = %format!("http://{}", machine.listen), "running");
        Ok(until_end(machine, Signals::listen()?).await)
    })
}

async fn until_end(mut machine: Machine, mut signals: Signals) -> ExitCode {
    let ended = tokio::select! {
        ending = machine.ending.wait_for(Option::is_some) => ending.ok().and_then(|ending| ending.clone()),
        () = signals.received() => None,
    };
    let late = tokio::time::timeout(SHUTDOWN_MAX, machine.conductor.send(Shutdown)).await;
    if let Ok(Ok(stages)) = late
        && !stages.is_empty()
    {
        error!(?stages, "stages did not end in time");
    }
    match ended {
        Some(ending) => {
            error!(cause = ending.cause, "ending");
            ExitCode::from(ending.exit_code)
        }
        None => ExitCode::SUCCESS,
    }
}
