//! Keeps every stage running, and says when the machine as a whole is ready, moving, or at its end.
//!
//! The conductor is an actor alone on its arbiter, so nothing that blocks elsewhere can stop it from noticing. It looks
//! at all posts twenty times a second: a stage that failed is built anew after a back-off, for ever; one
//! that hangs cannot be ended from inside a process, so the watchdog is no longer fed and the service manager ends
//! the process; one that escalates ends it at once, with an exit code.

use std::time::Duration;

use actix::prelude::*;
use sd_notify::NotifyState;
use smgeo_flow::{Fault, SharedClock, Stamp, StopToken, Verdict};
use tokio::sync::watch;

use super::backoff::Backoff;
use super::health::{Health, HealthBoard, PartReporter};
use super::metrics::Metrics;
use super::post::{Condition, End, Post, StageSpec};
use super::service::Notify;

/// How often the posts are looked at: a failed stage is noticed within this time.
const TICK: Duration = Duration::from_millis(50);
/// A stage that worked for so long starts its back-off from the shortest wait again.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// How often the service manager is told another status.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How long stages have to end after they were asked to.
const STOP_MAX: Duration = Duration::from_secs(2);
/// The exit code after an escalation: `EX_SOFTWARE` of sysexits.
pub const EXIT_ESCALATED: u8 = 70;

/// Is what the conductor is given.
pub struct ConductorParts {
    /// Tells it the time.
    pub clock: SharedClock,
    /// Is asked for to end every stage; a stop from outside ends them too.
    pub stop: StopToken,
    /// Where it reports each stage.
    pub health: HealthBoard,
    /// Where it counts.
    pub metrics: Metrics,
    /// The service manager.
    pub service: Box<dyn Notify>,
}

/// Says why the process has to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// What the process exits with.
    pub exit_code: u8,
    /// The stage and its fault, as a sentence.
    pub cause: String,
}

/// Asks for one look at all posts; the conductor also sends it to itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tick;

/// Ends every stage. Answers with the names of those that did not end in time.
#[derive(Message)]
#[rtype(result = "Vec<&'static str>")]
pub struct Shutdown;

/// Owns the stages.
pub struct Conductor {
    parts: ConductorParts,
    charges: Vec<Charge>,
    ending: watch::Sender<Option<Ending>>,
    ready: bool,
    fed_at: Option<Stamp>,
    status: String,
    status_at: Option<Stamp>,
}

/// Is one stage in the conductor's charge.
struct Charge {
    post: Post,
    reporter: PartReporter,
    backoff: Backoff,
    restart_at: Option<Stamp>,
    started_at: Stamp,
}

impl Conductor {
    /// Puts every stage on its post; they start when the actor does.
    pub fn new(parts: ConductorParts, specs: Vec<StageSpec>) -> Self {
        let charges = specs.into_iter().map(|spec| Charge::new(spec, &parts)).collect();
        let ending = watch::Sender::new(None);
        Self { parts, charges, ending, ready: false, fed_at: None, status: String::new(), status_at: None }
    }

    /// Tells why the process has to end, as soon as it has to.
    pub fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.subscribe()
    }

    /// Starts the actor on an arbiter of its own.
    pub fn start_alone(self) -> Addr<Self> {
        Self::start_in_arbiter(&Arbiter::new().handle(), |_| self)
    }

    fn look_at_all(&mut self) {
        let now = self.parts.clock.now();
        let stopping = self.parts.stop.is_stopped();
        for charge in &mut self.charges {
            if let Some(ending) = charge.look(now, stopping) {
                self.ending.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(ending);
                    is_first
                });
            }
        }
        self.tell_service_manager(now);
    }

    fn tell_service_manager(&mut self, now: Stamp) {
        let health = self.parts.health.now();
        if !self.ready && !health.is_starting() {
            self.ready = true;
            self.parts.service.notify(&[NotifyState::Ready]);
            tracing::info!("ready");
        }
        if self.ready {
            self.tell_status(now, &health);
        }
        let Some(watchdog) = self.parts.service.watchdog() else { return };
        // Four meals per period, so that one late tick is not a death.
        let hungry = self.fed_at.is_none_or(|fed_at| now.since(fed_at) >= watchdog / 4);
        if hungry && self.moves() {
            self.fed_at = Some(now);
            self.parts.service.notify(&[NotifyState::Watchdog]);
        }
    }

    /// Tells how the machine is, when that is other than what was told: the cause may change though the level stays.
    fn tell_status(&mut self, now: Stamp, health: &Health) {
        let is_ending = self.ending.borrow().is_some();
        if !is_ending && self.status_at.is_some_and(|at| now.since(at) < STATUS_EVERY) {
            return;
        }
        let status = format!("{} {}", health.level().word(), health.causes().join("; "));
        if status != self.status {
            self.parts.service.notify(&[NotifyState::Status(&status)]);
            (self.status, self.status_at) = (status, Some(now));
        }
    }

    /// Says whether every stage moves, or is known to be down and about to be built anew.
    fn moves(&self) -> bool {
        let hung = |charge: &Charge| matches!(charge.post.condition(), Condition::Hung { .. });
        self.ending.borrow().is_none() && !self.charges.iter().any(hung)
    }
}

impl Actor for Conductor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let now = self.parts.clock.now();
        for charge in &mut self.charges {
            charge.start(now);
        }
        context.run_interval(TICK, |conductor, _| conductor.look_at_all());
    }
}

impl Handler<Tick> for Conductor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        self.look_at_all();
    }
}

impl Handler<Shutdown> for Conductor {
    type Result = ResponseFuture<Vec<&'static str>>;

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) -> Self::Result {
        self.parts.stop.stop();
        self.parts.service.notify(&[NotifyState::Stopping]);
        let threads: Vec<_> = self.charges.iter_mut().filter_map(|charge| charge.post.take_thread()).collect();
        Box::pin(async move {
            for _ in 0..STOP_MAX.as_millis() / TICK.as_millis() {
                if threads.iter().all(|(_, thread)| thread.is_finished()) {
                    break;
                }
                actix_rt::time::sleep(TICK).await;
            }
            threads.iter().filter(|(_, thread)| !thread.is_finished()).map(|(name, _)| *name).collect()
        })
    }
}

impl Charge {
    fn new(spec: StageSpec, parts: &ConductorParts) -> Self {
        let metrics = parts.metrics.stage(spec.name);
        Self {
            reporter: parts.health.part(spec.name),
            post: Post::new(spec, metrics, parts.clock.clone(), parts.stop.clone()),
            backoff: Backoff::default(),
            restart_at: None,
            started_at: parts.clock.now(),
        }
    }

    fn start(&mut self, now: Stamp) {
        self.restart_at = None;
        self.started_at = now;
        if let Err(error) = self.post.start() {
            self.build_again(now, &format!("no thread could be started: {error}"));
        }
    }

    /// Looks at the post once and does what its condition asks for.
    fn look(&mut self, now: Stamp, stopping: bool) -> Option<Ending> {
        match self.post.condition() {
            Condition::Building | Condition::Skipping => {}
            Condition::Working => {
                self.reporter.ok();
                if now.since(self.started_at) > WELL_AFTER {
                    self.backoff.reset();
                }
            }
            Condition::Losing { cause } => self.reporter.degraded(&format!("loses items: {cause}")),
            Condition::Hung { silence } => {
                let limit_s = self.post.silence_limit().as_secs_f64();
                let silence_s = silence.as_secs();
                self.reporter.failed(&format!("hangs: no step for {silence_s} s, the limit is {limit_s} s"));
            }
            Condition::Ended => return self.after_end(now, stopping),
        }
        None
    }

    fn after_end(&mut self, now: Stamp, stopping: bool) -> Option<Ending> {
        match self.post.take_end() {
            Some(End::Stopped) => self.reporter.degraded("stopped"),
            Some(End::Panic(words)) => {
                self.post.metrics().panicked.inc();
                self.build_again(now, &format!("panic: {words}"));
            }
            Some(End::Fault(fault)) if fault.verdict == Verdict::Escalate => return Some(self.end_process(&fault)),
            Some(End::Fault(fault)) => {
                self.post.metrics().restarted.inc();
                self.build_again(now, &fault.to_string());
            }
            None if !stopping && self.restart_at.is_some_and(|at| at <= now) => self.start(now),
            None => {}
        }
        None
    }

    fn build_again(&mut self, now: Stamp, cause: &str) {
        let wait = self.backoff.wait();
        self.restart_at = Some(now.plus(wait));
        let wait_ms = wait.as_millis();
        tracing::warn!(stage = self.post.name, cause, wait_ms, "stage failed, will be built anew");
        self.reporter.degraded(&format!("is being built anew after: {cause}"));
    }

    fn end_process(&self, fault: &Fault) -> Ending {
        self.post.metrics().escalated.inc();
        let cause = format!("{}: {fault}", self.post.name);
        tracing::error!(stage = self.post.name, %fault, "stage escalates, the process has to end");
        self.reporter.failed(&fault.to_string());
        Ending { exit_code: EXIT_ESCALATED, cause }
    }
}

#[cfg(test)]
#[path = "conductor_tests.rs"]
mod tests;
