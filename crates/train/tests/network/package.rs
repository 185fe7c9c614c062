//! An exported package on the engine that flies.

use burn::tensor::Device;
use smgeo_engine::conformance::{Tolerance, check};
use smgeo_engine::{Backend, EncoderImage, RtenBackend, RtenConfig, View};
use smgeo_train::export::{Passport, export};
use smgeo_train::model::{Config, Fusion, SmGeo};
use smgeo_train::onnx::GmoeLowering;

fn passport() -> Passport {
    Passport {
        name: "test".into(),
        gsd_m: 0.6,
        gsd_m_range: [0.45, 0.75],
        temperature: 1.0,
        training: toml::Table::new(),
        metrics: toml::Table::new(),
    }
}

#[test]
fn an_exported_package_passes_the_engines_conformance() {
    let nano = Config { embed: 16, heads: [1, 1, 2, 4], ..Config::nano() };
    let paper = Config { fusion: Fusion::Paper, head_channels: 16, ..nano.clone() };
    for config in [nano, paper] {
        let model = SmGeo::new(&config, &Device::flex()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let package = export(&model, &config, passport(), GmoeLowering::Sparse.into(), folder.path()).unwrap();
        let mut backend = RtenBackend::new(&package, &RtenConfig::default()).unwrap();
        let report = check(&mut backend, Tolerance::F32).unwrap();
        assert!(report.holds(), "{:?}: {report}", config.fusion);
    }
}

#[test]
fn a_tile_has_the_same_features_whatever_stands_beside_it() {
    let config = Config { embed: 16, heads: [1, 1, 2, 4], ..Config::nano() };
    let model = SmGeo::new(&config, &Device::flex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let package = export(&model, &config, passport(), GmoeLowering::Sparse.into(), folder.path()).unwrap();
    let mut backend = RtenBackend::new(&package, &RtenConfig::default()).unwrap();
    let tile = |seed: usize| {
        let rgb: Vec<u8> = (0..256 * 256 * 3).map(|byte| ((byte * 31 + seed * 97) % 251) as u8).collect();
        EncoderImage::tile(&rgb).unwrap()
    };
    let (first, second, third) = (tile(1), tile(2), tile(3));
    let with_second = backend.encode(&[(&first, View::Tile), (&second, View::Tile)]).unwrap();
    let with_third = backend.encode(&[(&first, View::Tile), (&third, View::Query)]).unwrap();
    assert!(with_second[0].values() == with_third[0].values());
}
