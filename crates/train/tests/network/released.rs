//! The released architecture in its small configuration: no shift, no position bias, token routing, one router.

use burn::tensor::{Device, Tensor};
use smgeo_train::model::{Config, Fusion, MoeConfig, Pass, SmGeo, Trace, View};

use crate::formula;
use crate::goldens::{Goldens, channels_last, query_images, traced, values};

fn small(fusion: Fusion) -> Config {
    let released = Config::released();
    Config {
        embed: 24,
        depths: [2, 2, 4, 2],
        heads: [1, 2, 4, 8],
        window: 4,
        drop_path: 0.0,
        moe: MoeConfig { blocks: [vec![], vec![0, 1], vec![0, 2], vec![0, 1]], ..released.moe.clone() },
        fusion,
        head_channels: 32,
        ..released
    }
}

/// The released name of a parameter of ours.
fn released_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("fusion.") {
        return format!("fusion.{}", rest.replace("norm_q", "norm_query").replace("norm_r", "norm_sat"));
    }
    if let Some(rest) = name.strip_prefix("head.") {
        let parts = [
            ("conv1", "conv.0"),
            ("bn1", "conv.1"),
            ("conv2", "conv.3"),
            ("bn2", "conv.4"),
            ("heat.", "head_heatmap."),
            ("box.", "head_bbox."),
        ];
        return format!(
            "head.{}",
            parts.iter().fold(rest.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
        );
    }
    let mut name = name
        .replace("patch_embed.query", "patch_embeds.query")
        .replace("patch_embed.tile", "patch_embeds.sat")
        .replace("merges.", "downsamples.")
        .replace("attn.qkv.", "attn.in_proj_")
        .replace("attn.proj.", "attn.out_proj.")
        .replace(".moe.routers.query.", ".ffn.gate.")
        .replace(".mlp.fc1.", ".ffn.0.")
        .replace(".mlp.fc2.", ".ffn.2.");
    if name.contains(".experts.") {
        name = name.replace(".experts.", ".expert_pool.experts.").replace(".fc1.", ".0.").replace(".fc2.", ".2.");
    }
    format!("backbone.{name}")
}

#[test]
fn the_released_forward_matches_with_and_without_its_fusion() {
    let test = "the_released_forward_matches_with_and_without_its_fusion";
    let Some(golden) = Goldens::open(test, "official_small_forward.safetensors") else { return };
    let device = Device::flex();
    for (fusion, prefix) in [(Fusion::Softmax, "fused"), (Fusion::None, "asrun")] {
        let model = formula::fill(SmGeo::new(&small(fusion), &device).unwrap(), released_name);
        let mut trace = Trace::new();
        let query = query_images("input.query", &[[20.7, 41.2]], 128, 128, &device);
        golden.assert_close("input.query", &values(query.clone().permute([0, 3, 1, 2])));
        let satellite = channels_last(&formula::image("input.sat", [1, 3, 256, 256]), [1, 3, 256, 256], &device);
        let query = model.encoder.forward_normalised(query, View::Query, &mut Pass::traced(&mut trace)).features;
        let reference = model.encoder.forward_normalised(satellite, View::Tile, &mut Pass::traced(&mut trace)).features;
        encoder_agrees(&golden, &trace);
        let click = Tensor::<2>::from_data([[20.7, 41.2]], &device);
        let maps = model.locate(query.clone(), click, reference, &[0], &mut Pass::default());
        golden.assert_close(&format!("{prefix}.heat_logits"), &values(maps.heat));
        golden.assert_close(&format!("{prefix}.box"), &values(maps.bounds.permute([0, 3, 1, 2])));
        if fusion == Fusion::Softmax {
            golden.assert_close("fusion.attn", &values(maps.attention));
        }
        let [_, rows, columns, channels] = query.dims();
        golden.assert_close("query_vec", &values(query.reshape([1, rows * columns, channels]).mean_dim(1)));
    }
}

fn encoder_agrees(golden: &Goldens, trace: &Trace) {
    for (prefix, ours, edge) in [("query", "query", 128), ("sat", "tile", 256)] {
        for stage in 0..4 {
            let map = [edge / (4 << stage); 2];
            golden.assert_close(
                &format!("{prefix}.stage{stage}.out"),
                &traced(trace, &format!("{ours}.stage{stage}.out"), map),
            );
        }
        for (stage, block) in [(1, 0), (1, 1), (2, 0), (2, 2), (3, 0), (3, 1)] {
            let map = [edge / (4 << stage); 2];
            let gate = format!("stage{stage}.block{block}.gate");
            golden.assert_close(
                &format!("{prefix}.{gate}.logits"),
                &traced(trace, &format!("{ours}.{gate}.logits"), map),
            );
            let name = format!("{prefix}.{gate}.idx");
            if golden.names().contains(&name) {
                assert_eq!(traced(trace, &format!("{ours}.{gate}.idx"), map), golden.get(&name).1, "{name}");
            }
        }
    }
}
