//! What the service manager is told: that the machine is ready, that it moves, that it stops.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells a service manager about the process.
pub trait Notify: Send {
    /// Sends the states, in one message. A manager that does not listen is not an error: the machine runs without one.
    fn notify(&self, states: &[NotifyState<'_>]);

    /// Returns the silence after which the manager ends the process, if it watches.
    fn watchdog(&self) -> Option<Duration>;
}

/// Is systemd, by the environment it gives to a unit of `Type=notify`; without one, nothing is sent.
pub struct Systemd {
    watchdog: Option<Duration>,
}

impl Systemd {
    /// Reads from the environment whether systemd watches this process.
    pub fn from_env() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }
}

impl Notify for Systemd {
    fn notify(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "service manager not told");
        }
    }

    fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }
}
