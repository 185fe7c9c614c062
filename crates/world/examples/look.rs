//! Renders a town from above and from a drone into PNG files, to be looked at.
//!
//! `cargo run -p smgeo-world --example look -- FOLDER SEED...`

use std::path::PathBuf;
use std::time::Instant;

use image::{Rgb, RgbImage};
use smgeo_geo::{Camera, Euler, Pose};
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::truth::{Sighting, Spotter};
use smgeo_world::{Date, Day, Town};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "look".into()));
    std::fs::create_dir_all(&folder)?;
    let seeds: Vec<u64> = arguments.filter_map(|seed| seed.parse().ok()).collect();
    for seed in if seeds.is_empty() { vec![1, 2, 3] } else { seeds } {
        let begin = Instant::now();
        let town = Town::from_seed(seed);
        println!("town {seed}: {} objects, {} ms", town.objects().len(), begin.elapsed().as_millis());
        let begin = Instant::now();
        let day = Day::new(&town, Date::from_seed(seed));
        let other = Day::new(&town, Date::from_seed(seed + 1000));
        println!("  two days: {} ms", begin.elapsed().as_millis());
        let mut renderer = Renderer::default();
        let mut spotter = Spotter::default();
        let begin = Instant::now();
        let overview = renderer.crop(&town, &other, &SatelliteLook::default(), [0.0, 0.0], 1.1, 1000);
        println!("  overview 1000 px: {} ms", begin.elapsed().as_millis());
        overview.save(folder.join(format!("{seed}-overview.png")))?;
        let look = SatelliteLook::from_seed(seed);
        renderer
            .crop(&town, &other, &look, [60.0, -40.0], 0.3, 1000)
            .save(folder.join(format!("{seed}-satellite.png")))?;
        let camera = Camera { distortion: [-0.06, 0.01, 0.0005, -0.0003, 0.0], ..Camera::from_hfov(1280, 720, 1.15) };
        for (shot, (east, north, up, yaw, pitch)) in [
            (-150.0, -150.0, 120.0, 40.0, -40.0),
            (100.0, 60.0, 95.0, 200.0, -65.0),
            (0.0, -260.0, 110.0, 350.0, -36.0),
        ]
        .into_iter()
        .enumerate()
        {
            let ground = smgeo_geo::Terrain::height_m(town.terrain(), east, north).unwrap_or(0.0);
            let position = town.geodetic([east, north, ground + up]).ok_or("a place near the town")?;
            let pose = Pose::from_euler(position, Euler::from_deg(yaw, pitch, 0.0));
            let begin = Instant::now();
            let frame = renderer.drone(&town, &day, &camera, &pose, &DroneLook::default());
            println!("  drone {shot}: {} ms", begin.elapsed().as_millis());
            frame.save(folder.join(format!("{seed}-drone{shot}.png")))?;
            let marked = marked(frame, &spotter.sightings(&town, &day, &camera, &pose));
            marked.save(folder.join(format!("{seed}-truth{shot}.png")))?;
        }
    }
    Ok(())
}

/// Draws what the truth says: a cross where an operator would click, a box around what is visible.
fn marked(mut frame: RgbImage, seen: &[Sighting]) -> RgbImage {
    let mut dot = |x: f64, y: f64, rgb: [u8; 3]| {
        if x >= 0.0 && y >= 0.0 && x < f64::from(frame.width()) && y < f64::from(frame.height()) {
            frame.put_pixel(x as u32, y as u32, Rgb(rgb));
        }
    };
    for sighting in seen {
        for k in -6..=6 {
            dot(sighting.click.x + f64::from(k), sighting.click.y, [255, 0, 0]);
            dot(sighting.click.x, sighting.click.y + f64::from(k), [255, 0, 0]);
        }
        let [left, top, right, bottom] = sighting.bounds_px;
        for k in 0..=400 {
            let (x, y) = (left + (right - left) * f64::from(k) / 400.0, top + (bottom - top) * f64::from(k) / 400.0);
            [top, bottom].iter().for_each(|&edge| dot(x, edge, [255, 255, 0]));
            [left, right].iter().for_each(|&edge| dot(edge, y, [255, 255, 0]));
        }
    }
    frame
}
