//! Measures how fast towns and pictures are made. Set `RAYON_NUM_THREADS=1` for the rate of one core.
//!
//! `cargo run -p smgeo-world --example pace -- [drone|small|crop|town|day|truth] COUNT`

use std::time::Instant;

use smgeo_geo::Camera;
use smgeo_world::flight::Flight;
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::truth::Spotter;
use smgeo_world::{Date, Day, Town};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "drone".into());
    let count: u64 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100);
    let town = Town::from_seed(7);
    let day = Day::new(&town, Date::from_seed(3));
    let flight = Flight::new(&town, 1, 60.0);
    let wide = Camera { distortion: [-0.06, 0.01, 0.0005, -0.0003, 0.0], ..Camera::from_hfov(1280, 720, 1.15) };
    let small = Camera::from_hfov(384, 384, 0.9);
    let mut renderer = Renderer::default();
    let mut spotter = Spotter::default();
    let begin = Instant::now();
    let mut best_s = f64::MAX;
    for k in 0..count {
        let one = Instant::now();
        let t_s = k as f64 * 1.7;
        match what.as_str() {
            "small" => drop(renderer.drone(&town, &day, &small, &flight.pose(t_s), &DroneLook::from_seed(k))),
            "crop" => {
                let at = [(k % 13) as f64 * 50.0 - 300.0, (k % 17) as f64 * 40.0 - 320.0];
                drop(renderer.crop(&town, &day, &SatelliteLook::from_seed(k), at, 0.5, 256));
            }
            "town" => drop(Town::from_seed(k)),
            "day" => drop(Day::new(&town, Date::from_seed(k))),
            "truth" => drop(spotter.sightings(&town, &day, &wide, &flight.pose(t_s))),
            _ => drop(renderer.drone(
                &town,
                &day,
                &wide,
                &flight.pose(t_s),
                &DroneLook { seed: k, ..DroneLook::default() },
            )),
        }
        best_s = best_s.min(one.elapsed().as_secs_f64());
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (rate, mean_ms) = (count as f64 / seconds, 1e3 * seconds / count as f64);
    println!(
        "{what}: {count} in {seconds:.2} s, {rate:.1} a second, {mean_ms:.1} ms each, {:.1} ms the fastest",
        1e3 * best_s
    );
}
