//! A run's log: one JSON object a line, which `plot` turns into curves.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Steps done.
    pub step: u64,
    /// Seconds since this process began.
    pub seconds: f64,
    /// Numbers by name; those that are not finite are left out, because JSON has no word for them.
    #[serde(serialize_with = "write_finite", deserialize_with = "read_finite")]
    pub values: BTreeMap<String, f64>,
}

fn write_finite<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().filter(|(_, value)| value.is_finite()))
}

/// Takes `null`, as which earlier versions wrote what is not finite, for a number that is not there.
fn read_finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
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

    #[test]
    fn a_number_that_is_not_finite_cuts_nothing_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        let values = |loss: f64| BTreeMap::from([("loss".to_owned(), loss), ("rate".to_owned(), 0.5)]);
        let mut journal = Journal::open(&path, 0).unwrap();
        for (step, loss) in [(1, 1.0), (2, f64::NAN), (3, f64::INFINITY)] {
            journal.write(&Entry { step, values: values(loss), ..Entry::default() }).unwrap();
        }
        // As earlier versions wrote it.
        writeln!(journal.file, "{{\"step\": 4, \"seconds\": 1.0, \"values\": {{\"loss\": null, \"rate\": 0.5}}}}")
            .unwrap();
        journal.write(&Entry { step: 5, values: values(2.0), ..Entry::default() }).unwrap();
        drop(Journal::open(&path, 5).unwrap());
        let losses: Vec<_> = read(&path).unwrap().iter().map(|entry| entry.values.get("loss").copied()).collect();
        assert_eq!(losses, [Some(1.0), None, None, None, Some(2.0)]);
        assert!(read(&path).unwrap().iter().all(|entry| entry.values["rate"] == 0.5));
    }
}
