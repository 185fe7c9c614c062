//! Times a training step of a preset on this machine's CPU: 4 tiles, 16 queries, forward and backward.
//!
//! `cargo run --release -p smgeo-train --example step_time -- nano`

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use smgeo_train::model::{Config, Pass, SmGeo, View};

const TILES: usize = 4;
const QUERIES: usize = 16;
const STEPS: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = std::env::args().nth(1).unwrap_or_else(|| "nano".into());
    let config = Config::preset(&preset)?;
    let device = Device::flex().autodiff();
    let model = SmGeo::new(&config, &device)?;
    let parameters: usize =
        smgeo_train::checkpoint::parameters(&model).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    println!("{preset}: {parameters} parameters");
    for step in 0..STEPS {
        let images = |count| Tensor::<4>::random([count, 256, 256, 4], Distribution::Uniform(0.0, 255.0), &device);
        let (tiles, queries) = (images(TILES), images(QUERIES));
        let clicks = Tensor::<2>::random([QUERIES, 2], Distribution::Uniform(64.0, 192.0), &device);
        let start = Instant::now();
        let tiles = model.encode(tiles, View::Tile, &mut Pass::default()).features;
        let tiles_done = start.elapsed();
        let queries = model.encode(queries, View::Query, &mut Pass::default()).features;
        let queries_done = start.elapsed();
        let [_, edge, _, channels] = tiles.dims();
        let reference = tiles.reshape([2, 2, edge, edge, channels]).permute([0, 2, 1, 3, 4]);
        let reference = reference.reshape([1, 2 * edge, 2 * edge, channels]);
        let maps = model.locate(queries, clicks, reference, &[0; QUERIES], &mut Pass::default());
        let located = start.elapsed();
        let loss = maps.heat.square().mean() + maps.bounds.mean();
        let gradients = loss.backward();
        let done = start.elapsed();
        drop(gradients);
        println!(
            "step {step}: tiles {:.0} ms, queries {:.0} ms, locator {:.0} ms, backward {:.0} ms, all {:.0} ms",
            tiles_done.as_secs_f64() * 1e3,
            (queries_done - tiles_done).as_secs_f64() * 1e3,
            (located - queries_done).as_secs_f64() * 1e3,
            (done - located).as_secs_f64() * 1e3,
            done.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
