//! `smgeo demo`: everything at once, over a made town.
//!
//! A drone that is not there (`smgeo sim`, a process of its own) streams a flight; the daemon takes it as it would take any
//! drone's; the page shows it. The truth stays here, with the scorekeeper and with an onlooker who tells it what was clicked on the
//! page: the daemon knows video, telemetry and map, and nothing else. With `--headless` an operator that is not there either
//! clicks on objects, and a report is written.

mod daemon;
mod onlooker;
mod operator;
mod report;
mod score;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail};
use smgeo_flow::{SharedClock, StopToken, SystemClock};
use smgeo_runtime::config::Config;
use smgeo_runtime::control::Shutdown;
use smgeo_runtime::wiring::Machine;

use crate::output::say;
use crate::signals::Signals;
use crate::sim::flight_plan::FlightPlan;
use crate::sim::prepare;
use daemon::Ports;
use onlooker::Onlooker;
use operator::Operator;
use score::Score;

/// The flight begins again after so many seconds, if the demo lasts longer.
const PERIOD_S: f64 = 60.0;

/// How long the simulator may take to begin.
const START_MAX: Duration = Duration::from_secs(30);

/// Objects and kinds of them that a flight's figures should rest on.
const PROMPTS_MIN: u64 = 12;
const KINDS_MIN: usize = 4;

/// How long the stages have to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// Says what to fly over, and who looks.
#[derive(clap::Args)]
pub struct Args {
    /// The town and the flight: another seed makes another world.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Nobody looks: objects are clicked by a script, and the demo ends after --duration-s.
    #[arg(long)]
    headless: bool,
    /// Seconds to fly; for ever if not given, 60 with --headless.
    #[arg(long)]
    duration_s: Option<f64>,
    /// Writes what was measured to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The page's port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The engine package.
    #[arg(long, default_value = "models/smgeo-nano")]
    package: PathBuf,
    /// Where towns and films are kept.
    #[arg(long, default_value = "demo")]
    folder: PathBuf,
    /// A configuration file whose keys go before the demo's own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prepares, flies, and reports.
pub fn run(args: Args) -> anyhow::Result<()> {
    let duration_s = args.duration_s.or(args.headless.then_some(60.0));
    if let Some(duration_s) = duration_s.filter(|duration_s| !(duration_s.is_finite() && *duration_s > 0.0)) {
        bail!("--duration-s is {duration_s}; it must be more than 0");
    }
    if !args.package.join("package.toml").exists() {
        bail!(
            "there is no engine package at {}; run from the project's folder, or give --package",
            args.package.display()
        );
    }
    // Known before a minute of rendering.
    TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).with_context(|| {
        format!("port {} of this machine cannot be listened on; --port names another, 0 takes a free one", args.port)
    })?;
    let plan = FlightPlan::new(args.seed, PERIOD_S)?;
    let folder = prepare::world(&args.folder, &plan)?;
    drop(prepare::film(&folder, &plan)?);
    let ports = Ports::free()?;
    let config = daemon::configuration(&args, &folder, &ports)?;
    let system = smgeo_runtime::system();
    // Before there is a drone: a signal that ended this process would leave it flying.
    let signals = system.block_on(async { Signals::listen() })?;
    let drone = Drone::launch(&args, &folder, &ports)?;
    let report = system.block_on(fly(&args, duration_s, plan, config, drone.start_wall_us, signals))?;
    drop(drone);
    if args.headless && (report.prompts < PROMPTS_MIN || report.kinds.len() < KINDS_MIN) {
        let (prompts, kinds) = (report.prompts, report.kinds.len());
        say!(
            "{prompts} objects of {kinds} kinds were in sight to click; figures want {PROMPTS_MIN} of {KINDS_MIN} or more: fly longer, or another seed"
        )?;
    }
    if let Some(file) = &args.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        say!("report written to {}", file.display())?;
    }
    Ok(())
}

/// Runs the daemon beside the score until the time is up, or somebody asks for the end.
async fn fly(
    args: &Args,
    duration_s: Option<f64>,
    plan: FlightPlan,
    config: Config,
    start_wall_us: i64,
    mut signals: Signals,
) -> anyhow::Result<report::Report> {
    let clock = SystemClock::shared();
    let machine = Machine::start(config, clock.clone(), StopToken::new())?;
    say!("page http://{}", machine.listen)?;
    let begun = clock.now();
    let mut score = Score::new(plan.clone(), machine.tracks.subscribe(), machine.controls.subscribe());
    let mut operator = args.headless.then(|| Operator::new(plan.clone(), start_wall_us, clock.clone()));
    let mut onlooker = Onlooker::new(plan, start_wall_us, clock.clone());
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut told_s = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = signals.received() => break,
        }
        let elapsed_s = clock.now().since(begun).as_secs_f64();
        if let Some(operator) = &mut operator {
            operator.act(&machine, &mut score).await;
        }
        onlooker.look(&machine, &mut score).await;
        score.take(&machine);
        if elapsed_s as u64 > told_s {
            told_s = elapsed_s as u64;
            say!("{}", score.line(told_s))?;
        }
        let ended = machine.ending.borrow().clone();
        if let Some(ending) = ended {
            bail!("the daemon ended: {}", ending.cause);
        }
        if duration_s.is_some_and(|duration_s| elapsed_s >= duration_s) {
            break;
        }
    }
    let report = score.report(&machine, clock.now().since(begun));
    let _ = tokio::time::timeout(SHUTDOWN_MAX, machine.conductor.send(Shutdown)).await;
    Ok(report)
}

/// Is the simulator's process, which ends with this.
struct Drone {
    process: Child,
    start_wall_us: i64,
}

impl Drone {
    fn launch(args: &Args, folder: &std::path::Path, ports: &Ports) -> anyhow::Result<Self> {
        let start_file = folder.join("start");
        let _ = std::fs::remove_file(&start_file);
        let program = std::env::current_exe().context("finding this program")?;
        let process = Command::new(program)
            .args(["sim", "--seed", &args.seed.to_string()])
            .args(["--rtsp-port", &ports.rtsp.to_string()])
            .args(["--mavlink", &format!("udpout:127.0.0.1:{}", ports.mavlink)])
            .args(["--period-s", &PERIOD_S.to_string()])
            .arg("--folder")
            .arg(&args.folder)
            .arg("--start-file")
            .arg(&start_file)
            .spawn()
            .context("starting the simulator")?;
        let mut drone = Self { process, start_wall_us: 0 };
        let clock = SystemClock::shared();
        let begun = clock.now();
        while clock.now().since(begun) < START_MAX {
            let text = std::fs::read_to_string(&start_file).unwrap_or_default();
            if let Ok(start_wall_us) = text.parse() {
                drone.start_wall_us = start_wall_us;
                return Ok(drone);
            }
            if let Some(status) = drone.process.try_wait()? {
                bail!("the simulator ended at once ({status}); its own message is above");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        bail!("the simulator did not begin within {} s", START_MAX.as_secs())
    }
}

impl Drop for Drone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the seconds since the flight's start at a moment of the daemon's clock.
fn flight_s(clock: &SharedClock, at: smgeo_flow::Stamp, start_wall_us: i64) -> f64 {
    (clock.wall_us(at) - start_wall_us) as f64 * 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drone_does_not_outlive_whoever_launched_it() {
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        let state = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(state.exists());
        let flown = std::panic::catch_unwind(|| {
            let _drone = Drone { process, start_wall_us: 0 };
            std::panic::resume_unwind(Box::new("a crash"));
        });
        assert!(flown.is_err());
        assert!(!state.exists(), "it still runs");
    }
}
