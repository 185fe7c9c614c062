//! The paper's architecture in its small configuration: activations, gates, head, decode, and the tile mode.

use burn::tensor::{Device, Tensor, TensorData};
use smgeo_engine::{Maps, decode};
use smgeo_train::model::{Config, Fusion, MoeConfig, Pass, SmGeo, Trace, View};

use crate::formula;
use crate::goldens::{Goldens, assert_close, channels_last, query_images, traced, values};

pub const CLICKS: [[f64; 2]; 2] = [[20.7, 41.2], [5.0, 60.9]];

/// The configuration of the golden files.
pub fn small() -> Config {
    let tiny = Config::tiny();
    Config {
        architecture: "golden".into(),
        embed: 24,
        depths: [2, 2, 4, 2],
        heads: [1, 2, 4, 8],
        window: 4,
        drop_path: 0.0,
        moe: MoeConfig {
            blocks: [vec![], vec![0], vec![0, 2], vec![0]],
            hidden_ratio: 2.0,
            cells: [8, 4, 2, 1],
            ..tiny.moe.clone()
        },
        fusion: Fusion::Paper,
        head_channels: 32,
        ..tiny
    }
}

/// The network filled by formula under the reference's names.
pub fn network(device: &Device) -> SmGeo {
    let model = SmGeo::new(&small(), device).unwrap();
    formula::fill(model, |name| {
        name.replace("patch_embed.tile", "patch_embed.sat").replace("routers.tile", "routers.sat")
    })
}

fn satellite(device: &Device) -> Tensor<4> {
    channels_last(&formula::image("input.sat", [1, 3, 256, 256]), [1, 3, 256, 256], device)
}

fn gate_cells(view: View, stage: usize, block: usize) -> [usize; 2] {
    // Cells are 32 px in this configuration: 8 patches of 4 px.
    let _ = (stage, block);
    match view {
        View::Query => [2, 2],
        View::Tile => [8, 8],
    }
}

#[test]
fn activations_and_gates_match_the_reference() {
    let Some(golden) = Goldens::open("activations_and_gates_match_the_reference", "paper_small_forward.safetensors")
    else {
        return;
    };
    let device = Device::flex();
    let model = network(&device);
    let query = query_images("input.query", &CLICKS[..1], 64, 64, &device);
    let mut trace = Trace::new();
    let mut features = Vec::new();
    let mut worst = 0.0_f32;
    for (view, images, edge, prefix) in
        [(View::Query, query, 64, "query"), (View::Tile, satellite(&device), 256, "sat")]
    {
        let ours = if view == View::Query { "query" } else { "tile" };
        let encoded = model.encoder.forward_normalised(images, view, &mut Pass::traced(&mut trace));
        let map = |stage: usize| [edge / (4 << stage); 2];
        worst =
            worst.max(golden.assert_close(
                &format!("{prefix}.patch_embed"),
                &traced(&trace, &format!("{ours}.patch_embed"), map(0)),
            ));
        for stage in 0..4 {
            let out = traced(&trace, &format!("{ours}.stage{stage}.out"), map(stage));
            worst = worst.max(golden.assert_close(&format!("{prefix}.stage{stage}.out"), &out));
        }
        for (stage, block) in [(1, 0), (2, 0), (2, 2), (3, 0)] {
            let gate = format!("stage{stage}.block{block}.gate");
            let cells = gate_cells(view, stage, block);
            let indices = traced(&trace, &format!("{ours}.{gate}.idx"), cells);
            assert_eq!(indices, golden.get(&format!("{prefix}.{gate}.idx")).1, "{prefix}.{gate}.idx");
            for part in ["logits", "weight"] {
                golden.assert_close(
                    &format!("{prefix}.{gate}.{part}"),
                    &traced(&trace, &format!("{ours}.{gate}.{part}"), cells),
                );
            }
            golden.assert_close(
                &format!("{prefix}.{gate}.entropy"),
                &traced(&trace, &format!("{ours}.{gate}.entropy"), [1, 1]),
            );
        }
        worst = worst.max(golden.assert_close(&format!("{prefix}.norm"), &values(encoded.features.clone())));
        features.push(encoded);
    }
    let entropy = features[0].entropy.clone().unwrap() + features[1].entropy.clone().unwrap();
    golden.assert_close("entropy", &values(entropy / 2.0));
    probes(&golden, &trace);
    let click = Tensor::<2>::from_data([[20.7, 41.2]], &device);
    let maps = model.locate(
        features[0].features.clone(),
        click,
        features[1].features.clone(),
        &[0],
        &mut Pass::traced(&mut trace),
    );
    golden.assert_close("fusion.attn", &values(maps.attention.clone()));
    golden.assert_close("fusion.fused", &trace.last().unwrap().1.iter::<f32>().collect::<Vec<_>>());
    golden.assert_close("head.heat_logits", &values(maps.heat.clone()));
    golden.assert_close("head.box", &values(maps.bounds.clone().permute([0, 3, 1, 2])));
    println!("largest relative difference of an activation: {worst:.1e}");
}

fn probes(golden: &Goldens, trace: &Trace) {
    golden.assert_close("probe.sat.merge0.out", &traced(trace, "tile.merge0.out", [32, 32]));
    golden.assert_close("probe.sat.stage0.block0.attn_out", &traced(trace, "tile.stage0.block0.attn", [64, 64]));
    golden.assert_close("probe.sat.stage0.block0.out", &traced(trace, "tile.stage0.block0.out", [64, 64]));
    golden.assert_close("probe.sat.stage0.block1.attn_out_shift2", &traced(trace, "tile.stage0.block1.attn", [64, 64]));
}

#[test]
fn a_wide_query_matches_the_reference() {
    let Some(golden) = Goldens::open("a_wide_query_matches_the_reference", "paper_small_forward.safetensors") else {
        return;
    };
    let device = Device::flex();
    let images = query_images("input.wide", &[[100.9, 10.1]], 64, 128, &device);
    let encoded = network(&device).encoder.forward_normalised(images, View::Query, &mut Pass::default());
    golden.assert_close("wide.query.norm", &values(encoded.features));
}

#[test]
fn a_mosaic_of_tiles_matches_the_reference() {
    let Some(golden) = Goldens::open("a_mosaic_of_tiles_matches_the_reference", "paper_small_mosaic.safetensors")
    else {
        return;
    };
    let device = Device::flex();
    let model = network(&device);
    let tiles = satellite(&device).reshape([4, 64, 4, 64, 4]).permute([0, 2, 1, 3, 4]).reshape([16, 64, 64, 4]);
    let tiles = model.encoder.forward_normalised(tiles, View::Tile, &mut Pass::default()).features;
    golden.assert_close("tiles.norm", &values(tiles.clone()));
    let [_, _, _, channels] = tiles.dims();
    let reference = tiles.reshape([4, 4, 2, 2, channels]).permute([0, 2, 1, 3, 4]).reshape([1, 8, 8, channels]);
    golden.assert_close("reference", &values(reference.clone()));
    let query = query_images("input.query", &CLICKS[..1], 64, 64, &device);
    let query = model.encoder.forward_normalised(query, View::Query, &mut Pass::default()).features;
    golden.assert_close("query.norm", &values(query.clone()));
    let click = Tensor::<2>::from_data(TensorData::from([[20.7, 41.2]]), &device);
    let maps = model.locate(query, click, reference, &[0], &mut Pass::default());
    golden.assert_close("fusion.attn", &values(maps.attention.clone()));
    golden.assert_close("head.heat_logits", &values(maps.heat.clone()));
    golden.assert_close("head.box", &values(maps.bounds.clone().permute([0, 3, 1, 2])));
    let (width, height) = (8, 8);
    let (heat, boxes, attention) = (values(maps.heat), values(maps.bounds), values(maps.attention));
    decode_matches(&golden, &Maps { width, height, heat, boxes, attention });
}

/// The engine's decode of the maps against the golden box, score and cell. The formula's weights give sides below zero, which the
/// engine takes for zero about the same middle.
fn decode_matches(golden: &Goldens, maps: &Maps) {
    let located = decode(maps, 32, 1.0).unwrap();
    assert_eq!(golden.get("decode.cell_xy").1, located.cell.map(|at| at as f32));
    let edges = golden.get("decode.xyxy").1;
    let side = |low: f32, high: f32| if low <= high { [low, high] } else { [(low + high) / 2.0; 2] };
    let ([left, right], [top, bottom]) = (side(edges[0], edges[2]), side(edges[1], edges[3]));
    assert_close("decode.xyxy", &located.box_xyxy_px, &[left, top, right, bottom]);
    golden.assert_close("decode.score", &[located.score]);
}
