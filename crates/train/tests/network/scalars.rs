//! Scalar cases: the formula, the targets, the losses, the gate's entropy.

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use smgeo_train::loss::paper::{Grid, PaperWeights, paper_loss, released_loss, targets};
use smgeo_train::model::entropy;

use crate::formula;
use crate::goldens::{assert_close, values};

fn cases() -> Value {
    serde_json::from_str(include_str!("golden/scalars.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        Value::Number(number) => vec![number.as_f64().unwrap() as f32],
        other => panic!("no number: {other}"),
    }
}

fn boxes(value: &Value) -> Vec<[f64; 4]> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn the_formula_gives_the_published_numbers() {
    for case in cases()["formula"].as_array().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        let found = formula::tensor(case["name"].as_str().unwrap(), &shape);
        let first = numbers(&case["first4"]);
        assert_eq!(found[..first.len()], first);
        assert_eq!(found.last(), numbers(&case["last"]).first());
    }
    let image = formula::image("input.sat", [1, 3, 256, 256]);
    let checksum = image.iter().enumerate().fold(0, |sum, (i, v)| sum ^ v.to_bits().rotate_left(i as u32 % 32));
    assert_eq!(checksum, 0xa716_c28c_u32);
}

#[test]
fn targets_are_a_gaussian_at_the_integer_cell() {
    let case = &cases()["targets"];
    let grid = Grid { rows: 32, columns: 32, height_px: 1024.0, width_px: 1024.0 };
    let found = targets(&boxes(&case["boxes"]), grid);
    for (sample, peak) in [18 * 32 + 15, 1].into_iter().enumerate() {
        let cells = sample * 1024..(sample + 1) * 1024;
        let mask: f64 = found.mask[cells.clone()].iter().sum();
        let heat: f64 = found.heat[cells.clone()].iter().sum();
        assert_close("mask_count", &[mask as f32], &numbers(&case["mask_count"][sample]));
        assert_close("heat_sum", &[heat as f32], &numbers(&case["heat_sum"][sample]));
        let at = 4 * (cells.start + peak);
        let bounds: Vec<f32> = found.bounds[at..at + 4].iter().map(|&v| v as f32).collect();
        assert_close("box_at_peak", &bounds, &numbers(&case["box_at_peak"][sample]));
    }
    let row: Vec<f32> = found.heat[18 * 32..19 * 32].iter().map(|&v| v as f32).collect();
    assert_close("heat_row_box0", &row, &numbers(&case["heat_row_box0"]));
}

#[test]
fn losses_and_their_gradients_match_the_reference() {
    let cases = cases();
    let (paper, official) = (&cases["paper_loss"], &cases["official_loss"]);
    let device = Device::flex().autodiff();
    let scaled = |name: &str, shape: [usize; 4], scale: f32| {
        let values = formula::tensor(name, &shape).into_iter().map(|v| v * scale).collect();
        Tensor::<4>::from_data(TensorData::new(values, shape), &device)
    };
    let heat = scaled("loss.heat_logits", [2, 1, 6, 5], 8.0).reshape([2, 6, 5]).require_grad();
    let bounds = scaled("loss.box", [2, 4, 6, 5], 16.0).permute([0, 2, 3, 1]);
    let grid = Grid { rows: 6, columns: 5, height_px: 192.0, width_px: 160.0 };
    let wanted = targets(&boxes(&paper["boxes"]), grid);
    let (heat_target, bounds_target) = wanted.tensors(grid, &device);
    let entropy = Tensor::<1>::from_data([1.3], &device);
    let pair = (heat_target.clone(), bounds_target.clone());
    let loss = paper_loss(heat.clone(), bounds.clone(), entropy, pair, PaperWeights::default());
    for (part, found) in
        [("heat", &loss.heat), ("box", &loss.bounds), ("entropy", &loss.entropy), ("total", &loss.total)]
    {
        assert_close(part, &values(found.clone()), &numbers(&paper[part]));
    }
    let gradient = values(heat.grad(&loss.total.backward()).unwrap());
    assert_close("grad_heat_first_row", &gradient[..5], &numbers(&paper["grad_heat_first_row"]));
    let mask: Vec<f32> = wanted.mask.iter().map(|&v| v as f32).collect();
    let mask = Tensor::<3>::from_data(TensorData::new(mask, [2, 6, 5]), &device);
    let loss = released_loss(heat, bounds, (heat_target, bounds_target), mask);
    assert_close("official heat", &values(loss.heat.clone()), &numbers(&official["heat"]));
    assert_close("official box", &values(loss.bounds.clone()), &numbers(&official["box"]));
    assert_close("official total", &values(loss.total(false)), &numbers(&official["total_single_gpu_0.7_0.3"]));
    assert_close("official total", &values(loss.total(true)), &numbers(&official["total_multi_gpu_0.8_0.2"]));
}

#[test]
fn the_gates_entropy_is_the_mean_over_cells() {
    let case = &cases()["entropy"];
    let logits = formula::tensor("entropy.logits", &[5, 6]).into_iter().map(|v| v * 3.0).collect();
    let logits = Tensor::<2>::from_data(TensorData::new(logits, [5, 6]), &Device::flex());
    assert_close("entropy", &values(entropy(logits)), &numbers(&case["mean"]));
}
