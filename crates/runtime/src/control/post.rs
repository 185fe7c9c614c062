//! One stage's post: how to make the stage, the thread it runs on, and what became of it.
//!
//! A stage that fails or panics ends its thread; the thread's end is the report. The next one is built by the same
//! factory on a new thread, so nothing of the failed state survives.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use smgeo_flow::{Fault, Heartbeat, Pulse, SharedClock, Stage, Stamp, StopToken, Verdict};

use super::metrics::StageMetrics;
use super::seldom::Seldom;

/// A stage that waits for input steps many times a second; three seconds without a step is a stage that is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A stage may load a network or open a camera while it is built.
const BUILD_MAX: Duration = Duration::from_secs(120);
/// So many lost items in a row are a fault of the stage, not of the items.
const SKIPS_IN_A_ROW_MAX: u32 = 300;
/// A stage that lost so many items lately is unwell; fewer are noise in the input.
const LOST_UNWELL: usize = 10;
/// How long ago lately is. Steps without work in between do not make a lost item less lost.
const LATELY: Duration = Duration::from_secs(10);

/// Makes a stage; called on the stage's own thread, at the start and after each failure.
pub type StageFactory = Box<dyn FnMut() -> Result<Box<dyn Stage>, Fault> + Send>;

/// Says how to make a stage and what is expected of it.
pub struct StageSpec {
    /// Names its thread, its metrics and its line on the health board.
    pub name: &'static str,
    /// The longest time a step may take.
    pub silence_max: Duration,
    /// The longest time the factory may take.
    pub build_max: Duration,
    /// Makes it.
    pub factory: StageFactory,
}

impl StageSpec {
    /// Describes a stage with the usual limits: 3 s a step, 120 s to build.
    pub fn new<F>(name: &'static str, factory: F) -> Self
    where
        F: FnMut() -> Result<Box<dyn Stage>, Fault> + Send + 'static,
    {
        Self { name, silence_max: SILENCE_MAX, build_max: BUILD_MAX, factory: Box::new(factory) }
    }

    /// Allows a step to take longer, as an inference on a slow machine does.
    pub fn silence_max(self, silence_max: Duration) -> Self {
        Self { silence_max, ..self }
    }
}

/// Is the thread of a stage; its result says why it ended.
pub(super) type StageThread = JoinHandle<Result<(), Fault>>;

/// Is a stage at work on its thread.
pub(super) struct Post {
    pub(super) name: &'static str,
    shared: Arc<Shared>,
    pulse: Pulse,
    silence_max: Duration,
    build_max: Duration,
    thread: Option<StageThread>,
}

/// Is what the stage's thread and the conductor both hold.
struct Shared {
    factory: Mutex<StageFactory>,
    clock: SharedClock,
    heartbeat: Heartbeat,
    metrics: StageMetrics,
    stop: StopToken,
    built: AtomicBool,
    skips_in_a_row: AtomicU32,
    lost: Mutex<Lost>,
}

/// Is what is known of the items that were skipped last.
#[derive(Default)]
struct Lost {
    // When, the newest last; never more than make a stage unwell.
    at: VecDeque<Stamp>,
    cause: String,
    told: Seldom,
}

/// Says what a stage's thread is doing.
#[derive(Debug, PartialEq)]
pub(super) enum Condition {
    Building,
    Working,
    /// The last step lost its item; that alone says nothing yet.
    Skipping,
    /// Many items were lost lately.
    Losing {
        cause: String,
    },
    Hung {
        silence: Duration,
    },
    Ended,
}

/// Says why a stage's thread ended.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    Fault(Fault),
    Panic(String),
}

impl Post {
    /// Prepares the post; no thread runs yet.
    pub(super) fn new(spec: StageSpec, metrics: StageMetrics, clock: SharedClock, stop: StopToken) -> Self {
        let heartbeat = Heartbeat::new(clock.clone());
        let pulse = heartbeat.pulse();
        let shared = Shared {
            factory: Mutex::new(spec.factory),
            clock,
            heartbeat,
            metrics,
            stop,
            built: AtomicBool::new(false),
            skips_in_a_row: AtomicU32::new(0),
            lost: Mutex::default(),
        };
        let (silence_max, build_max) = (spec.silence_max, spec.build_max);
        Self { name: spec.name, shared: Arc::new(shared), pulse, silence_max, build_max, thread: None }
    }

    /// Starts a thread that builds the stage and steps it until it fails or the stop is asked for.
    pub(super) fn start(&mut self) -> std::io::Result<()> {
        self.shared.built.store(false, Ordering::SeqCst);
        self.shared.skips_in_a_row.store(0, Ordering::SeqCst);
        lock(&self.shared.lost).at.clear();
        self.shared.heartbeat.beat();
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || shared.run())?;
        self.thread = Some(thread);
        Ok(())
    }

    /// Looks at the thread without waiting for it.
    pub(super) fn condition(&self) -> Condition {
        let Some(thread) = &self.thread else { return Condition::Ended };
        if thread.is_finished() {
            return Condition::Ended;
        }
        let built = self.shared.built.load(Ordering::SeqCst);
        let silence = self.pulse.silence();
        if silence > if built { self.silence_max } else { self.build_max } {
            return Condition::Hung { silence };
        }
        if !built {
            return Condition::Building;
        }
        match lock(&self.shared.lost).unwell(self.shared.clock.now()) {
            Some(cause) => Condition::Losing { cause },
            None if self.shared.skips_in_a_row.load(Ordering::SeqCst) > 0 => Condition::Skipping,
            None => Condition::Working,
        }
    }

    /// Takes the reason why the thread ended; nothing while it runs.
    pub(super) fn take_end(&mut self) -> Option<End> {
        let thread = self.thread.take_if(|thread| thread.is_finished())?;
        Some(match thread.join() {
            Ok(Ok(())) => End::Stopped,
            Ok(Err(fault)) => End::Fault(fault),
            Err(panic) => End::Panic(words(panic.as_ref())),
        })
    }

    /// Gives the thread away, to whoever waits for its end.
    pub(super) fn take_thread(&mut self) -> Option<(&'static str, StageThread)> {
        self.thread.take().map(|thread| (self.name, thread))
    }

    /// Returns what is counted for this stage.
    pub(super) fn metrics(&self) -> &StageMetrics {
        &self.shared.metrics
    }

    /// Returns the longest time a step may take.
    pub(super) fn silence_limit(&self) -> Duration {
        self.silence_max
    }
}

impl Shared {
    fn run(&self) -> Result<(), Fault> {
        let mut stage = lock(&self.factory)()?;
        self.metrics.starts.inc();
        self.heartbeat.beat();
        self.built.store(true, Ordering::SeqCst);
        while !self.stop.is_stopped() {
            self.step(stage.as_mut())?;
            self.heartbeat.beat();
        }
        Ok(())
    }

    fn step(&self, stage: &mut dyn Stage) -> Result<(), Fault> {
        let Err(fault) = stage.step() else {
            self.metrics.steps.inc();
            self.skips_in_a_row.store(0, Ordering::Relaxed);
            return Ok(());
        };
        if fault.verdict != Verdict::Skip {
            return Err(fault);
        }
        self.metrics.skipped.inc();
        let told = lock(&self.lost).note(self.clock.now(), &fault);
        match told {
            Some(untold) => tracing::warn!(stage = stage.name(), %fault, untold, "item skipped"),
            None => tracing::debug!(stage = stage.name(), %fault, "item skipped"),
        }
        if self.skips_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= SKIPS_IN_A_ROW_MAX {
            return Err(Fault::restart(format!("{SKIPS_IN_A_ROW_MAX} items in a row failed, the last: {fault}")));
        }
        Ok(())
    }
}

impl Lost {
    /// Notes one lost item; returns what [`Seldom::note`] says of it.
    fn note(&mut self, now: Stamp, fault: &Fault) -> Option<u64> {
        if self.at.len() == LOST_UNWELL {
            self.at.pop_front();
        }
        self.at.push_back(now);
        self.cause = fault.to_string();
        self.told.note(now)
    }

    /// Returns why the last item was lost, if so many were lost lately that the stage is unwell.
    fn unwell(&self, now: Stamp) -> Option<String> {
        let first = self.at.front().filter(|_| self.at.len() == LOST_UNWELL)?;
        (now.since(*first) < LATELY).then(|| self.cause.clone())
    }
}

/// Locks, also after a panic: a factory and a list of losses have no half-made state that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without words").to_owned()
}
