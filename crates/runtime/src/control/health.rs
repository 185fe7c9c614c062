//! Whether each part can do its work, and if not, why.
//!
//! Every part owns one line on the board and is the only writer of it. The whole is as well as its worst part, so one
//! lost camera shows; the causes are sentences for the person who has to act.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smgeo_flow::{SharedClock, Stamp};
use tokio::sync::watch;

use super::told_cause::ToldCause;

/// Says how well something works, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// It does its work.
    Ok,
    /// It does less than its work, or tries to get back to it.
    Degraded,
    /// It has not begun yet.
    Starting,
    /// It cannot do its work and cannot help itself.
    Failed,
}

impl Level {
    /// Returns the word used in JSON and logs.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Degraded => "degraded",
            Level::Starting => "starting",
            Level::Failed => "failed",
        }
    }

    /// Says whether something is wrong, so that there is a cause of it.
    fn is_trouble(self) -> bool {
        matches!(self, Level::Degraded | Level::Failed)
    }
}

/// Is one part's line.
#[derive(Clone, PartialEq, Debug)]
pub struct PartHealth {
    /// Names the part.
    pub part: String,
    /// How well it works.
    pub level: Level,
    /// Why it does not work, as a sentence; empty when it does.
    pub cause: String,
    /// Since when it has been at this level.
    pub since: Stamp,
}

/// Is every part's line, in the order the parts came up.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Health {
    /// The lines.
    pub parts: Vec<PartHealth>,
}

impl Health {
    /// Returns the level of the worst part; a machine without parts is still starting.
    pub fn level(&self) -> Level {
        self.parts.iter().map(|part| part.level).max().unwrap_or(Level::Starting)
    }

    /// Returns the parts that do not work, as `part: cause`, worst first.
    pub fn causes(&self) -> Vec<String> {
        let mut unwell: Vec<&PartHealth> = self.parts.iter().filter(|part| part.level != Level::Ok).collect();
        unwell.sort_by_key(|part| std::cmp::Reverse(part.level));
        unwell.iter().map(|part| format!("{}: {}", part.part, part.cause)).collect()
    }

    /// Says whether some part has not begun yet.
    pub fn is_starting(&self) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| part.level == Level::Starting)
    }
}

/// Is where all parts report; clones share it.
#[derive(Clone)]
pub struct HealthBoard {
    clock: SharedClock,
    lines: watch::Sender<Health>,
}

impl HealthBoard {
    /// Makes an empty board.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, lines: watch::Sender::new(Health::default()) }
    }

    /// Opens a line, at `starting`, and returns its pen. A name that is already there is taken over.
    pub fn part(&self, name: &str) -> PartReporter {
        let reporter = PartReporter { board: self.clone(), name: name.to_owned(), told: Arc::default() };
        reporter.report(Level::Starting, "has not begun yet");
        reporter
    }

    /// Returns the board as it is, and news of its changes.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.lines.subscribe()
    }

    /// Returns the board as it is.
    pub fn now(&self) -> Health {
        self.lines.borrow().clone()
    }
}

/// Writes one part's line. Reporting what already stands there costs a comparison.
#[derive(Clone)]
pub struct PartReporter {
    board: HealthBoard,
    name: String,
    told: Arc<Mutex<ToldCause>>,
}

impl PartReporter {
    /// Reports that the part does its work.
    pub fn ok(&self) {
        self.report(Level::Ok, "");
    }

    /// Reports that the part does less than its work, and why.
    pub fn degraded(&self, cause: &str) {
        self.report(Level::Degraded, cause);
    }

    /// Reports that the part cannot do its work, and why.
    pub fn failed(&self, cause: &str) {
        self.report(Level::Failed, cause);
    }

    fn report(&self, level: Level, cause: &str) {
        let now = self.board.clock.now();
        self.board.lines.send_if_modified(|health| {
            let Some(line) = health.parts.iter_mut().find(|line| line.part == self.name) else {
                let (part, cause) = (self.name.clone(), cause.to_owned());
                health.parts.push(PartHealth { part, level, cause, since: now });
                return true;
            };
            if line.level != level {
                line.since = now;
                self.told().begin(now, cause);
                tracing::info!(part = self.name, level = level.word(), cause, "health changed");
            } else if level.is_trouble() && self.told().is_news(now, cause) {
                tracing::info!(part = self.name, level = level.word(), cause, "cause changed");
            }
            if line.level == level && line.cause == cause {
                return false;
            }
            line.level = level;
            line.cause.clear();
            line.cause.push_str(cause);
            true
        });
    }

    fn told(&self) -> MutexGuard<'_, ToldCause> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smgeo_flow::HandClock;

    use super::*;
    use crate::control::journal::Journal;

    #[test]
    fn the_whole_is_as_well_as_its_worst_part() {
        let board = HealthBoard::new(HandClock::shared());
        let (camera, tiles) = (board.part("camera"), board.part("tiles"));
        assert_eq!(board.now().level(), Level::Starting);
        camera.ok();
        tiles.ok();
        assert_eq!((board.now().level(), board.now().causes()), (Level::Ok, vec![]));
        camera.degraded("no frame for 2 s");
        tiles.failed("the file is gone");
        assert_eq!(board.now().level(), Level::Failed);
        assert_eq!(board.now().causes(), ["tiles: the file is gone", "camera: no frame for 2 s"]);
    }

    #[test]
    fn a_report_that_changes_nothing_wakes_nobody_and_keeps_its_since() {
        let clock = HandClock::shared();
        let board = HealthBoard::new(clock.clone());
        let camera = board.part("camera");
        camera.degraded("no frame");
        let mut watch = board.watch();
        watch.mark_unchanged();
        let since = board.now().parts[0].since;
        clock.advance(Duration::from_secs(4));
        camera.degraded("no frame");
        assert!(!watch.has_changed().expect("the board lives"));
        assert_eq!(board.now().parts[0].since, since);
    }

    #[test]
    fn the_journal_is_told_a_changed_cause_though_the_level_stays() {
        let (clock, journal) = (HandClock::shared(), Journal::of("cause"));
        let board = HealthBoard::new(clock.clone());
        tracing::subscriber::with_default(journal.clone(), || {
            let camera = board.part("camera");
            for cause in ["no picture has come yet", "wrong password", "wrong password"] {
                camera.degraded(cause);
                clock.advance(Duration::from_secs(3));
            }
            camera.clone().degraded("wrong password");
        });
        assert_eq!(journal.read(), ["no picture has come yet", "wrong password"]);
    }

    #[test]
    fn a_machine_without_parts_is_starting() {
        assert_eq!(Health::default().level(), Level::Starting);
    }
}
