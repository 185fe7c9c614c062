//! The plan of a training run: one TOML file, kept beside the weights it made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::ranges;
use crate::data::library::DataPlan;
use crate::data::recipe::Recipe;
use crate::loss::LossWeights;
use crate::loss::paper::PaperWeights;
use crate::model::Config;

/// Everything that decides a run. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Which preset of the network to start from: nano, small, tiny, released.
    pub preset: String,
    /// Keys of the network's configuration that differ from the preset.
    #[serde(default)]
    pub model: toml::Table,
    /// How to train.
    #[serde(default)]
    pub training: Training,
    /// Where the imagery is and what is held out.
    pub data: DataPlan,
    /// What batches are made of.
    #[serde(default)]
    pub recipe: Recipe,
    /// What is minimised with `fusion = "template"`.
    #[serde(default)]
    pub loss: LossWeights,
    /// What is minimised with the paper's head.
    #[serde(default)]
    pub paper_loss: PaperWeights,
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Seed of weights, batches and noise.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Steps over which the learning rate rises.
    pub warm_up: u64,
    /// Highest learning rate.
    pub rate: f64,
    /// Last learning rate as a share of the highest.
    pub rate_floor: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Greatest joint length of the gradients.
    pub clip: f64,
    /// Decay of the weights' moving average.
    pub average: f64,
    /// Batches whose gradients are added up for one step.
    pub accumulate: usize,
    /// Devices that share the batches of a step; `accumulate` should be a multiple. On a CPU, batches side by side.
    pub devices: usize,
    /// Threads that make batches.
    pub feed_threads: usize,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between looks at held-out data; 0 for never.
    pub evaluate_every: u64,
    /// Held-out batches a look takes of each source.
    pub evaluate_batches: usize,
    /// What the weights start from: an engine package, a run's folder (its averaged weights), a `.bpk` record, or a `.pth` or
    /// `.safetensors` file of Swin or of the released SMGeo.
    pub start_from: Option<PathBuf>,
    /// Whether the encoder stays as it starts, so that the locator alone is trained, in less than half of the time.
    pub frozen_encoder: bool,
    /// First parts of names of parameters that a package or file to start from lacks, and that start at random: `locator.fine`.
    pub start_fresh: Vec<String>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            seed: 42,
            steps: 2000,
            warm_up: 60,
            rate: 1e-3,
            rate_floor: 0.02,
            weight_decay: 0.02,
            clip: 1.0,
            average: 0.995,
            accumulate: 1,
            devices: 1,
            feed_threads: 1,
            checkpoint_minutes: 3.0,
            evaluate_every: 100,
            evaluate_batches: 3,
            start_from: None,
            frozen_encoder: false,
            start_fresh: Vec::new(),
        }
    }
}

impl Plan {
    /// Reads and checks a plan.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading plan {}", path.display()))?;
        let plan: Self = toml::from_str(&text).with_context(|| format!("plan {}", path.display()))?;
        plan.checked().with_context(|| format!("plan {}", path.display()))
    }

    /// Checks what the parts rely on, once for all of them.
    pub fn checked(self) -> anyhow::Result<Self> {
        ranges::check(&self)?;
        let training = &self.training;
        if training.steps == 0 || training.accumulate == 0 || training.devices == 0 {
            bail!("training.steps, training.accumulate and training.devices have to be 1 or more");
        }
        if self.recipe.rows * self.recipe.columns == 0 || self.recipe.queries == 0 || self.recipe.clicks_per_query == 0
        {
            bail!("recipe.rows, columns, queries and clicks_per_query have to be 1 or more");
        }
        self.config()?;
        Ok(self)
    }

    /// The same plan with other keys of the network.
    pub fn with_model(&self, changes: &toml::Table) -> Self {
        let mut plan = self.clone();
        merge(&mut plan.model, changes);
        plan
    }

    /// Keys in which this plan differs from the one that a run was begun with, as `table.key`. Those that change none of the steps
    /// done are left out: how many there are, how they are fed, kept and looked at.
    pub fn changes_since(&self, begun: &Self) -> anyhow::Result<Vec<String>> {
        let mut same = self.clone();
        let Training { steps, feed_threads, checkpoint_minutes, evaluate_every, evaluate_batches, .. } = begun.training;
        let training = same.training;
        same.training =
            Training { steps, feed_threads, checkpoint_minutes, evaluate_every, evaluate_batches, ..training };
        let table = |plan: &Self| toml::Table::try_from(plan).context("writing the plan as TOML");
        let mut changes = Vec::new();
        differences(&table(&same)?, &table(begun)?, "", &mut changes);
        Ok(changes)
    }

    /// The network's configuration: the preset with the plan's changes.
    pub fn config(&self) -> anyhow::Result<Config> {
        let preset = Config::preset(&self.preset)?;
        let mut table = toml::Table::try_from(&preset).context("writing the preset as TOML")?;
        merge(&mut table, &self.model);
        let config: Config = table.try_into().context("[model]")?;
        config.validate().context("[model]")?;
        Ok(config)
    }
}

/// Lays the keys of `changes` over `table`, tables within tables.
fn merge(table: &mut toml::Table, changes: &toml::Table) {
    for (key, change) in changes {
        match (table.get_mut(key), change) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(change)) => merge(inner, change),
            _ => {
                table.insert(key.clone(), change.clone());
            }
        }
    }
}

/// Names the keys whose values differ, tables within tables.
fn differences(one: &toml::Table, other: &toml::Table, within: &str, names: &mut Vec<String>) {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for key in keys {
        let name = format!("{within}{key}");
        match (one.get(key), other.get(key)) {
            (one, other) if one == other => {}
            (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
                differences(one, other, &format!("{name}."), names);
            }
            _ => names.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_that_ships_is_valid() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/train"));
        let plans = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut count = 0;
        for path in plans.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
            Plan::read(&path).unwrap();
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn changes_reach_into_the_preset_and_unknown_keys_are_refused() {
        let text = "preset = 'nano'\n[model]\nembed = 48\nheads = [2, 4, 8, 16]\n[model.moe]\nexperts = 4\n[data]\n";
        let plan: Plan = toml::from_str(text).unwrap();
        let config = plan.config().unwrap();
        assert_eq!((config.embed, config.moe.experts), (48, 4));
        let wrong: Plan = toml::from_str("preset = 'nano'\n[model]\nembedding = 48\n[data]\n").unwrap();
        assert!(wrong.config().is_err());
    }

    #[test]
    fn what_a_resumed_run_may_not_change_is_named() {
        let begun: Plan = toml::from_str("preset = 'nano'\n[training]\nrate = 0.001\n[data]\n").unwrap();
        let change = |text: &str| -> Vec<String> {
            let plan: Plan = toml::from_str(&format!("preset = 'nano'\n{text}")).unwrap();
            plan.changes_since(&begun).unwrap()
        };
        let free = "steps = 9\nfeed_threads = 2\ncheckpoint_minutes = 1.0\nevaluate_every = 0\nevaluate_batches = 1\n";
        assert!(change(&format!("[training]\n{free}[data]\n")).is_empty());
        let named = change("[training]\nrate = 0.002\nseed = 1\n[data]\ntowns = 'there'\n[model]\nembed = 48\n");
        assert_eq!(named, ["data.towns", "model.embed", "training.rate", "training.seed"]);
    }
}
