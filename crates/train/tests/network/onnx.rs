//! The ONNX files against the network they were written from, on the runtime that flies.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rten::{Model, NodeId, Value, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use smgeo_train::export::graphs;
use smgeo_train::model::{Config, Fusion, MoeConfig, Pass, SmGeo, TemplateConfig, View};
use smgeo_train::onnx::{self, GmoeLowering};

use crate::formula;
use crate::goldens::values;

/// A network small enough for a test, with every kind of block; weights large enough to tell apart.
fn network(config: &Config) -> SmGeo {
    let device = Device::flex();
    formula::fill(SmGeo::new(config, &device).unwrap(), |name| match name {
        // The formula's ranges for these names would saturate what they feed.
        "locator.scale" | "locator.fine.scale" => "locator.scale.log".into(),
        name => name.to_owned(),
    })
}

fn configs() -> Vec<Config> {
    let coarse = TemplateConfig { fine_channels: 0, extent_hidden: 0, ..Config::nano().template };
    let fine = TemplateConfig { fine_channels: 8, extent_hidden: 8, ..coarse.clone() };
    let nano = Config { embed: 16, heads: [1, 1, 2, 4], template: coarse, ..Config::nano() };
    vec![
        Config { fusion: Fusion::Paper, head_channels: 16, ..nano.clone() },
        Config {
            fusion: Fusion::Softmax,
            head_channels: 16,
            shift: false,
            position_bias: false,
            moe: MoeConfig { cells: [1; 4], ..nano.moe.clone() },
            ..nano.clone()
        },
        nano.clone(),
        Config { template: fine, ..nano },
    ]
}

fn load(graph: onnx::Graph) -> Model {
    Model::load(onnx::file(graph, &[("name", "test".into())]).unwrap()).unwrap()
}

fn run(model: &Model, inputs: Vec<(&str, Value)>, outputs: &[&str]) -> Vec<Vec<f32>> {
    let inputs: Vec<(NodeId, ValueOrView)> =
        inputs.into_iter().map(|(name, value)| (model.node_id(name).unwrap(), value.into())).collect();
    let outputs: Vec<NodeId> = outputs.iter().map(|name| model.node_id(name).unwrap()).collect();
    let found = model.run(inputs, &outputs, None).unwrap();
    let tensors = found.into_iter().map(|value| value.into_tensor::<f32>().unwrap());
    tensors.map(|tensor| tensor.to_vec()).collect()
}

#[track_caller]
fn assert_same(name: &str, found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len(), "{name}");
    let worst = found.iter().zip(wanted).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= 1e-4, "{name}: off by {worst}");
    worst
}

/// Images of bytes with structure; even ones are queries.
fn images(count: usize) -> (Vec<u8>, Vec<i32>) {
    let noise = formula::image("parity", [1, 4 * count, 256, 256]);
    let mut bytes = Vec::with_capacity(noise.len());
    let views: Vec<i32> = (0..count as i32).map(|image| image % 2).collect();
    for (image, &view) in views.iter().enumerate() {
        for pixel in 0..256 * 256 {
            for channel in 0..4 {
                let value = noise[(4 * image + channel) * 256 * 256 + pixel] * 60.0 + 128.0;
                bytes.push(if channel == 3 && view == 1 { 0 } else { value.clamp(0.0, 255.0) as u8 });
            }
        }
    }
    (bytes, views)
}

/// The network's own features of the same images.
fn encoded(model: &SmGeo, bytes: &[u8], views: &[i32]) -> Vec<f32> {
    let device = Device::flex();
    let size = 256 * 256 * 4;
    let each = bytes.chunks(size).zip(views).map(|(image, &view)| {
        let image = image.iter().map(|&byte| f32::from(byte)).collect();
        let image = Tensor::<4>::from_data(TensorData::new(image, [1, 256, 256, 4]), &device);
        let view = if view == 0 { View::Query } else { View::Tile };
        values(model.encode(image, view, &mut Pass::default()).features)
    });
    each.flatten().collect()
}

#[test]
fn the_encoder_file_equals_the_network() {
    for config in configs() {
        let model = network(&config);
        for lowering in [GmoeLowering::Sparse, GmoeLowering::Static] {
            let [encoder, _] = graphs(&model, &config, lowering);
            let encoder = load(encoder);
            for count in [1, 3] {
                let (bytes, views) = images(count);
                let wanted = encoded(&model, &bytes, &views);
                let image = NdTensor::from_data([count, 256, 256, 4], bytes);
                let view = NdTensor::from_data([count], views);
                let found = run(&encoder, vec![("image", image.into()), ("view", view.into())], &["features"]);
                let worst = assert_same("features", &found[0], &wanted);
                println!("{:?} {lowering:?} batch {count}: {worst:.1e}", config.fusion);
            }
        }
    }
}

#[test]
fn the_locator_file_equals_the_network() {
    // Queries, windows, rows and columns of cells, and which window each query looks at.
    let cases: [(usize, [usize; 2], &[i32]); 3] =
        [(1, [16, 16], &[0]), (1, [32, 48], &[0, 0, 0]), (2, [16, 32], &[1, 0, 1])];
    for config in configs() {
        let model = network(&config);
        let [_, locator] = graphs(&model, &config, GmoeLowering::Sparse);
        let locator = load(locator);
        for (windows, [height, width], window) in cases {
            let (edge, channels, queries) = (256 / config.stride_px(), config.channels(), window.len());
            let query = formula::raw("query", queries * edge * edge * channels);
            let reference = formula::raw("reference", windows * height * width * channels);
            let click: Vec<f32> = formula::raw("click", queries * 2).iter().map(|v| v * 100.0 + 128.0).collect();
            let device = Device::flex();
            let tensor = |values: &[f32], dims: [usize; 4]| {
                Tensor::<4>::from_data(TensorData::new(values.to_vec(), dims), &device)
            };
            let places: Vec<usize> = window.iter().map(|&index| index as usize).collect();
            let maps = model.locate(
                tensor(&query, [queries, edge, edge, channels]),
                Tensor::<2>::from_data(TensorData::new(click.clone(), [queries, 2]), &device),
                tensor(&reference, [windows, height, width, channels]),
                &places,
                &mut Pass::default(),
            );
            let inputs = vec![
                ("query", NdTensor::from_data([queries, edge, edge, channels], query).into()),
                ("click", NdTensor::from_data([queries, 2], click).into()),
                ("reference", NdTensor::from_data([windows, height, width, channels], reference).into()),
                ("window", NdTensor::from_data([queries], window.to_vec()).into()),
            ];
            let found = run(&locator, inputs, &["heat", "box", "attention"]);
            let heat = assert_same("heat", &found[0], &values(maps.heat));
            let bounds = assert_same("box", &found[1], &values(maps.bounds));
            assert_same("attention", &found[2], &values(maps.attention));
            println!("{:?} {windows} x {height} x {width}: heat {heat:.1e} box {bounds:.1e}", config.fusion);
        }
    }
}

#[test]
fn weights_of_16_bits_make_half_the_file_and_nearly_the_same_features() {
    let config = &configs()[2];
    let model = network(config);
    let files = |halved: bool| {
        let [encoder, _] = graphs(&model, config, GmoeLowering::Sparse);
        onnx::file(if halved { encoder.halved() } else { encoder }, &[]).unwrap()
    };
    let (whole, halved) = (files(false), files(true));
    assert!(halved.len() < whole.len() * 6 / 10, "{} of {}", halved.len(), whole.len());
    let (bytes, views) = images(2);
    let features = |file: Vec<u8>| {
        let image = NdTensor::from_data([2, 256, 256, 4], bytes.clone());
        let view = NdTensor::from_data([2], views.clone());
        run(&Model::load(file).unwrap(), vec![("image", image.into()), ("view", view.into())], &["features"]).remove(0)
    };
    let (exact, close) = (features(whole), features(halved));
    let worst = exact.iter().zip(&close).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    let largest = exact.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    println!("off by {worst:.1e}, values up to {largest:.1}");
    assert!(worst > 0.0 && worst < 0.02 * largest, "off by {worst}, values up to {largest}");
}

#[test]
fn the_custom_node_stands_where_experts_are_mixed() {
    let config = &configs()[2];
    let [encoder, _] = graphs(&network(config), config, GmoeLowering::Custom);
    let file = onnx::file(encoder, &[]).unwrap();
    let model = rten_onnx::onnx::ModelProto::parse_buf(&file).unwrap();
    let graph = model.graph.unwrap();
    let custom = graph.node.iter().filter(|node| node.domain.as_deref() == Some("smgeo"));
    assert_eq!(custom.count(), 4);
    assert!(model.opset_import.iter().any(|set| set.domain.as_deref() == Some("smgeo")));
    let name = [&[0x12, onnx::GRAPH_NAME.len() as u8], onnx::GRAPH_NAME.as_bytes()].concat();
    assert!(file.windows(name.len()).any(|window| window == name));
}

#[test]
fn a_network_on_the_training_device_is_written_like_any_other() {
    let config = &configs()[2];
    let plain = network(config);
    let trained = plain.clone().to_device(&Device::flex().autodiff()).train();
    let bytes =
        |model: &SmGeo| graphs(model, config, GmoeLowering::Sparse).map(|graph| onnx::file(graph, &[]).unwrap());
    assert!(bytes(&plain) == bytes(&trained));
}
