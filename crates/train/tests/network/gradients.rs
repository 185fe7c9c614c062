//! Losses and gradients of the paper's architecture, with running and with batch statistics.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use smgeo_train::checkpoint::{Weights, gradients, weights_of};
use smgeo_train::loss::paper::{Grid, PaperLoss, PaperWeights, paper_loss, targets};
use smgeo_train::model::{LocatorMaps, Pass, SmGeo, View};

use crate::formula;
use crate::goldens::{Goldens, channels_last, query_images, values};
use crate::paper::{CLICKS, network};

const GRID: Grid = Grid { rows: 8, columns: 8, height_px: 256.0, width_px: 256.0 };

#[derive(Deserialize)]
struct Norms {
    loss: BTreeMap<String, f64>,
    grad_l2_norm_f64: BTreeMap<String, Option<f64>>,
    boxes_xyxy: Vec<[f64; 4]>,
}

struct Step {
    model: SmGeo,
    maps: LocatorMaps,
    loss: PaperLoss,
    gradients: Weights,
}

fn step(norms: &Norms, batch_statistics: bool) -> Step {
    let device = Device::flex().autodiff();
    let model = network(&device);
    let mut pass = Pass { batch_statistics, ..Pass::default() };
    let query = query_images("input.query", &CLICKS, 64, 64, &device);
    let satellite = channels_last(&formula::image("input.sat", [2, 3, 256, 256]), [2, 3, 256, 256], &device);
    let query = model.encoder.forward_normalised(query, View::Query, &mut pass);
    let reference = model.encoder.forward_normalised(satellite, View::Tile, &mut pass);
    let clicks: Vec<f32> = CLICKS.iter().flatten().map(|&v| v as f32).collect();
    let clicks = Tensor::<2>::from_data(TensorData::new(clicks, [2, 2]), &device);
    let maps = model.locate(query.features, clicks, reference.features, &[0, 1], &mut pass);
    let entropy = (query.entropy.unwrap() + reference.entropy.unwrap()) / 2.0;
    let wanted = targets(&norms.boxes_xyxy, GRID).tensors(GRID, &device);
    let loss = paper_loss(maps.heat.clone(), maps.bounds.clone(), entropy, wanted, PaperWeights::default());
    let found = gradients(&model, &loss.total.backward());
    Step { model, maps, loss, gradients: found }
}

/// The reference's name of a parameter of ours.
fn reference_name(name: &str) -> String {
    name.replace("patch_embed.tile", "patch_embed.sat").replace("routers.tile", "routers.sat")
}

fn check(json: &str, file: &str, test: &str, batch_statistics: bool) {
    let norms: Norms = serde_json::from_str(json).unwrap();
    let step = step(&norms, batch_statistics);
    let parts = [
        ("heat", &step.loss.heat),
        ("box", &step.loss.bounds),
        ("entropy", &step.loss.entropy),
        ("total", &step.loss.total),
    ];
    for (part, found) in parts {
        let found = f64::from(values(found.clone())[0]);
        assert!(
            (found - norms.loss[part]).abs() <= 1e-5 * norms.loss[part].abs(),
            "{part}: {found}, not {}",
            norms.loss[part]
        );
    }
    norms_agree(&norms, &step.gradients);
    let Some(golden) = Goldens::open(test, file) else { return };
    golden.assert_close("heat_logits", &values(step.maps.heat));
    golden.assert_close("box", &values(step.maps.bounds.permute([0, 3, 1, 2])));
    let mut compared = 0;
    for (name, gradient) in &step.gradients.0 {
        let name = format!("grad.{}", reference_name(name));
        if golden.names().contains(&name) {
            golden.assert_close(&name, &gradient.values);
            compared += 1;
        }
    }
    assert_eq!(compared, 23);
    if batch_statistics {
        let weights = weights_of(&step.model);
        for statistic in ["running_mean", "running_var"] {
            let found = weights.get(&format!("head.bn1.{statistic}")).unwrap();
            golden.assert_close(&format!("bn1.{statistic}.after"), &found.values);
        }
    }
}

fn norms_agree(norms: &Norms, gradients: &Weights) {
    let mut seen = 0;
    for (name, gradient) in &gradients.0 {
        let norm = gradient.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let wanted = norms.grad_l2_norm_f64[&reference_name(name)].unwrap_or(0.0);
        // A convolution's bias before a batch norm has no true gradient, only rounding.
        assert!((norm - wanted).abs() <= 1e-4 * wanted + 1e-4, "{name}: {norm}, not {wanted}");
        seen += 1;
    }
    let routed = norms.grad_l2_norm_f64.values().filter(|norm| norm.is_some()).count();
    assert_eq!(seen, routed);
}

#[test]
fn gradients_with_running_statistics_match_the_reference() {
    let json = include_str!("golden/paper_small_grad_norms_bn_eval.json");
    check(json, "paper_small_grad_bn_eval.safetensors", "gradients_with_running_statistics_match_the_reference", false);
}

#[test]
fn gradients_with_batch_statistics_match_the_reference() {
    let json = include_str!("golden/paper_small_grad_norms_bn_train.json");
    check(json, "paper_small_grad_bn_train.safetensors", "gradients_with_batch_statistics_match_the_reference", true);
}
