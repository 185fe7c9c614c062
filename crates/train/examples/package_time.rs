//! Times a preset's ONNX files, random weights, on the embedded runtime: each lowering of the mixture of experts.
//!
//! `cargo run --release -p smgeo-train --example package_time -- nano`

use std::num::NonZeroUsize;
use std::time::Instant;

use burn::tensor::Device;
use smgeo_engine::{Backend, EncoderImage, LocateRequest, Mosaic, RtenBackend, RtenConfig, View};
use smgeo_train::export::{Passport, export};
use smgeo_train::model::{Config, SmGeo};
use smgeo_train::onnx::GmoeLowering;

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = std::env::args().nth(1).unwrap_or_else(|| "nano".into());
    let config = Config::preset(&preset)?;
    let model = SmGeo::new(&config, &Device::flex())?;
    let rgb: Vec<u8> = (0..256 * 256 * 3).map(|byte| (byte * 31 % 251) as u8).collect();
    let (query, tile) = (EncoderImage::query(&rgb, (128.0, 128.0))?, EncoderImage::tile(&rgb)?);
    for lowering in [GmoeLowering::Sparse, GmoeLowering::Static] {
        let folder = tempfile::tempdir()?;
        let passport = Passport {
            name: preset.clone(),
            gsd_m: 0.6,
            gsd_m_range: [0.3, 1.2],
            temperature: 1.0,
            training: toml::Table::new(),
            metrics: toml::Table::new(),
        };
        let package = export(&model, &config, passport, lowering.into(), folder.path())?;
        let rten = RtenConfig { threads: NonZeroUsize::new(1), ..RtenConfig::default() };
        let mut backend = RtenBackend::new(&package, &rten)?;
        let one = median(|| backend.encode(&[(&query, View::Query)]).map(drop))?;
        let four = median(|| backend.encode(&[(&tile, View::Tile); 4]).map(drop))?;
        let features = backend.encode(&[(&query, View::Query), (&tile, View::Tile)])?;
        let mosaic = Mosaic::of_tiles(4, 4, &vec![features[1].clone(); 16])?;
        let request = LocateRequest { query: &features[0], click: [128.0, 128.0], reference: &mosaic };
        let located = median(|| backend.locate(&[request]).map(drop))?;
        println!(
            "{preset} {lowering:?}: query {one:.1} ms, 4 tiles {four:.1} ms, locate on 4 x 4 tiles {located:.1} ms"
        );
    }
    Ok(())
}

/// Median time in ms on one thread.
fn median<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
