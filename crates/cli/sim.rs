//! `smgeo sim`: a drone that is not there.
//!
//! It flies over a made town and does what a drone does: H.264 over RTSP with the capture time in its sender reports, MAVLink over
//! UDP. The flight is filmed before take-off, because rendering costs more than a live stream allows, and then flown again
//! and again in real time. Whoever connects cannot tell it from a drone by the protocols.

pub mod flight_plan;
pub mod prepare;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use smgeo_flow::{SharedClock, Stamp, StopToken, SystemClock};
use smgeo_runtime::film::Film;
use smgeo_runtime::rtsp_server::{RtspConfig, RtspServer};
use smgeo_runtime::vehicle::{Report, Vehicle};

use crate::output::say;
use flight_plan::FlightPlan;

/// Telemetry is sent this many times a second, as autopilots are usually asked to.
const TELEMETRY_HZ: f64 = 20.0;

/// Says what to fly and where to send it.
#[derive(clap::Args)]
pub struct Args {
    /// The town and the flight: another seed makes another world.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The address that video is served on; 0.0.0.0 serves other machines too.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The RTSP port; 0 takes a free one.
    #[arg(long, default_value_t = 8554)]
    rtsp_port: u16,
    /// Where MAVLink goes: udpout:HOST:PORT or serial:DEVICE:BAUD.
    #[arg(long, default_value = "udpout:127.0.0.1:14550")]
    mavlink: String,
    /// Where towns and films are kept.
    #[arg(long, default_value = "demo")]
    folder: PathBuf,
    /// Seconds after which the flight begins again.
    #[arg(long, default_value_t = 60.0)]
    period_s: f64,
    /// Seconds to fly; for ever if not given.
    #[arg(long)]
    duration_s: Option<f64>,
    /// Prepares the town and the film, and ends.
    #[arg(long)]
    prepare_only: bool,
    /// Writes the wall time of the flight's first moment to this file, microseconds since 1970; for evaluations that know the
    /// truth.
    #[arg(long, hide = true)]
    start_file: Option<PathBuf>,
}

impl Args {
    fn rtsp(&self, plan: &FlightPlan) -> RtspConfig {
        RtspConfig { address: self.listen.to_string(), port: self.rtsp_port, ..plan.rtsp() }
    }
}

/// Prepares the flight and flies it.
pub fn run(args: Args) -> anyhow::Result<()> {
    let plan = FlightPlan::new(args.seed, args.period_s)?;
    let folder = prepare::world(&args.folder, &plan)?;
    let film = prepare::film(&folder, &plan)?;
    if args.prepare_only {
        return Ok(());
    }
    let clock = SystemClock::shared();
    let server = RtspServer::start(args.rtsp(&plan), clock.clone())?;
    let vehicle = Vehicle::open(&args.mavlink, clock.clone())?;
    let start = clock.now();
    if let Some(file) = &args.start_file {
        let text = clock.wall_us(start).to_string();
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    say!("video {}  telemetry {}  map {}", server.uri(), args.mavlink, folder.display())?;
    let stop = StopToken::new();
    let telemetry = {
        let (plan, clock, stop) = (plan.clone(), clock.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("telemetry".to_owned());
        thread.spawn(move || tell(&plan, &vehicle, &clock, start, &stop))?
    };
    show(&film, &server, &clock, start, args.duration_s);
    stop.stop();
    telemetry.join().map_err(|_| anyhow::anyhow!("the telemetry thread panicked"))
}

/// Sends each access unit at the moment its picture was taken.
fn show(film: &Film, server: &RtspServer, clock: &SharedClock, start: Stamp, duration_s: Option<f64>) {
    let frame_s = 1.0 / f64::from(film.plan.fps);
    for index in 0_u64.. {
        let t_s = index as f64 * frame_s;
        if duration_s.is_some_and(|duration_s| t_s > duration_s) {
            return;
        }
        let due = start.plus(Duration::from_secs_f64(t_s));
        wait_until(clock, due);
        let unit = &film.units[(index % film.units.len() as u64) as usize];
        server.push_unit(unit.bytes.clone(), clock.wall_us(due));
    }
}

/// Sends each reading at the moment it was taken.
fn tell(plan: &FlightPlan, vehicle: &Vehicle, clock: &SharedClock, start: Stamp, stop: &StopToken) {
    for index in 0_u64.. {
        let t_s = index as f64 / TELEMETRY_HZ;
        let due = start.plus(Duration::from_secs_f64(t_s));
        wait_until(clock, due);
        if stop.is_stopped() {
            return;
        }
        let (pose, velocity_ned_mps) = plan.measured(t_s, index);
        let report = Report { boot_ms: (t_s * 1e3) as u32, pose, velocity_ned_mps };
        vehicle.report(&report);
        if index.is_multiple_of(TELEMETRY_HZ as u64) {
            let camera = plan.camera();
            let vfov_rad = 2.0 * (f64::from(camera.height_px) / 2.0 / camera.fy_px).atan();
            vehicle.report_slowly(&report, clock.wall_us(due), &plan.sigma(), camera.hfov_rad(), vfov_rad);
        }
    }
}

fn wait_until(clock: &SharedClock, due: Stamp) {
    loop {
        let now = clock.now();
        if now >= due {
            return;
        }
        std::thread::park_timeout(due.since(now));
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    #[test]
    fn video_is_served_on_loopback_unless_told_otherwise() {
        let plan = FlightPlan::new(7, 60.0).unwrap();
        let served = |options: &[&str]| {
            let command = Args::augment_args(Command::new("sim").no_binary_name(true));
            let args = Args::from_arg_matches(&command.try_get_matches_from(options).ok()?).ok()?;
            Some(args.rtsp(&plan).address)
        };
        assert_eq!(served(&[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(served(&["--listen", "0.0.0.0"]).as_deref(), Some("0.0.0.0"));
        assert_eq!(served(&["--listen", "everywhere"]), None);
    }
}
