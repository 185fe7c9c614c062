//! The ranges that numbers of a plan have to lie in. Beyond them a run would stop in its midst, or draw what nobody meant.

use anyhow::bail;

use super::Plan;
use crate::model::within;

/// No run lasts longer, minutes: a thousand years.
const MINUTES_MAX: f64 = 5e8;
/// Window pixels a ground pixel: beyond, a tile shows a few pixels of ground, or its imagery is shrunk to noise.
const ZOOM: [f64; 2] = [0.1, 10.0];

/// Checks the numbers of `[training]` and `[recipe]`; those of the network are checked with it.
pub fn check(plan: &Plan) -> anyhow::Result<()> {
    let (training, recipe) = (&plan.training, &plan.recipe);
    let shares = [
        ("recipe.share_naip", recipe.share_naip),
        ("recipe.share_dubai", recipe.share_dubai),
        ("recipe.share_town", recipe.share_town),
        ("recipe.absent", recipe.absent),
        ("recipe.raw", recipe.raw),
        ("recipe.mistaken", recipe.mistaken),
        ("recipe.unposed", recipe.unposed),
        ("recipe.relief", recipe.relief),
        ("recipe.on_object", recipe.on_object),
        ("recipe.even_classes", recipe.even_classes),
        ("training.rate", training.rate),
        ("training.rate_floor", training.rate_floor),
        ("training.weight_decay", training.weight_decay),
        ("training.average", training.average),
    ];
    shares.into_iter().try_for_each(|(key, share)| within(key, share, 0.0, 1.0))?;
    within("recipe.look", f64::from(recipe.look), 0.0, 4.0)?;
    within("training.clip", training.clip, 0.0, 1e9)?;
    within("training.checkpoint_minutes", training.checkpoint_minutes, 0.0, MINUTES_MAX)?;
    let zooms = [
        ("recipe.zoom_naip", recipe.zoom_naip),
        ("recipe.zoom_dubai", recipe.zoom_dubai),
        ("recipe.zoom_town", recipe.zoom_town),
    ];
    for (key, [least, most]) in zooms {
        [least, most].into_iter().try_for_each(|zoom| within(key, zoom, ZOOM[0], ZOOM[1]))?;
        if least > most {
            bail!("{key} = [{least}, {most}] has to begin with the lesser number");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(keys: &str) -> Result<Plan, String> {
        let plan: Plan = toml::from_str(&format!("preset = 'nano'\ndata = {{}}\n{keys}\n")).unwrap();
        plan.checked().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_number_out_of_its_range_is_named_with_the_range() {
        let shares = ["absent", "raw", "mistaken", "unposed", "relief", "on_object", "even_classes", "share_town"];
        for share in shares {
            for value in ["-0.1", "1.5", "nan"] {
                let error = checked(&format!("recipe.{share} = {value}")).unwrap_err();
                assert!(error.contains(&format!("recipe.{share} = ")) && error.contains("between 0 and 1"), "{error}");
            }
        }
        let cases = [
            ("recipe.zoom_naip = [0.0, 0.0]", "between 0.1 and 10"),
            ("recipe.zoom_dubai = [1.0, inf]", "between 0.1 and 10"),
            ("recipe.zoom_town = [1.2, 0.9]", "begin with the lesser"),
            ("recipe.look = -1.0", "between 0 and 4"),
            ("training.checkpoint_minutes = -3.0", "between 0 and 500000000"),
            ("training.checkpoint_minutes = inf", "between 0 and 500000000"),
            ("training.average = 1.1", "between 0 and 1"),
            ("training.rate = nan", "between 0 and 1"),
            ("model.drop_path = 1.5", "between 0 and 1"),
            ("model.drop_path = -0.5", "between 0 and 1"),
            ("model.mlp_ratio = 0.0", "between 0.01 and 64"),
            ("model.mlp_ratio = 0.02", "hidden width of 1"),
            ("model.moe.hidden_ratio = 0.0", "between 0.01 and 64"),
            ("model.moe.noise_sigma = -1.0", "between 0 and 100"),
            ("model.embed = 0", "between 1 and 8192"),
            ("model.head_channels = 0", "between 1 and 8192"),
            ("model.template.channels = 0", "between 1 and 8192"),
            ("model.template.projection = 0", "between 1 and 8192"),
            ("model.template.cells = 0", "between 1 and 8192"),
            ("model.template.gate_heads = 0", "between 1 and 8192"),
            ("model.template.gate_channels = 0", "between 1 and 8192"),
            ("model.template.head_channels = 0", "between 1 and 8192"),
            ("model.template.head_hidden = 0", "between 1 and 8192"),
            ("model.template.spacing_cells = 0.0", "between 0.1 and 16"),
        ];
        for (keys, told) in cases {
            let error = checked(keys).unwrap_err();
            let key = keys.split(" = ").next().unwrap().trim_start_matches("model.");
            assert!(error.contains(key) && error.contains(told), "{keys}: {error}");
        }
    }

    #[test]
    fn both_ends_of_a_range_are_allowed() {
        for keys in
            ["recipe.raw = 0.0", "recipe.raw = 1.0", "training.checkpoint_minutes = 0.0", "model.drop_path = 1.0"]
        {
            checked(keys).unwrap();
        }
    }
}
