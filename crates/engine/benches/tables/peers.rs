//! Other engines on the same weights and inputs, without a cache, measured in turn with ours.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::arguments::{Arguments, from_workspace};
use crate::report::{Report, Times, digits};
use crate::scene::{CLICK, Pictures, Scene, WAYS};
use smgeo_engine::{LocateRequest, Mosaic, View};

/// A Python process that works a pair off when asked.
struct Peer {
    name: String,
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Writes a table for each package, and one for the package that the PyTorch reference can load.
pub fn measure(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let Some(python) = &arguments.peers else { return Ok(()) };
    for package in &arguments.packages {
        let kinds: &[&[&str]] = &[&["onnxruntime"], &["openvino"]];
        table(python, package, kinds, arguments, report)?;
    }
    if let (Some(package), Some(reference)) = (&arguments.paper, &arguments.reference) {
        let reference = reference.display().to_string();
        let kinds: &[&[&str]] = &[&["onnxruntime"], &["openvino"], &["pytorch", &reference]];
        table(python, package, kinds, arguments, report)?;
    }
    Ok(())
}

fn table(
    python: &Path,
    package: &Path,
    kinds: &[&[&str]],
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let pictures = Pictures::draw();
    let folder = tempfile::tempdir()?;
    let inputs = folder.path().join("images");
    let images = pictures.queries.iter().take(1).chain(&pictures.tiles);
    std::fs::write(&inputs, images.flat_map(|image| image.bytes()).copied().collect::<Vec<u8>>())?;
    let mut peers = Vec::new();
    for kind in kinds {
        peers.push(Peer::start(python, package, &inputs, kind, arguments)?);
    }
    let mut scenes = Vec::new();
    for way in WAYS {
        scenes.extend(Scene::start(package, way, arguments, &pictures)?);
    }
    let Some(first) = scenes.first_mut() else { return Ok(()) };
    let name = first.package.manifest().name.clone();
    let cell = most_probable(first, &pictures)?;
    for peer in &mut peers {
        peer.check(cell)?;
    }
    let windows: Vec<Mosaic> = scenes.iter().map(|scene| scene.window(4)).collect();
    let mut ours = vec![Times::default(); scenes.len()];
    let mut theirs = vec![Times::default(); peers.len()];
    for _ in 0..arguments.rounds {
        for (peer, times) in peers.iter_mut().zip(&mut theirs) {
            // As ours below: the first run after the others' is not counted.
            peer.pair()?;
            times.0.push(peer.pair()?);
        }
        for ((scene, window), times) in scenes.iter_mut().zip(&windows).zip(&mut ours) {
            scene.prompt(&pictures, &[window])?;
            let started = std::time::Instant::now();
            scene.prompt(&pictures, &[window])?;
            times.0.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    ours.iter_mut().chain(&mut theirs).for_each(|times| times.0.sort_by(f64::total_cmp));
    report.heading(&format!("Peers without cache, {name}"));
    let mut columns = vec!["pair on".to_owned(), "ms".to_owned()];
    columns.extend(scenes.iter().map(|scene| format!("/ our warm prompt on {}", scene.name())));
    let mut rows = vec![vec!["our warm prompt".to_owned(), String::new()]];
    rows[0].extend(ours.iter().map(Times::shown));
    for (peer, times) in peers.iter().zip(&theirs) {
        let mut row = vec![peer.name.clone(), times.shown()];
        row.extend(ours.iter().map(|own| digits(times.median() / own.median())));
        rows.push(row);
    }
    report.table(&columns.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// Our most probable cell of the pair.
fn most_probable(scene: &mut Scene, pictures: &Pictures) -> Result<usize, Box<dyn Error>> {
    let query = scene.backend.encode(&[(&pictures.queries[0], View::Query)])?.remove(0);
    let window = scene.window(4);
    let request = LocateRequest { query: &query, click: CLICK, reference: &window };
    let heat = scene.backend.locate(&[request])?.remove(0).heat;
    let most = heat.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
    Ok(most.ok_or("no cell")?.0)
}

impl Peer {
    fn start(
        python: &Path,
        package: &Path,
        inputs: &Path,
        kind: &[&str],
        arguments: &Arguments,
    ) -> Result<Peer, Box<dyn Error>> {
        let mut command = Command::new(python);
        command.arg(from_workspace("benches/peers/peer.py")).arg(kind[0]).arg(package.canonicalize()?).arg(inputs);
        command.arg(arguments.threads.to_string()).args(&kind[1..]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take().ok_or("the peer has no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("the peer has no output")?);
        let name = if kind[0] == "pytorch" { "PyTorch, all experts" } else { kind[0] }.to_owned();
        Ok(Peer { name, child, ask, answers })
    }

    /// Waits until it is ready, and holds its answer against ours.
    fn check(&mut self, cell: usize) -> Result<(), Box<dyn Error>> {
        let line = self.line()?;
        match line.strip_prefix("ready ").map(str::parse::<usize>) {
            Some(Ok(theirs)) if theirs == cell => Ok(()),
            _ => Err(format!("{} says {line:?}, but our most probable cell is {cell}", self.name).into()),
        }
    }

    fn pair(&mut self) -> Result<f64, Box<dyn Error>> {
        self.ask.write_all(b"\n")?;
        self.ask.flush()?;
        Ok(self.line()?.parse()?)
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
