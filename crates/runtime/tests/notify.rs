//! What systemd hears of a daemon, over a real notification socket.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use smgeo_flow::{Fault, Stage, StopToken, SystemClock};
use smgeo_runtime::control::{Conductor, ConductorParts, HealthBoard, Metrics, StageSpec, Systemd};

const WATCHDOG: Duration = Duration::from_millis(800);
/// The played daemon's stage works so long before it hangs.
const WORKS: Duration = Duration::from_millis(1_500);
/// And is played for so long.
const PLAYED: Duration = Duration::from_millis(5_000);

/// Works for a while, then hangs.
struct Tires {
    began: Instant,
}

impl Stage for Tires {
    fn name(&self) -> &'static str {
        "tires"
    }

    fn step(&mut self) -> Result<(), Fault> {
        let worked = self.began.elapsed();
        std::thread::park_timeout(if worked < WORKS { Duration::from_millis(5) } else { PLAYED });
        Ok(())
    }
}

/// Is the daemon, in a process of its own that the other test starts; alone it does nothing.
#[actix_rt::test]
async fn played_daemon() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let clock = SystemClock::shared();
    let parts = ConductorParts {
        clock: clock.clone(),
        stop: StopToken::new(),
        health: HealthBoard::new(clock),
        metrics: Metrics::new(),
        service: Box::new(Systemd::from_env()),
    };
    let stage = StageSpec::new("tires", || Ok(Box::new(Tires { began: Instant::now() }) as Box<dyn Stage>));
    let conductor = Conductor::new(parts, vec![stage.silence_max(Duration::from_millis(300))]);
    let _conductor = conductor.start_alone();
    actix_rt::time::sleep(PLAYED).await;
}

#[test]
fn systemd_hears_ready_then_meals_while_the_stage_moves_and_none_while_it_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "played_daemon"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();

    let (mut heard, mut last_meal) = (Vec::new(), Instant::now());
    let ended = loop {
        let mut buffer = [0; 1_024];
        if let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with("WATCHDOG=1") {
                last_meal = Instant::now();
            }
            heard.push(text);
        }
        if daemon.try_wait().unwrap().is_some() {
            break Instant::now();
        }
    };
    let count = |what: &str| heard.iter().filter(|text| text.starts_with(what)).count();
    assert_eq!(count("READY=1"), 1, "{heard:?}");
    assert!(heard[0].starts_with("READY=1") || heard[0].starts_with("WATCHDOG=1"), "{heard:?}");
    assert!(heard.iter().any(|text| text.starts_with("STATUS=failed tires: hangs")), "{heard:?}");
    // At least one meal in two, whatever the load of the machine.
    assert!(count("WATCHDOG=1") >= 3, "{heard:?}");
    let starved = ended - last_meal;
    assert!(starved > WATCHDOG * 2, "the last meal was only {starved:?} before the end: {heard:?}");
}
