//! The one way to ask everything to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Is shared by everything that must end together; once stopped it stays so.
#[derive(Clone, Default)]
pub struct StopToken {
    stopped: Arc<AtomicBool>,
}

impl StopToken {
    /// Makes a token that is not stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds this token to end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Says whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}
