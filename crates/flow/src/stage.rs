//! A stage: one unit of work per step, restartable from outside.
//!
//! A stage owns no thread, no loop and no sleep. The runtime gives it a thread, calls [`Stage::step`] again and again, and
//! reads from a [`Fault`] what to do when a step fails. So a stage can be stepped by a test.

use std::error::Error;
use std::fmt;

/// Does one unit of work per call.
pub trait Stage: Send {
    /// Names the stage in logs and metrics.
    fn name(&self) -> &'static str;

    /// Does one unit of work, or waits a short, limited time for one, and returns.
    fn step(&mut self) -> Result<(), Fault>;
}

/// Says what shall happen after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This item is lost and counted; the stage goes on.
    Skip,
    /// The stage's state is not to be trusted: it is built anew.
    Restart,
    /// The process's state is not to be trusted: it ends, and its supervisor starts another.
    Escalate,
}

/// Is an error of a stage, with its verdict.
#[derive(Debug)]
pub struct Fault {
    /// What shall happen.
    pub verdict: Verdict,
    /// What went wrong.
    pub source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    /// Says that one item is lost.
    pub fn skip(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { verdict: Verdict::Skip, source: source.into() }
    }

    /// Says that the stage must be built anew.
    pub fn restart(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { verdict: Verdict::Restart, source: source.into() }
    }

    /// Says that the process must end.
    pub fn escalate(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { verdict: Verdict::Escalate, source: source.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self.source.as_ref());
        let mut first = true;
        while let Some(error) = cause {
            write!(f, "{}{error}", if first { "" } else { ": " })?;
            first = false;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Fault {}
