//! What the command line asks for.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// What is measured, and how.
pub struct Arguments {
    /// Engine packages; the first one also shows growth.
    pub packages: Vec<PathBuf>,
    /// Groups of packages whose encoders are held against each other, `name=folder,name=folder`.
    pub beside: Vec<String>,
    /// The interpreter that has the peers.
    pub peers: Option<PathBuf>,
    /// The package with the paper's locator, which the PyTorch reference can load.
    pub paper: Option<PathBuf>,
    /// The folder with the PyTorch reference.
    pub reference: Option<PathBuf>,
    /// Threads to compute on.
    pub threads: NonZeroUsize,
    /// Rounds of a table.
    pub rounds: usize,
    /// The page whose tables are replaced.
    pub write: Option<PathBuf>,
    /// Measures the memory of one backend and package in this process, `backend=folder`.
    pub memory_of: Option<String>,
}

impl Arguments {
    /// Reads the command line. Paths are meant from the workspace, for benches run in their crate's folder.
    pub fn parse() -> Result<Arguments, String> {
        let two = const { NonZeroUsize::new(2).unwrap() };
        let mut arguments = Arguments {
            packages: Vec::new(),
            beside: Vec::new(),
            peers: None,
            paper: None,
            reference: None,
            threads: two,
            rounds: 5,
            write: None,
            memory_of: None,
        };
        // Cargo adds `--bench` to what it runs.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(key) = words.next() {
            let value = words.next().ok_or_else(|| format!("{key} needs a value"))?;
            let number = || value.parse::<NonZeroUsize>().map_err(|error| format!("{key} {value}: {error}"));
            match key.as_str() {
                "--package" => arguments.packages.push(from_workspace(&value)),
                "--beside" => arguments.beside.push(value),
                "--peers" => arguments.peers = Some(from_workspace(&value)),
                "--paper" => arguments.paper = Some(from_workspace(&value)),
                "--reference" => arguments.reference = Some(from_workspace(&value)),
                "--threads" => arguments.threads = number()?,
                "--rounds" => arguments.rounds = number()?.get(),
                "--write" => arguments.write = Some(from_workspace(&value)),
                "--memory-of" => arguments.memory_of = Some(value),
                other => return Err(format!("{other} is not known")),
            }
        }
        if arguments.packages.is_empty() {
            arguments.packages.push(from_workspace("models/smgeo-nano"));
        }
        Ok(arguments)
    }
}

/// A path from the workspace's folder.
pub fn from_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
