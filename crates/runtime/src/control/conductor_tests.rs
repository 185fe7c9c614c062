//! The conductor with stages that fail in every way, under a clock turned by hand.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use smgeo_flow::{HandClock, Stage};

use super::*;
use crate::control::health::{Health, Level};

/// How often a test looks before it gives up; each look lets the stage threads run for a millisecond.
const LOOKS_MAX: u32 = 5_000;

/// Does on each step what the test says.
struct Scripted<F>(F);

impl<F: FnMut() -> Result<(), Fault> + Send> Stage for Scripted<F> {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn step(&mut self) -> Result<(), Fault> {
        std::thread::park_timeout(Duration::from_millis(1));
        (self.0)()
    }
}

fn stage<F: FnMut() -> Result<(), Fault> + Send + 'static>(step: F) -> Result<Box<dyn Stage>, Fault> {
    Ok(Box::new(Scripted(step)))
}

/// Writes down what systemd would be told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(what)).count()
    }
}

impl Notify for Told {
    fn notify(&self, states: &[NotifyState<'_>]) {
        self.0.lock().unwrap().extend(states.iter().map(ToString::to_string));
    }

    fn watchdog(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }
}

struct Bench {
    clock: Arc<HandClock>,
    health: HealthBoard,
    metrics: Metrics,
    told: Told,
    conductor: Addr<Conductor>,
    ending: watch::Receiver<Option<Ending>>,
}

impl Bench {
    fn new(specs: Vec<StageSpec>) -> Self {
        let clock = HandClock::shared();
        let (health, metrics, told) = (HealthBoard::new(clock.clone()), Metrics::new(), Told::default());
        let parts = ConductorParts {
            clock: clock.clone(),
            stop: StopToken::new(),
            health: health.clone(),
            metrics: metrics.clone(),
            service: Box::new(told.clone()),
        };
        let conductor = Conductor::new(parts, specs);
        let ending = conductor.ending();
        Self { clock, health, metrics, told, conductor: conductor.start(), ending }
    }

    /// Ticks until the board reads as expected.
    async fn until(&self, what: &str, expected: impl Fn(&Health) -> bool) -> Health {
        for _ in 0..LOOKS_MAX {
            self.conductor.send(Tick).await.unwrap();
            let health = self.health.now();
            if expected(&health) {
                return health;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("never {what}: {:?}", self.health.now());
    }
}

#[actix_rt::test]
async fn a_stage_that_panics_is_built_anew_after_the_back_off_and_its_neighbour_never_stops() {
    let builds = Arc::new(AtomicU32::new(0));
    let built = builds.clone();
    let clumsy = StageSpec::new("clumsy", move || {
        let first = built.fetch_add(1, Ordering::SeqCst) == 0;
        stage(move || if first { panic!("tripped") } else { Ok(()) })
    });
    let steady = StageSpec::new("steady", || stage(|| Ok(())));
    let bench = Bench::new(vec![clumsy, steady]);

    let fallen = bench.until("down", |health| health.parts[0].cause.contains("panic: tripped")).await;
    assert_eq!((fallen.level(), fallen.parts[1].level), (Level::Degraded, Level::Ok));
    bench.conductor.send(Tick).await.unwrap();
    assert_eq!(builds.load(Ordering::SeqCst), 1, "built anew before the back-off was over");

    bench.clock.advance(Duration::from_millis(250));
    bench.until("up again", |health| health.level() == Level::Ok).await;
    assert_eq!((builds.load(Ordering::SeqCst), bench.metrics.stage("clumsy").panicked.get()), (2, 1));
    assert!(bench.conductor.send(Shutdown).await.unwrap().is_empty());
}

#[actix_rt::test]
async fn a_stage_that_cannot_be_built_is_tried_for_ever() {
    let camera = StageSpec::new("camera", || Err(Fault::restart("no such device")));
    let bench = Bench::new(vec![camera]);
    for attempt in 1..=8 {
        let restarted = bench.metrics.stage("camera").restarted;
        bench.until("down", |_| restarted.get() == attempt).await;
        bench.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(bench.health.now().causes(), ["camera: is being built anew after: no such device"]);
    assert_eq!(*bench.ending.borrow(), None);
    assert_eq!(bench.told.count("READY"), 1, "a machine without its camera is up, and says what it lacks");
}

#[actix_rt::test]
async fn a_fault_that_escalates_ends_the_process_and_the_watchdog() {
    let locate = StageSpec::new("locate", || stage(|| Err(Fault::escalate("the CUDA context is broken"))));
    let bench = Bench::new(vec![locate]);
    bench.until("failed", |health| health.level() == Level::Failed).await;
    let ending = bench.ending.borrow().clone();
    let cause = "locate: the CUDA context is broken".to_owned();
    assert_eq!(ending, Some(Ending { exit_code: EXIT_ESCALATED, cause }));
    let meals = bench.told.count("WATCHDOG");
    bench.clock.advance(Duration::from_secs(1));
    bench.conductor.send(Tick).await.unwrap();
    assert_eq!(bench.told.count("WATCHDOG"), meals);
}

#[actix_rt::test]
async fn the_watchdog_is_fed_only_while_every_stage_moves() {
    let hang = Arc::new(AtomicBool::new(false));
    let hangs = hang.clone();
    let locate = StageSpec::new("locate", move || {
        let hangs = hangs.clone();
        stage(move || {
            while hangs.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Ok(())
        })
    });
    let bench = Bench::new(vec![locate]);
    bench.until("up", |health| health.level() == Level::Ok).await;
    assert_eq!((bench.told.count("READY"), bench.told.count("WATCHDOG") > 0), (1, true));

    hang.store(true, Ordering::SeqCst);
    // One step may still end after the flag is set; the second silence is all the stage's own.
    for _ in 0..2 {
        bench.clock.advance(Duration::from_secs(4));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let hung = bench.until("hung", |health| health.level() == Level::Failed).await;
    assert!(hung.causes()[0].starts_with("locate: hangs: no step for"), "{:?}", hung.causes());
    let meals = bench.told.count("WATCHDOG");
    bench.clock.advance(Duration::from_secs(60));
    bench.conductor.send(Tick).await.unwrap();
    assert_eq!(bench.told.count("WATCHDOG"), meals);

    hang.store(false, Ordering::SeqCst);
    bench.until("up again", |health| health.level() == Level::Ok).await;
    assert!(bench.told.count("WATCHDOG") > meals);
}

#[actix_rt::test]
async fn systemd_is_told_another_cause_at_the_same_level_once_a_second_at_most() {
    let bench = Bench::new(vec![StageSpec::new("steady", || stage(|| Ok(())))]);
    bench.until("up", |health| health.level() == Level::Ok).await;
    let video = bench.health.part("video");
    bench.clock.advance(STATUS_EVERY);
    for cause in ["no picture has come yet", "no route to host", "wrong password", "wrong password"] {
        video.degraded(cause);
        bench.conductor.send(Tick).await.unwrap();
        bench.clock.advance(Duration::from_millis(400));
    }
    let told = bench.told.0.lock().unwrap().clone();
    let told: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("STATUS=degraded ")).collect();
    assert_eq!(told, ["video: no picture has come yet", "video: wrong password"]);
}

#[actix_rt::test]
async fn a_skipped_item_is_counted_and_a_stage_that_only_skips_is_built_anew() {
    let locate = StageSpec::new("locate", || stage(|| Err(Fault::skip("the crop is empty"))));
    let bench = Bench::new(vec![locate]);
    bench.until("skipping", |health| health.parts[0].cause == "loses items: the crop is empty").await;
    bench.until("given up", |health| health.parts[0].cause.contains("items in a row failed")).await;
    let metrics = bench.metrics.stage("locate");
    assert!(metrics.skipped.get() >= 300);
    assert_eq!(metrics.restarted.get(), 1);
}

#[actix_rt::test]
async fn a_stage_that_loses_items_between_idle_steps_is_degraded_until_it_loses_no_more() {
    let full = Arc::new(AtomicBool::new(true));
    let disk = full.clone();
    let sink = StageSpec::new("sink", move || {
        let (disk, mut steps) = (disk.clone(), 0_u32);
        stage(move || {
            steps += 1;
            let has_item = steps.is_multiple_of(4);
            if has_item && disk.load(Ordering::SeqCst) { Err(Fault::skip("the disk is full")) } else { Ok(()) }
        })
    });
    let bench = Bench::new(vec![sink]);
    bench.until("degraded", |health| health.parts[0].cause == "loses items: the disk is full").await;
    full.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(11));
    bench.until("well again", |health| health.level() == Level::Ok).await;
    assert_eq!(bench.metrics.stage("sink").restarted.get(), 0);
}

#[actix_rt::test]
async fn shutting_down_names_the_stage_that_does_not_end() {
    let stuck = StageSpec::new("stuck", || {
        stage(|| {
            std::thread::park_timeout(Duration::from_secs(6));
            Ok(())
        })
    });
    let bench = Bench::new(vec![stuck, StageSpec::new("steady", || stage(|| Ok(())))]);
    bench.until("up", |health| health.level() == Level::Ok).await;
    assert_eq!(bench.conductor.send(Shutdown).await.unwrap(), ["stuck"]);
    assert_eq!(bench.told.count("STOPPING"), 1);
}
