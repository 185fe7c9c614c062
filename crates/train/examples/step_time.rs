//! Times a training step of a preset on this machine's CPU, as the nano plan takes it: 8 tiles, 8 crops, 12 clicks a crop.
//!
//! `cargo run -p smgeo-train --example step_time -- nano`

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use smgeo_engine::{EncoderImage, TILE_PX};
use smgeo_train::data::batch::{Batch, Click};
use smgeo_train::loss::template_loss;
use smgeo_train::model::{Config, Pass, SmGeo, View};
use smgeo_train::training::trainer::{forward, images};
use smgeo_train::training::{Plan, Trainer};

const ROWS: usize = 2;
const COLUMNS: usize = 4;
const QUERIES: usize = 8;
const CLICKS: usize = 12;
const STEPS: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = std::env::args().nth(1).unwrap_or_else(|| "nano".into());
    let plan: Plan = toml::from_str(&format!("preset = '{preset}'\n[data]\n"))?;
    let config = plan.config()?;
    let batch = batch();
    phases(&config, &batch)?;
    let mut trainer = Trainer::new(&plan)?;
    for step in 0..STEPS {
        let start = Instant::now();
        let report = trainer.step(std::slice::from_ref(&batch));
        println!("step {step}: {:.0} ms, loss {:.3}", milliseconds(start), report.loss);
    }
    Ok(())
}

/// Times the parts of a step one after the other.
fn phases(config: &Config, batch: &Batch) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let model = SmGeo::new(config, &device)?;
    let parameters: usize =
        smgeo_train::checkpoint::parameters(&model).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    println!("{}: {parameters} parameters", config.architecture);
    for _ in 0..2 {
        let start = Instant::now();
        let tiles = model.encode(images(batch.tile_bytes(), &device), View::Tile, &mut Pass::default());
        println!("  tiles {:.0} ms", milliseconds(start));
        let start = Instant::now();
        let loss = tiles.features.square().mean();
        drop(loss.backward());
        println!("  tiles back {:.0} ms", milliseconds(start));
        let start = Instant::now();
        let edge = TILE_PX / config.stride_px();
        let random = |dims| Tensor::<4>::random(dims, Distribution::Default, &device).require_grad();
        let queries = random([QUERIES * CLICKS, edge, edge, config.channels()]);
        let window = random([1, ROWS * edge, COLUMNS * edge, config.channels()]);
        let clicks = Tensor::<2>::random([QUERIES * CLICKS, 2], Distribution::Uniform(64.0, 192.0), &device);
        let maps = model.locate(queries, clicks, window, &[0; QUERIES * CLICKS], &mut Pass::default());
        println!("  locator {:.0} ms", milliseconds(start));
        let start = Instant::now();
        drop((maps.heat.square().mean() + maps.bounds.mean()).backward());
        println!("  locator back {:.0} ms", milliseconds(start));
        let start = Instant::now();
        let (maps, entropy) = forward(&model, batch, &mut Pass::default(), &device);
        let loss = template_loss(&maps, &batch.clicks, config.stride_px(), entropy, &Default::default());
        println!("  all forward {:.0} ms", milliseconds(start));
        let start = Instant::now();
        drop(loss.total.backward());
        println!("  all back {:.0} ms", milliseconds(start));
    }
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Noise for pictures, and clicks all over; what the pictures show does not change what a step costs.
fn batch() -> Batch {
    let mut state = 1_u32;
    let mut noise = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut image = || EncoderImage::tile_from(|_, _| [0; 3].map(|_| noise(256) as u8));
    let tiles = (0..ROWS * COLUMNS).map(|_| image()).collect();
    let queries = (0..QUERIES).map(|_| image()).collect();
    let click = |index: usize| {
        let [x, y] = [index * 37 % (COLUMNS * TILE_PX), index * 53 % (ROWS * TILE_PX)].map(|place| place as f32);
        Click {
            query: index / CLICKS,
            at: [64.0 + (index % CLICKS) as f32 * 10.0, 128.0],
            target: Some([x, y]),
            shown: Some([x, y]),
            box_xyxy: Some([x - 10.0, y - 10.0, x + 10.0, y + 10.0]),
            object: None,
        }
    };
    Batch { step: 0, rows: ROWS, columns: COLUMNS, tiles, queries, clicks: (0..QUERIES * CLICKS).map(click).collect() }
}
