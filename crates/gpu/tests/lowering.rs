//! Networks rewritten for TensorRT against the packages they were made from, on the runtime that is here.

use std::path::Path;

use rten_onnx::onnx::{DataType, ModelProto, NodeProto, TensorProto};
use smgeo_engine::package::{ENCODER, LOCATOR};
use smgeo_engine::{Backend, EncoderImage, Features, Package, RtenBackend, RtenConfig, View};
use smgeo_gpu::lowering::{self, Mixtures, Precision};

fn nano() -> Package {
    Package::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smgeo-nano")).unwrap()
}

fn features(package: &Package) -> Vec<Features> {
    let colour = |x: usize, y: usize| [(x * 7 + y) as u8, (x ^ y) as u8, (x * y / 64) as u8];
    let query = EncoderImage::query_from((130.0, 90.0), colour).unwrap();
    let tile = EncoderImage::tile_from(|x, y| colour(y, x));
    let mut backend = RtenBackend::new(package, &RtenConfig::default()).unwrap();
    backend.encode(&[(&query, View::Query), (&tile, View::Tile)]).unwrap()
}

/// The package with another encoder.
fn with_encoder(package: &Package, encoder: &[u8], folder: &Path) -> Package {
    std::fs::write(folder.join(ENCODER), encoder).unwrap();
    std::fs::write(folder.join(LOCATOR), package.read(LOCATOR).unwrap()).unwrap();
    package.manifest().clone().seal(folder).unwrap()
}

#[test]
fn rewritten_mixtures_give_the_same_features() {
    let package = nano();
    let (encoder, mixtures) =
        lowering::encoder(&package.read(ENCODER).unwrap(), Precision::F32, Mixtures::Gathered).unwrap();
    assert_eq!(mixtures, 4);
    let folder = tempfile::tempdir().unwrap();
    let rewritten = with_encoder(&package, &encoder, folder.path());
    for (ours, theirs) in features(&rewritten).iter().zip(features(&package)) {
        let largest = theirs.values().iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let apart = ours.values().iter().zip(theirs.values()).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(apart <= 1e-5 * largest, "{apart} of {largest}");
    }
}

#[test]
fn the_plugins_node_gets_what_the_plugin_takes() {
    let package = nano();
    for (precision, narrow) in [(Precision::F16, DataType::FLOAT16), (Precision::Bf16, DataType(16))] {
        let (encoder, _) = lowering::encoder(&package.read(ENCODER).unwrap(), precision, Mixtures::Plugin).unwrap();
        let graph = ModelProto::parse_buf(&encoder).unwrap().graph.unwrap();
        let constant = |name: &str| graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name));
        let mixtures: Vec<_> = graph.node.iter().filter(|node| node.domain.as_deref() == Some("smgeo")).collect();
        assert_eq!(mixtures.len(), 4);
        for node in &mixtures {
            let weights: Vec<_> = node.input[2..].iter().map(|name| constant(name).unwrap()).collect();
            assert!(weights.iter().all(|weight| weight.data_type == Some(narrow)), "{node:?}");
            let [w1, b1, w2, b2] = [0, 1, 2, 3].map(|at| weights[at].dims.clone());
            assert_eq!((&w1[0], &w1[1], &w1[2]), (&w2[0], &w2[2], &w2[1]));
            assert_eq!((b1, b2), (vec![w1[0], w1[2]], vec![w1[0], w1[1]]));
            let attribute =
                |name: &str| node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
            assert_eq!(attribute("top_k").unwrap().i, Some(2));
            // What the parser of TensorRT 10.3 looks for, and what the plugin answers to.
            let found = ["plugin_namespace", "plugin_version"].map(|name| attribute(name).unwrap().s.as_deref());
            assert_eq!(found, [Some("smgeo"), Some("1")]);
        }
        // The blocks of a stage share their experts: three pools for four nodes, in 16 bits, and nothing else of them is left.
        let pools: std::collections::BTreeSet<&String> = mixtures.iter().map(|node| &node.input[2]).collect();
        assert_eq!(pools.len(), 3);
        assert!(encoder.len() < package.read(ENCODER).unwrap().len() / 2, "{}", encoder.len());
    }
}

/// Needs a package with random weights, which `make test-trt-build` makes: none is trained.
#[test]
fn a_tiny_encoder_is_rewritten_to_five_nodes_and_twice_the_same_bytes() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../random-packages/tiny-template");
    if !folder.join(ENCODER).exists() {
        println!(
            "skipped: a_tiny_encoder_is_rewritten_to_five_nodes_and_twice_the_same_bytes needs scripts/random-package.sh tiny-template"
        );
        return;
    }
    let encoder = Package::open(folder).unwrap().read(ENCODER).unwrap();
    let lowered = || lowering::encoder(&encoder, Precision::F16, Mixtures::Plugin).unwrap();
    let (once, mixtures) = lowered();
    assert_eq!(mixtures, 5);
    assert!(once == lowered().0);
}

/// The node of this kind that comes first.
fn first<'a>(model: &'a mut ModelProto, operator: &str) -> &'a mut NodeProto {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.iter_mut().find(|node| node.op_type.as_deref() == Some(operator)).unwrap()
}

/// The weight of the first expert's first layer: of the products whose sum goes on to a GELU.
fn weight(model: &mut ModelProto) -> &mut TensorProto {
    let graph = model.graph.as_mut().unwrap();
    let made = |value: &String, operator: &str| {
        let found = graph.node.iter().find(|node| node.output.contains(value));
        found.filter(|node| node.op_type.as_deref() == Some(operator))
    };
    let experts = graph.node.iter().filter(|node| node.op_type.as_deref() == Some("ScatterND"));
    let name = experts
        .filter_map(|node| {
            let reshape = made(&made(&node.input[2], "Mul")?.input[0], "Reshape")?;
            let second = made(&made(&reshape.input[0], "Add")?.input[0], "MatMul")?;
            let first = made(&made(&second.input[0], "Gelu")?.input[0], "Add")?;
            Some(made(&first.input[0], "MatMul")?.input[1].clone())
        })
        .next();
    let name = name.unwrap();
    graph.initializer.iter_mut().find(|tensor| tensor.name.as_ref() == Some(&name)).unwrap()
}

#[test]
fn a_mixture_that_smgeo_train_did_not_write_is_refused() {
    type Damage = fn(&mut ModelProto);
    let cases: [(Damage, &str); 9] = [
        (
            |model| first(model, "ScatterND").input[0] = first(model, "ScatterND").output[0].clone(),
            "more than the 16 experts",
        ),
        (|model| first(model, "ScatterND").output.clear(), "are no chain"),
        (|model| first(model, "ScatterND").input.clear(), "lacks its input"),
        (|model| first(model, "TopK").op_type = Some("Sin".into()), "is not made by TopK"),
        (|model| weight(model).dims.clear(), "have no known size"),
        (|model| weight(model).dims.push(1), "has the extents"),
        (|model| weight(model).dims.reverse(), "differ in their shapes"),
        (|model| weight(model).dims = vec![4, i64::MAX], "has the extents"),
        (|model| weight(model).data_type = Some(DataType::INT64), "is no constant of f32"),
    ];
    let whole = nano().read(ENCODER).unwrap();
    for (damage, words) in cases {
        let mut model = ModelProto::parse_buf(&whole).unwrap();
        damage(&mut model);
        let damaged = model.write_buf().unwrap();
        let error = lowering::encoder(&damaged, Precision::F16, Mixtures::Plugin).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("export the package again"), "{words}: {error}");
    }
}

#[test]
fn a_network_that_is_none_is_refused() {
    let error = lowering::encoder(b"no network", Precision::F16, Mixtures::Plugin).unwrap_err();
    assert!(error.to_string().contains("export the package again"), "{error}");
    let locator = nano().read(LOCATOR).unwrap();
    assert_eq!(lowering::encoder(&locator, Precision::F32, Mixtures::Plugin).unwrap().1, 0);
}
