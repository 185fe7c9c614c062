//! A run's log: one JSON object a line, which `plot` turns into curves.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Steps done.
    pub step: u64,
    /// Seconds since this process began.
    pub seconds: f64,
    /// Numbers by name.
    pub values: BTreeMap<String, f64>,
}

/// Appends to a log.
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens a log to append to. When a run resumes at `step`, later lines belong to work that was lost and are cut off.
    pub fn open(path: &Path, step: u64) -> anyhow::Result<Self> {
        if path.exists() {
            let kept: Vec<Entry> = read(path)?.into_iter().filter(|entry| entry.step <= step).collect();
            let lines: String =
                kept.iter().filter_map(|entry| serde_json::to_string(entry).ok()).map(|l| l + "\n").collect();
            std::fs::write(path, lines).with_context(|| format!("rewriting log {}", path.display()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| format!("opening log {}", path.display()))? })
    }

    /// Appends one line.
    pub fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(entry)?).context("writing the log")
    }
}

/// Reads a log; a last line that was cut off by a crash is left out.
pub fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let file = File::open(path).with_context(|| format!("opening log {}", path.display()))?;
    let mut entries = Vec::new();
    for line in BufReader::new(file).lines() {
        match serde_json::from_str(&line.context("reading the log")?) {
            Ok(entry) => entries.push(entry),
            Err(_) => break,
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_cuts_off_what_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        let mut journal = Journal::open(&path, 0).unwrap();
        for step in 1..=5 {
            journal.write(&Entry { step, ..Entry::default() }).unwrap();
        }
        drop(journal);
        Journal::open(&path, 3).unwrap().write(&Entry { step: 4, seconds: 9.0, ..Entry::default() }).unwrap();
        let steps: Vec<_> = read(&path).unwrap().iter().map(|entry| (entry.step, entry.seconds)).collect();
        assert_eq!(steps, [(1, 0.0), (2, 0.0), (3, 0.0), (4, 9.0)]);
    }
}
