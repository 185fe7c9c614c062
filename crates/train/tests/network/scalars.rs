//! Scalar cases: the formula, the targets, the losses, the gate's entropy.

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use smgeo_engine::{Maps, decode};
use smgeo_train::eval::rectangle::iou;
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

#[test]
fn the_engine_decodes_maps_as_the_reference_does() {
    let case = &cases()["decode"];
    let (heat, boxes) = (numbers(&case["heat"]), numbers(&case["box"]));
    let stride_px = 32;
    for sample in 0..2 {
        let planes = &boxes[sample * 64..(sample + 1) * 64];
        let maps = Maps {
            width: 4,
            height: 4,
            heat: heat[sample * 16..(sample + 1) * 16].to_vec(),
            boxes: (0..16).flat_map(|cell| (0..4).map(move |part| planes[part * 16 + cell])).collect(),
            attention: vec![1.0; 16],
        };
        let located = decode(&maps, stride_px, 1.0).unwrap();
        assert_eq!(located.cell.map(|at| at as f32).to_vec(), numbers(&case["cell_xy"][sample]));
        assert_close("xyxy", &located.box_xyxy_px, &numbers(&case["xyxy"][sample]));
    }
}

#[test]
fn overlaps_and_hit_rates_are_those_of_absolute_boxes() {
    let cases = cases();
    let case = &cases["iou"];
    let overlaps: Vec<f64> = boxes(&case["a"]).iter().zip(boxes(&case["b"])).map(|(a, b)| iou(a, &b)).collect();
    assert_close("iou", &overlaps.iter().map(|&v| v as f32).collect::<Vec<_>>(), &numbers(&case["iou"]));
    let share = |limit: f64| overlaps.iter().filter(|&&overlap| overlap > limit).count() as f32 / overlaps.len() as f32;
    assert_close("acc25", &[share(0.25)], &numbers(&case["acc25"]));
    assert_close("acc50", &[share(0.5)], &numbers(&case["acc50"]));
    let quirk = &cases["official_eval_quirk"];
    let placed = |numbers: &[f32], cell: [f32; 2]| {
        let [dx, dy, w, h] = numbers[..] else { panic!("four numbers") };
        let (x, y) = (f64::from(cell[0] + dx), f64::from(cell[1] + dy));
        let (w, h) = (f64::from(w) / 2.0, f64::from(h) / 2.0);
        [x - w, y - h, x + w, y + h].map(|cells| cells * 32.0)
    };
    let (found, truth) = (numbers(&quirk["pred_dxdywh"]), numbers(&quirk["gt_dxdywh"]));
    let cell = |name: &str| [0, 1].map(|axis| numbers(&quirk[name])[axis]);
    let relative = iou(&placed(&found, [0.0; 2]), &placed(&truth, [0.0; 2]));
    let absolute = iou(&placed(&found, cell("pred_cell_xy")), &placed(&truth, cell("gt_cell_xy")));
    assert_close("relative", &[relative as f32], &numbers(&quirk["iou_official_relative"]));
    assert_eq!(absolute as f32, numbers(&quirk["iou_absolute_pixels"])[0]);
}
