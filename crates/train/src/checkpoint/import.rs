//! Weights of other people's networks under our names.

use std::path::Path;

use super::archive::Archive;
use super::pickle::Object;
use super::{CheckpointError, Weight, Weights};
use crate::model::{Config, Router};

/// Reads a Swin checkpoint, Microsoft's `.pth` (`{"model": {...}}`) or timm's flat safetensors, as weights of `config`.
///
/// Position tables are brought to the config's window by bicubic interpolation, the RGB patch embedding serves both views
/// with a zero fourth channel, and every expert starts as a copy of its stage's first replaced MLP. What Swin has not
/// (routers, locator, pyramid) is absent, and so is the last norm where the network has none.
pub fn swin(path: &Path, config: &Config) -> Result<Weights, CheckpointError> {
    swin_of(state(path)?, path, config)
}

/// The same of tensors that are read already.
pub(super) fn swin_of(mut theirs: Weights, path: &Path, config: &Config) -> Result<Weights, CheckpointError> {
    let timm = theirs.get("layers.3.downsample.reduction.weight").is_some();
    let mut ours = Weights::default();
    for part in ["proj.weight", "proj.bias", "norm.weight", "norm.bias"] {
        let weight = taken(&mut theirs, &format!("patch_embed.{part}"), path)?;
        for view in ["query", "tile"] {
            ours.0.insert(format!("patch_embed.{view}.{part}"), with_fourth_channel(weight.clone()));
        }
    }
    for stage in 0..4 {
        for block in 0..config.depths[stage] {
            swin_block(&mut theirs, &mut ours, config, stage, block, path)?;
        }
        if stage < 3 {
            let layer = if timm { stage + 1 } else { stage };
            for part in ["norm.weight", "norm.bias", "reduction.weight"] {
                let weight = taken(&mut theirs, &format!("layers.{layer}.downsample.{part}"), path)?;
                ours.0.insert(format!("merges.{stage}.{part}"), weight);
            }
        }
    }
    for part in ["norm.weight", "norm.bias"] {
        let weight = taken(&mut theirs, part, path)?;
        if config.ends_in_norm() {
            ours.0.insert(part.to_owned(), weight);
        }
    }
    theirs.0.retain(|name, _| {
        !(name.starts_with("head.") || name.ends_with("relative_position_index") || name.ends_with("attn_mask"))
    });
    nothing_left(theirs)?;
    Ok(ours)
}

fn swin_block(
    theirs: &mut Weights,
    ours: &mut Weights,
    config: &Config,
    stage: usize,
    block: usize,
    path: &Path,
) -> Result<(), CheckpointError> {
    let their = format!("layers.{stage}.blocks.{block}");
    let our = format!("stages.{stage}.blocks.{block}");
    for part in ["norm1", "norm2", "attn.qkv", "attn.proj"] {
        for leaf in ["weight", "bias"] {
            let weight = taken(theirs, &format!("{their}.{part}.{leaf}"), path)?;
            ours.0.insert(format!("{our}.{part}.{leaf}"), weight);
        }
    }
    let table = taken(theirs, &format!("{their}.attn.relative_position_bias_table"), path)?;
    ours.0.insert(format!("{our}.attn.rel_bias"), resized(&table, 2 * config.window - 1, path)?);
    let routed = &config.moe.blocks[stage];
    for part in ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"] {
        let weight = taken(theirs, &format!("{their}.mlp.{part}"), path)?;
        if !routed.contains(&block) {
            ours.0.insert(format!("{our}.mlp.{part}"), weight);
        } else if routed.first() == Some(&block) {
            for expert in 0..config.moe.experts {
                ours.0.insert(format!("stages.{stage}.experts.{expert}.{part}"), weight.clone());
            }
        }
    }
    Ok(())
}

/// Reads a checkpoint of the released SMGeo script (`{"state_dict": {...}}`) as weights of the
/// `released` preset. The pool of experts, repeated under each MoE block there, is taken from the stage; the fusion module
/// is taken where it is present.
pub fn released(path: &Path, config: &Config) -> Result<Weights, CheckpointError> {
    released_of(state(path)?, path, config)
}

/// The same of tensors that are read already.
pub(super) fn released_of(theirs: Weights, path: &Path, config: &Config) -> Result<Weights, CheckpointError> {
    if config.moe.router != Router::Shared {
        let problem = "it is of the released network, whose router serves both views, and the plan's has one for each: \
            take preset = \"released\", or model.moe.router = \"shared\"";
        return Err(CheckpointError::Broken { path: path.into(), problem: problem.to_owned() });
    }
    let mut ours = Weights::default();
    for (name, weight) in theirs.0 {
        if name.ends_with("num_batches_tracked") || name.contains(".ffn.expert_pool.") {
            continue;
        }
        let our = released_name(&name)
            .ok_or_else(|| CheckpointError::Names { missing: Vec::new(), unknown: vec![name.clone()] })?;
        let weight = if our.starts_with("patch_embed.") { with_fourth_channel(weight) } else { weight };
        ours.0.insert(our, weight);
    }
    Ok(ours)
}

/// Our name of a tensor of the released network.
fn released_name(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("head.") {
        let (part, leaf) = rest.rsplit_once('.')?;
        let part = match part {
            "conv.0" => "conv1",
            "conv.1" => "bn1",
            "conv.3" => "conv2",
            "conv.4" => "bn2",
            "head_heatmap" => "heat",
            "head_bbox" => "box",
            _ => return None,
        };
        return Some(format!("head.{part}.{leaf}"));
    }
    if let Some(rest) = name.strip_prefix("fusion.") {
        return Some(format!("fusion.{}", rest.replace("norm_query", "norm_q").replace("norm_sat", "norm_r")));
    }
    let name = name.strip_prefix("backbone.")?;
    let renamed = [
        ("patch_embeds.query.", "patch_embed.query."),
        ("patch_embeds.sat.", "patch_embed.tile."),
        ("downsamples.", "merges."),
        ("attn.in_proj_", "attn.qkv."),
        ("attn.out_proj.", "attn.proj."),
        (".ffn.gate.", ".moe.routers.query."),
        (".ffn.0.", ".mlp.fc1."),
        (".ffn.2.", ".mlp.fc2."),
        (".expert_pool.experts.", ".experts."),
    ];
    let mut name = renamed.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours));
    if name.contains(".experts.") {
        name = name.replace(".0.weight", ".fc1.weight").replace(".0.bias", ".fc1.bias");
        name = name.replace(".2.weight", ".fc2.weight").replace(".2.bias", ".fc2.bias");
    }
    Some(name)
}

/// The tensors of a safetensors file, or of a `.pth` file: those under `model` or `state_dict` where it has such a dictionary, without
/// the `module.` that PyTorch puts before the names of a network on several GPUs.
pub(super) fn state(path: &Path) -> Result<Weights, CheckpointError> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        return Weights::read(path);
    }
    let mut archive = Archive::open(path)?;
    let object = ["model", "state_dict"].iter().find_map(|key| archive.object.get(key));
    let Some(entries) = object.unwrap_or_else(|| archive.object.clone()).entries() else {
        return Err(CheckpointError::Broken {
            path: path.into(),
            problem: "it has no dictionary of tensors".to_owned(),
        });
    };
    let mut weights = Weights::default();
    for (name, value) in entries {
        if let (Object::Text(name), Object::Tensor(view)) = (name, value) {
            let name = name.strip_prefix("module.").unwrap_or(&name);
            weights.0.insert(name.to_owned(), archive.tensor(&view)?);
        }
    }
    Ok(weights)
}

fn taken(weights: &mut Weights, name: &str, path: &Path) -> Result<Weight, CheckpointError> {
    weights
        .take(name)
        .ok_or_else(|| CheckpointError::Broken { path: path.into(), problem: format!("it has no {name}") })
}

fn nothing_left(weights: Weights) -> Result<(), CheckpointError> {
    match weights.0.is_empty() {
        true => Ok(()),
        false => Err(CheckpointError::Names { missing: Vec::new(), unknown: weights.0.into_keys().collect() }),
    }
}

/// A patch embedding of three channels with a zero fourth; anything else as it is.
fn with_fourth_channel(weight: Weight) -> Weight {
    let [outputs, 3, rows, columns] = weight.shape[..] else { return weight };
    let plane = rows * columns;
    let values = weight.values.chunks(3 * plane).flat_map(|rgb| rgb.iter().copied().chain(vec![0.0; plane])).collect();
    Weight { shape: vec![outputs, 4, rows, columns], values }
}

/// A position table `[n^2, heads]` brought to `[edge^2, heads]`.
fn resized(table: &Weight, edge: usize, path: &Path) -> Result<Weight, CheckpointError> {
    let broken = || CheckpointError::Broken { path: path.into(), problem: "a position table is not square".into() };
    let [places, heads] = table.shape[..] else { return Err(broken()) };
    let from = places.isqrt();
    if from * from != places || from == 0 {
        return Err(broken());
    }
    if from == edge {
        return Ok(table.clone());
    }
    let taps: Vec<[(usize, f64); 4]> = (0..edge).map(|place| cubic_taps(place, edge, from)).collect();
    let mut values = Vec::with_capacity(edge * edge * heads);
    for rows in &taps {
        for columns in &taps {
            for head in 0..heads {
                let value: f64 = rows
                    .iter()
                    .flat_map(|&(row, share)| columns.iter().map(move |&(column, other)| (row, column, share * other)))
                    .map(|(row, column, share)| share * f64::from(table.values[(row * from + column) * heads + head]))
                    .sum();
                values.push(value as f32);
            }
        }
    }
    Ok(Weight { shape: vec![edge * edge, heads], values })
}

/// Sources and shares of one place under bicubic interpolation (Keys 1981, a = -0.75) with half-pixel centres and clamped
/// borders, as `align_corners = false` has it.
fn cubic_taps(place: usize, edge: usize, from: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let at = (place as f64 + 0.5) * from as f64 / edge as f64 - 0.5;
    let share = |distance: f64| match distance.abs() {
        d if d <= 1.0 => ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0,
        d if d < 2.0 => (((d - 5.0) * d + 8.0) * d - 4.0) * A,
        _ => 0.0,
    };
    let first = at.floor() - 1.0;
    std::array::from_fn(|tap| {
        let source = first + tap as f64;
        (source.clamp(0.0, from as f64 - 1.0) as usize, share(at - source))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bicubic_shares_sum_to_one_and_keep_a_plane() {
        let plane: Vec<f32> = (0..169).map(|place| (place / 13) as f32 + 2.0 * (place % 13) as f32).collect();
        let table = resized(&Weight::new([169, 1], plane), 15, Path::new("plane")).unwrap();
        let middle = table.values[7 * 15 + 7];
        assert!((middle - 18.0).abs() < 1e-5);
        assert_eq!(table.shape, [225, 1]);
    }
}
