//! Resident memory of a process that loads one package and answers prompts.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use smgeo_engine::package::{ENCODER, LOCATOR};
use smgeo_engine::{FeatureCache, FeatureKey, ImageryHash};

use crate::arguments::Arguments;
use crate::report::{Report, digits};
use crate::scene::{Pictures, Scene, WAYS};

const PROMPTS: usize = 20;

/// Writes the table; each row is measured in a process of its own.
pub fn table(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for folder in &arguments.packages {
        for way in 0..WAYS.len() {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--memory-of", &format!("{way}={}", folder.canonicalize()?.display())]);
            let output = command.args(["--threads", &arguments.threads.to_string()]).output()?;
            let line = String::from_utf8(output.stdout)?;
            let row: Vec<String> = line.trim().split('|').map(str::to_owned).collect();
            if row.len() > 1 {
                rows.push(row);
            }
        }
    }
    report.heading("Resident memory after 20 warm prompts, MB");
    let columns = ["package", "engine", "weights", "cached features", "resident", "1.2 x weights + cache + 64"];
    report.table(&columns, &rows)
}

/// Measures this process and prints one row.
pub fn measure(case: &str, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (way, folder) = case.split_once('=').ok_or("give way=folder")?;
    let folder = Path::new(folder);
    let way = *WAYS.get(way.parse::<usize>()?).ok_or("there is no such way to compute")?;
    let pictures = Pictures::draw();
    let Some(mut scene) = Scene::start(folder, way, arguments, &pictures)? else { return Ok(()) };
    let cache = FeatureCache::new(1 << 30);
    let encoder = scene.backend.info().encoder();
    for (tile, features) in (0..).zip(&scene.tiles) {
        cache.put(FeatureKey { tile, imagery: ImageryHash([0; 32]), encoder }, features.clone());
    }
    let window = scene.window(4);
    for _ in 0..PROMPTS {
        scene.prompt(&pictures, &[&window])?;
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut weights = 0;
    for name in [ENCODER, LOCATOR] {
        weights += std::fs::metadata(folder.join(name))?.len();
    }
    let (weights, cached) = (megabytes(weights), megabytes(cache.bytes()));
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let resident: f64 = resident.trim().trim_end_matches(" kB").parse::<f64>()? * 1.024e-3;
    let allowed = 1.2 * weights + cached + 64.0;
    let name = &scene.package.manifest().name;
    let numbers = [weights, cached, resident, allowed].map(digits).join("|");
    println!("{name}|{}|{numbers}", scene.name());
    Ok(())
}
