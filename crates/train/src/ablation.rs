//! The paper's ablations as variants of one plan: number of experts (table II), experts a cell is sent to (table III), which
//! blocks are mixtures (table IV), and the weights of the loss (after its figure 14).

use std::fmt::Write;

use anyhow::bail;

use crate::eval::report::Report;
use crate::model::{Config, Fusion};
use crate::training::Plan;
use crate::training::store::Store;

/// One of the paper's comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Study {
    /// Table II: 2 to 8 experts.
    Experts,
    /// Table III: top 1 to 5.
    TopK,
    /// Table IV: no, odd, even or all blocks of stages 1 to 3.
    Placement,
    /// Weights of the loss: its parts, halved and doubled one by one, and no entropy term.
    LossWeights,
}

/// A plan that differs in one thing.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What differs, as it stands in the table and in the name of its folder.
    pub name: String,
    /// The plan.
    pub plan: Plan,
}

/// What a variant reached.
pub struct Row {
    /// The variant's name.
    pub name: String,
    /// Weights of the network.
    pub parameters: usize,
    /// What was measured.
    pub report: Report,
}

impl Study {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Experts, Self::TopK, Self::Placement, Self::LossWeights];

    /// The heading of its table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Experts => "Table II: number of experts",
            Self::TopK => "Table III: experts a cell is sent to",
            Self::Placement => "Table IV: blocks that are mixtures (stages 1 to 3)",
            Self::LossWeights => "Weights of the loss",
        }
    }

    /// The variants of a plan.
    pub fn variants(self, plan: &Plan) -> anyhow::Result<Vec<Variant>> {
        let config = plan.config()?;
        let with = |name: String, changes: toml::Table| Variant { name, plan: plan.with_model(&changes) };
        let moe = |key: &str, value: toml::Value| moe([(key.to_owned(), value)].into_iter().collect());
        Ok(match self {
            Self::Experts => {
                let most = config.moe.top_k.max(2)..=8;
                most.map(|count| with(format!("{count} experts"), moe("experts", (count as i64).into()))).collect()
            }
            Self::TopK => {
                let ks = 1..=config.moe.experts.min(5);
                ks.map(|k| with(format!("top {k}"), moe("top_k", (k as i64).into()))).collect()
            }
            Self::Placement => placements(&config)
                .into_iter()
                .map(|(name, blocks)| Ok(with(name.to_owned(), moe("blocks", toml::Value::try_from(blocks)?))))
                .collect::<anyhow::Result<_>>()?,
            Self::LossWeights => weighted(plan, config.fusion == Fusion::Template && config.template.fine_channels > 0),
        })
    }
}

fn moe(table: toml::Table) -> toml::Table {
    [("moe".to_owned(), toml::Value::Table(table))].into_iter().collect()
}

/// Blocks of each stage for each way of placing mixtures; stage 0 has none.
fn placements(config: &Config) -> [(&'static str, [Vec<usize>; 4]); 4] {
    let blocks = |keep: fn(usize) -> bool| {
        let mut stages: [Vec<usize>; 4] = Default::default();
        for (stage, blocks) in stages.iter_mut().enumerate().skip(1) {
            blocks.extend((0..config.depths[stage]).filter(|&block| keep(block)));
        }
        stages
    };
    [
        ("none", blocks(|_| false)),
        ("odd", blocks(|block| block % 2 == 1)),
        ("even", blocks(|block| block % 2 == 0)),
        ("all", blocks(|_| true)),
    ]
}

/// Scales one part of a plan's loss by a factor.
type Scale = fn(&mut Plan, f64);

/// The plan as it is, and with each part of the loss (of either locator) halved and doubled.
fn weighted(plan: &Plan, with_fine: bool) -> Vec<Variant> {
    let mut variants = vec![Variant { name: "as planned".to_owned(), plan: plan.clone() }];
    let parts: [(&str, Scale); 4] = [
        ("place", |plan, factor| {
            plan.loss.place *= factor;
            plan.paper_loss.heat *= factor;
        }),
        ("box", |plan, factor| {
            plan.loss.edges *= factor;
            plan.loss.overlap *= factor;
            plan.paper_loss.bounds *= factor;
        }),
        ("fine", |plan, factor| {
            plan.loss.fine *= factor;
            plan.loss.peak *= factor;
        }),
        ("entropy", |plan, factor| {
            plan.loss.entropy *= factor;
            plan.paper_loss.entropy *= factor;
        }),
    ];
    for (name, scale) in parts {
        for factor in [0.5, 2.0] {
            let mut plan = plan.clone();
            scale(&mut plan, factor);
            variants.push(Variant { name: format!("{name} x {factor}"), plan });
        }
    }
    let mut plan = plan.clone();
    (plan.loss.entropy, plan.paper_loss.entropy) = (0.0, 0.0);
    variants.push(Variant { name: "no entropy".to_owned(), plan });
    // The paper's head has no such part.
    variants.retain(|variant| with_fine || !variant.name.starts_with("fine"));
    variants
}

/// Refuses a kept run that was planned for another number of steps: its rate fell along another curve, so its row would not belong
/// into a table of `steps` each.
pub fn check_steps(store: &Store, steps: u64) -> anyhow::Result<()> {
    let planned = store.plan()?.training.steps;
    if planned != steps {
        bail!(
            "{} says {planned} steps, not {steps}: ask for --steps {planned}, or name another --out",
            store.path("plan.toml").display()
        );
    }
    Ok(())
}

/// A study's rows as a table in Markdown, with 95 % intervals.
pub fn table(study: Study, steps: u64, rows: &[Row]) -> String {
    let mut text = format!("## {} ({steps} steps each)\n\n", study.title());
    text.push_str("| variant | parameters, M | acc@0.25 | acc@0.5 | mIoU | within 5 m |\n|---|---|---|---|---|---|\n");
    for Row { name, parameters, report } in rows {
        let scores = &report.scores;
        let cells = [&scores.acc25, &scores.acc50, &scores.miou, &scores.within_5_m];
        let cells: Vec<String> = cells.iter().map(|share| share.to_string()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {:.2} | {} |", *parameters as f64 / 1e6, cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::store::Provenance;

    fn plan() -> Plan {
        toml::from_str("preset = 'nano'\n[data]\n[model.moe]\nexperts = 6\n").unwrap()
    }

    #[test]
    fn every_variant_is_a_network_that_can_be_built_and_all_differ() {
        for study in Study::ALL {
            let variants = study.variants(&plan()).unwrap();
            assert!(variants.len() >= 4, "{study:?}");
            for (index, variant) in variants.iter().enumerate() {
                variant.plan.clone().checked().unwrap();
                assert!(variants[index + 1..].iter().all(|other| other.plan != variant.plan), "{}", variant.name);
            }
        }
    }

    #[test]
    fn even_blocks_are_those_of_the_preset() {
        let [.., (name, even), _] = placements(&Config::nano());
        assert_eq!((name, even), ("even", Config::nano().moe.blocks));
    }

    #[test]
    fn a_kept_run_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut kept = plan();
        kept.training.steps = 500;
        store.begin(&kept, &Provenance { data_sha256: String::new(), revision: None, seed: 1 }).unwrap();
        check_steps(&store, 500).unwrap();
        let error = check_steps(&store, 300).unwrap_err().to_string();
        assert!(error.contains("500 steps, not 300") && error.contains("--out"), "{error}");
    }
}
