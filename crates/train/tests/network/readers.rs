//! Other people's checkpoint files, small ones of each kind.

use burn::tensor::Device;
use smgeo_train::checkpoint::{Archive, CheckpointError, Weights, load, released, swin, weights_of};
use smgeo_train::model::{Config, Fusion, MoeConfig, SmGeo};
use smgeo_train::training::start::started;

use crate::formula;
use crate::goldens::folder;

fn mini(base: Config) -> Config {
    let moe = MoeConfig { blocks: [vec![], vec![0], vec![0, 2], vec![0]], ..base.moe.clone() };
    Config { embed: 8, depths: [2, 2, 4, 2], heads: [1, 2, 4, 8], head_channels: 8, moe, ..base }
}

/// Every value equals the formula on the name it had in the file.
#[track_caller]
fn assert_formula(weights: &Weights, ours: &str, theirs: &str) {
    let weight = weights.get(ours).unwrap_or_else(|| panic!("no {ours}"));
    assert_eq!(weight.values, formula::raw(theirs, weight.values.len()), "{ours}");
}

#[test]
fn swin_checkpoints_of_both_kinds_read_the_same() {
    let Some(folder) = folder("swin_checkpoints_of_both_kinds_read_the_same") else { return };
    let config = mini(Config::tiny());
    let microsoft = swin(&folder.join("checkpoints/microsoft_mini.pth"), &config).unwrap();
    let timm = swin(&folder.join("checkpoints/timm_mini.safetensors"), &config).unwrap();
    assert_eq!(microsoft, timm);
    assert_formula(&microsoft, "stages.2.blocks.1.attn.qkv.weight", "layers.2.blocks.1.attn.qkv.weight");
    assert_formula(&microsoft, "merges.1.reduction.weight", "layers.1.downsample.reduction.weight");
    assert_formula(&microsoft, "stages.2.experts.4.fc1.bias", "layers.2.blocks.0.mlp.fc1.bias");
    assert_eq!(microsoft.get("stages.0.blocks.0.attn.rel_bias").unwrap().shape, [225, 1]);
    let query = microsoft.get("patch_embed.query.proj.weight").unwrap();
    assert_eq!(query.shape, [8, 4, 4, 4]);
    assert!(query.values.chunks(64).all(|output| output[48..].iter().all(|&v| v == 0.0)));
}

#[test]
fn an_imported_swin_loads_and_only_what_swin_lacks_is_missing() {
    let Some(folder) = folder("an_imported_swin_loads_and_only_what_swin_lacks_is_missing") else { return };
    let config = Config { fusion: Fusion::Paper, ..mini(Config::tiny()) };
    let weights = swin(&folder.join("checkpoints/timm_mini.safetensors"), &config).unwrap();
    let (model, report) = load(SmGeo::new(&config, &Device::flex()).unwrap(), weights.clone()).unwrap();
    assert!(report.unknown.is_empty(), "{:?}", report.unknown);
    let foreign =
        |name: &String| name.contains(".routers.") || name.starts_with("fusion.") || name.starts_with("head.");
    assert!(report.missing.iter().all(foreign), "{:?}", report.missing);
    let name = "stages.1.blocks.1.mlp.fc1.weight";
    assert_eq!(weights_of(&model).get(name), weights.get(name));
}

#[test]
fn a_released_checkpoint_loads_completely() {
    let Some(folder) = folder("a_released_checkpoint_loads_completely") else { return };
    let base = Config::released();
    let blocks = [vec![], vec![0, 1], vec![0, 2], vec![0, 1]];
    let config = Config {
        window: 4,
        head_channels: 16,
        fusion: Fusion::None,
        mlp_ratio: 2.0,
        moe: MoeConfig { blocks, hidden_ratio: 2.0, ..base.moe.clone() },
        ..mini(base)
    };
    let weights = released(&folder.join("checkpoints/released_mini.pth"), &config).unwrap();
    assert_formula(&weights, "stages.1.experts.2.fc1.weight", "backbone.stages.1.expert_pool.experts.2.0.weight");
    assert_formula(&weights, "stages.1.blocks.0.moe.routers.query.bias", "backbone.stages.1.blocks.0.ffn.gate.bias");
    assert_formula(&weights, "head.bn2.running_var", "head.conv.4.running_var");
    let model = SmGeo::new(&config, &Device::flex()).unwrap();
    load(model, weights).unwrap().1.complete().unwrap();
}

#[test]
fn a_checkpoint_that_does_not_fit_says_what_is_wrong() {
    let Some(folder) = folder("a_checkpoint_that_does_not_fit_says_what_is_wrong") else { return };
    let checkpoints = folder.join("checkpoints");
    let deeper = Config { depths: [2, 2, 6, 2], ..mini(Config::tiny()) };
    let wider = Config { embed: 16, ..mini(Config::tiny()) };
    let shallower = Config { depths: [2, 2, 3, 2], ..mini(Config::tiny()) };
    let base = mini(Config::released());
    let moe = MoeConfig { hidden_ratio: 2.0, ..base.moe.clone() };
    let other_blocks = Config { window: 4, head_channels: 16, mlp_ratio: 2.0, moe, ..base };
    let cases = [
        ("timm_mini.safetensors", deeper, "it has no layers.2.blocks.4.norm1.weight"),
        ("timm_mini.safetensors", wider, "patch_embed.query.proj.weight: the network has shape [16, 4, 4, 4]"),
        ("timm_mini.safetensors", shallower, "unknown [\"layers.2.blocks.3."),
        ("released_mini.pth", mini(Config::tiny()), "take preset = \"released\""),
        ("released_mini.pth", other_blocks, "missing [\"stages.1.blocks.1.mlp.fc1."),
        ("refuse_me.pth", mini(Config::tiny()), "posix.system"),
    ];
    for (file, config, says) in cases {
        let model = SmGeo::new(&config, &Device::flex()).unwrap();
        let error = format!("{:#}", started(model, &config, &checkpoints.join(file), &[]).unwrap_err());
        assert!(error.contains(says) && error.contains(file), "{file}: {error}");
    }
}

#[test]
fn what_is_named_fresh_is_not_read() {
    let Some(folder) = folder("what_is_named_fresh_is_not_read") else { return };
    let config = mini(Config::tiny());
    let model = SmGeo::new(&config, &Device::flex()).unwrap();
    let path = folder.join("checkpoints/timm_mini.safetensors");
    let loaded = started(model.clone(), &config, &path, &["stages.3.".to_owned()]).unwrap();
    let kept = |name: &str| weights_of(&loaded).get(name) == weights_of(&model).get(name);
    assert!(kept("stages.3.blocks.1.mlp.fc1.weight") && kept("locator.template.weight"));
    assert!(!kept("stages.2.blocks.1.mlp.fc1.weight"));
}

#[test]
fn a_checkpoint_that_calls_a_shell_is_refused_by_name() {
    let Some(folder) = folder("a_checkpoint_that_calls_a_shell_is_refused_by_name") else { return };
    match Archive::open(&folder.join("checkpoints/refuse_me.pth")) {
        Err(CheckpointError::Refused(name)) => assert_eq!(name, "posix.system"),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("it was read"),
    }
}

#[test]
fn our_own_weights_are_put_back_completely() {
    let device = Device::flex();
    let config = mini(Config::nano());
    let model = SmGeo::new(&config, &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let weights = weights_of(&model);
    weights.write(&path, &[("architecture", config.architecture.clone())]).unwrap();
    let fresh = SmGeo::new(&config, &device).unwrap();
    let (loaded, report) = load(fresh.clone(), Weights::read(&path).unwrap()).unwrap();
    report.complete().unwrap();
    assert_eq!(weights_of(&loaded), weights);
    assert_eq!(weights_of(&started(fresh, &config, &path, &[]).unwrap()), weights);
}
