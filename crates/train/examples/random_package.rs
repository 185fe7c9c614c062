//! Writes an engine package of a preset's size with random weights, for measuring speed.
//!
//! `cargo run -p smgeo-train --example random_package -- tiny template FOLDER`

use std::path::Path;

use burn::tensor::Device;
use smgeo_train::export::{Passport, export};
use smgeo_train::model::{Config, Fusion, MoeConfig, SmGeo};
use smgeo_train::onnx::GmoeLowering;

const SEED: u64 = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, variant, folder] = arguments.as_slice() else {
        return Err("give a preset, a variant (template, paper, plain, dense or static) and a folder".into());
    };
    let config = varied(Config::preset(preset)?, variant)?;
    let lowering = if variant == "static" { GmoeLowering::Static } else { GmoeLowering::Sparse };
    let device = Device::flex();
    device.seed(SEED);
    let model = SmGeo::new(&config, &device)?;
    let passport = Passport {
        name: format!("{preset} {variant}, random weights"),
        gsd_m: 0.6,
        gsd_m_range: [0.3, 1.2],
        temperature: 1.0,
        training: toml::Table::new(),
        metrics: toml::Table::new(),
    };
    let package = export(&model, &config, passport, lowering.into(), Path::new(folder))?;
    println!("package {} in {folder}", package.hash().short());
    Ok(())
}

fn varied(config: Config, variant: &str) -> Result<Config, String> {
    match variant {
        "template" | "static" => Ok(config),
        "paper" => Ok(Config { fusion: Fusion::Paper, ..config }),
        "plain" => Ok(plain(config)),
        // Every cell goes to every expert.
        "dense" => Ok(Config { moe: MoeConfig { top_k: config.moe.experts, ..config.moe }, ..config }),
        other => Err(format!("there is no variant {other:?}; take template, paper, plain, dense or static")),
    }
}

/// The same network without experts, of as many multiply-adds: a block's MLP costs the same at every stage.
fn plain(config: Config) -> Config {
    let blocks: usize = config.depths.iter().sum();
    let routed: usize = config.moe.blocks.iter().map(Vec::len).sum();
    let of_experts = config.moe.hidden_ratio * config.moe.top_k as f64;
    let mean = (config.mlp_ratio * (blocks - routed) as f64 + of_experts * routed as f64) / blocks as f64;
    // A hair more, so that no width is rounded down.
    let mlp_ratio = mean + 1e-6;
    Config { moe: MoeConfig { blocks: Default::default(), ..config.moe }, mlp_ratio, ..config }
}
