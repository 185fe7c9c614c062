//! Tracks in a file, one JSON record a line.
//!
//! A full disk or a broken one costs records and nothing else: each is counted, the file is opened anew from time to time,
//! and the numbers in the records show which are missing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use smgeo_flow::{SharedClock, Stamp};

use super::{Numbered, PublishError, Sink};

/// How long a failed file is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Says where the records go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NdjsonConfig {
    /// The file; it is appended to.
    pub file: PathBuf,
}

/// Writes records into a file.
pub struct NdjsonSink {
    config: NdjsonConfig,
    clock: SharedClock,
    file: Option<File>,
    // After a failure: when the file is tried again, and what was wrong with it.
    retry: Option<(Stamp, String)>,
    line: Vec<u8>,
}

impl NdjsonSink {
    /// Opens the file, so that a wrong path shows at once.
    pub fn new(config: NdjsonConfig, clock: SharedClock) -> Result<Self, PublishError> {
        let mut sink = Self { config, clock, file: None, retry: None, line: Vec::new() };
        sink.file = Some(sink.opened().map_err(|source| sink.failed(source))?);
        Ok(sink)
    }

    fn opened(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.config.file)
    }

    fn failed(&self, source: std::io::Error) -> PublishError {
        PublishError::File { file: self.config.file.display().to_string(), source }
    }

    fn write(&mut self, json: &[u8]) -> std::io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = self.opened()?;
                // The last record may have been cut short: an empty line ends it, and readers skip empty lines.
                file.write_all(b"\n")?;
                file
            }
        };
        self.line.clear();
        self.line.extend_from_slice(json);
        self.line.push(b'\n');
        file.write_all(&self.line)?;
        self.file = Some(file);
        Ok(())
    }
}

impl Sink for NdjsonSink {
    fn name(&self) -> &'static str {
        "publish_ndjson"
    }

    fn publish(&mut self, track: &Numbered) -> Result<(), PublishError> {
        let now = self.clock.now();
        if let Some((_, cause)) = self.retry.as_ref().filter(|(at, _)| now < *at) {
            return Err(self.failed(std::io::Error::other(cause.clone())));
        }
        match self.write(&track.json) {
            Ok(()) => {
                self.retry = None;
                Ok(())
            }
            Err(source) => {
                self.retry = Some((now.plus(RETRY), source.to_string()));
                Err(self.failed(source))
            }
        }
    }
}
