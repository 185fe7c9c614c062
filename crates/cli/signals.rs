//! What asks this program to end: Ctrl-C in a terminal, or SIGTERM of a service manager.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From [`Signals::listen`] on they end nothing by themselves; one that came is kept until it is asked for.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen. Must be called in the system of the runtime.
    pub fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for either.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
