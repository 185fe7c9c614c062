//! Builds engines in a child process. TensorRT ends the process at some inputs (a plugin node without its library on the
//! loader's path, for one), and a daemon must not end with it; the child also gets the loader path that TensorRT needs.
//!
//! The child is told on standard input: a line of JSON, then the ONNX bytes. It answers on standard output, one JSON object a
//! line, and writes the plan to a file that the parent renames once everything is right.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::GpuError;
use crate::tensorrt::{BuildRequest, Flavour, Libraries, Profile, TensorRt};

/// Longest line of the protocol; more is no protocol.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What the child builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `rtx` or `enterprise`.
    pub flavour: String,
    /// Our library over TensorRT.
    pub shim: PathBuf,
    /// TensorRT.
    pub runtime: PathBuf,
    /// Its ONNX parser.
    pub parser: PathBuf,
    /// Compute capability; none for the GPU of this machine.
    pub sm: Option<u32>,
    /// Whether runs will be recorded in a CUDA graph.
    pub capturable: bool,
    /// Inputs with open axes.
    pub profiles: Vec<JobProfile>,
    /// Where the plan is written.
    pub plan: PathBuf,
    /// Timings of earlier builds, read if there and written if made.
    pub timing_cache: Option<PathBuf>,
}

/// Extents of an input with open axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobProfile {
    /// Name of the input.
    pub input: String,
    /// Smallest extents.
    pub smallest: Vec<i64>,
    /// The extents the engine is made fastest for.
    pub usual: Vec<i64>,
    /// Largest extents.
    pub largest: Vec<i64>,
}

/// What the child says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// How far a phase is.
    Progress {
        /// Its name.
        phase: String,
        /// Steps done.
        step: u32,
        /// Steps in all.
        steps: u32,
    },
    /// A message of TensorRT's; 0 and 1 are errors, 2 warnings.
    Log {
        /// How bad.
        severity: i32,
        /// What.
        text: String,
    },
    /// The plan is written.
    Done {
        /// Version of the TensorRT that built it.
        version: String,
        /// Size of the plan.
        bytes: usize,
    },
}

impl Job {
    /// A job for these libraries.
    pub fn new(
        libraries: &Libraries,
        sm: Option<u32>,
        profiles: Vec<JobProfile>,
        plan: &Path,
    ) -> Result<Self, GpuError> {
        let parser = libraries.parser.clone().ok_or_else(|| GpuError::LibraryMissing {
            library: "TensorRT's ONNX parser",
            remedy: "it comes with TensorRT; install the whole of it where engines are built",
            source: format!("it is not beside {}", libraries.runtime.display()).into(),
        })?;
        Ok(Self {
            flavour: libraries.flavour.name().into(),
            shim: libraries.shim.clone(),
            runtime: libraries.runtime.clone(),
            parser,
            sm,
            capturable: false,
            profiles,
            plan: plan.to_owned(),
            timing_cache: None,
        })
    }
}

/// Runs a job in a child: `command`, which has to call [`serve`]. `listen` hears everything the child says; the answer is the
/// version of the TensorRT that built the plan.
pub fn build(mut command: Command, job: &Job, onnx: &[u8], mut listen: impl FnMut(&Said)) -> Result<String, GpuError> {
    let folder = job.runtime.parent().unwrap_or(Path::new("/"));
    let mut path = folder.as_os_str().to_owned();
    if let Some(inherited) = std::env::var_os("LD_LIBRARY_PATH").filter(|inherited| !inherited.is_empty()) {
        path.push(":");
        path.push(inherited);
    }
    command.env("LD_LIBRARY_PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(format!("its builder cannot be started: {error}")))?;
    let told = tell(&mut child, job, onnx);
    let mut last_error = None;
    let mut version = None;
    let stdout = child.stdout.take().expect("standard output was piped");
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    while matches!(lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line), Ok(1..)) {
        let said = serde_json::from_str::<Said>(&String::from_utf8_lossy(&line));
        line.clear();
        // TensorRT prints to standard output too, what and where it likes.
        let Ok(said) = said else { continue };
        match &said {
            Said::Log { severity, text } if *severity <= 1 => last_error = Some(text.clone()),
            Said::Done { version: built, .. } => version = Some(built.clone()),
            _ => {}
        }
        listen(&said);
    }
    // Closed before the child is waited for: one that goes on writing would wait for its reader.
    drop(lines);
    let status = child.wait().map_err(|error| failed(format!("its builder is lost: {error}")))?;
    match (status.success(), version, told) {
        (true, Some(version), Ok(())) => Ok(version),
        (_, _, told) => {
            // The child says last what went wrong. One that could not was ended by a signal, which is then said too.
            let mut problem = match (last_error, status.code()) {
                (Some(error), Some(_)) => error,
                (Some(error), None) => format!("{error}; its builder ended with {status}"),
                (None, _) => format!("its builder ended with {status}"),
            };
            if let Err(error) = told {
                problem.push_str(&format!(" (the job was not taken: {error})"));
            }
            Err(failed(problem))
        }
    }
}

fn tell(child: &mut Child, job: &Job, onnx: &[u8]) -> std::io::Result<()> {
    let mut stdin = child.stdin.take().expect("standard input was piped");
    serde_json::to_writer(&mut stdin, job)?;
    stdin.write_all(b"\n")?;
    stdin.write_all(onnx)
}

fn failed(problem: String) -> GpuError {
    GpuError::TensorRt { action: "build the engine", problem }
}

/// The child's part: reads a job, does it, and says how it went. An error has been said when it is returned.
pub fn serve(input: &mut dyn BufRead) -> Result<(), GpuError> {
    let result = work(input);
    match &result {
        Ok(()) => {}
        // The parent says what could not be done.
        Err(GpuError::TensorRt { problem, .. }) => say(&Said::Log { severity: 1, text: problem.clone() }),
        Err(error) => say(&Said::Log { severity: 1, text: error.to_string() }),
    }
    result
}

fn work(input: &mut dyn BufRead) -> Result<(), GpuError> {
    let mut line = String::new();
    let mut onnx = Vec::new();
    let read = input.take(LINE_BYTES_MAX).read_line(&mut line).and_then(|_| input.read_to_end(&mut onnx));
    read.map_err(|error| failed(format!("the job cannot be read: {error}")))?;
    let job: Job = serde_json::from_str(&line).map_err(|error| failed(format!("this is no job: {error}")))?;
    let flavour: Flavour = job.flavour.parse().map_err(failed)?;
    let libraries =
        Libraries { flavour, shim: job.shim.clone(), runtime: job.runtime.clone(), parser: Some(job.parser.clone()) };
    let log = |severity: i32, text: &str| {
        if severity <= 2 {
            say(&Said::Log { severity, text: text.to_owned() });
        }
    };
    // SAFETY: the parent found these files where TensorRT is installed, or a person named them.
    let tensorrt = unsafe { TensorRt::open(&libraries, Box::new(log)) }?;
    let profiles: Vec<Profile> = job.profiles.iter().map(profile).collect();
    let timing_cache = job.timing_cache.as_ref().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let Job { sm, capturable, .. } = job;
    let request = BuildRequest { onnx: &onnx, profiles: &profiles, sm, capturable, timing_cache: &timing_cache };
    let built = tensorrt.build(&request, |phase, step, steps| {
        say(&Said::Progress { phase: phase.to_owned(), step, steps });
        true
    })?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|error| failed(format!("{} cannot be written: {error}", path.display())))
    };
    write(&job.plan, &built.plan)?;
    if let Some(path) = job.timing_cache.as_ref().filter(|_| !built.timing_cache.is_empty()) {
        let partial = path.with_extension("partial");
        write(&partial, &built.timing_cache)?;
        std::fs::rename(&partial, path)
            .map_err(|error| failed(format!("{} cannot be written: {error}", path.display())))?;
    }
    say(&Said::Done { version: tensorrt.version(), bytes: built.plan.len() });
    Ok(())
}

fn profile(profile: &JobProfile) -> Profile {
    let JobProfile { input, smallest, usual, largest } = profile.clone();
    Profile { input, smallest, usual, largest }
}

/// One line, whole, whatever thread it comes from. A parent that has gone needs no answer.
fn say(said: &Said) {
    if let Ok(mut line) = serde_json::to_vec(said) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}
