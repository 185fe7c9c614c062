//! What the log is told, for tests: one field of every event.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the text of one field; clones share it.
#[derive(Clone)]
pub struct Journal {
    field: &'static str,
    texts: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    /// Makes one that keeps the field of this name.
    pub fn of(field: &'static str) -> Self {
        Self { field, texts: Arc::default() }
    }

    /// Returns what was kept, the oldest first.
    pub fn read(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

impl Visit for Journal {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.field {
            self.texts.lock().unwrap().push(value.to_owned());
        }
    }
}

impl Subscriber for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
