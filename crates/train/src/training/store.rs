//! A run's folder: the plan, what it was made from, and checkpoints that a run resumes from exactly.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use burn::module::Module;
use burn::store::ModuleRecord;
use serde::{Deserialize, Serialize};

use super::{Plan, Trainer};
use crate::checkpoint::{self, Weights};
use crate::model::{Config, SmGeo};

/// A run's folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What a run was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 of the training data.
    pub data_sha256: String,
    /// Revision of the source, if it was under git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Seed of the run.
    pub seed: u64,
}

// Names in a run's folder.
const PLAN: &str = "plan.toml";
const PROVENANCE: &str = "provenance.json";
const CURRENT: &str = "checkpoint";
const FRESH: &str = "checkpoint.new";
const OLD: &str = "checkpoint.old";
// Names in a checkpoint's.
const MODEL: &str = "model.bpk";
const AVERAGE: &str = "average.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.json";

#[derive(Serialize, Deserialize)]
struct State {
    step: u64,
}

impl Store {
    /// Makes the folder if it is not there.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making run folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether there is a checkpoint to resume from.
    pub fn has_checkpoint(&self) -> bool {
        is_complete(&checkpoint_of(&self.folder))
    }

    /// The plan that the run was begun with, or resumed with last.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        Plan::read(&self.path(PLAN))
    }

    /// Where the run's weights come from.
    pub fn provenance(&self) -> anyhow::Result<Provenance> {
        let path = self.path(PROVENANCE);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes the plan and where it came from.
    pub fn begin(&self, plan: &Plan, provenance: &Provenance) -> anyhow::Result<()> {
        self.write(PLAN, toml::to_string_pretty(plan)?.as_bytes())?;
        self.write(PROVENANCE, serde_json::to_string_pretty(provenance)?.as_bytes())
    }

    /// Goes on with a run along `plan`, on data of this hash. Refused where either is not what the run was begun with, except for
    /// what changes none of the steps done: how many there are, how they are fed, kept and looked at.
    pub fn resume(&self, plan: &Plan, data_sha256: &str) -> anyhow::Result<()> {
        let begun = self.plan()?;
        let changed = plan.changes_since(&begun)?;
        if !changed.is_empty() {
            bail!(
                "the plan differs from {}, which the run was begun with, in {}: set it back, or train in another folder",
                self.path(PLAN).display(),
                changed.join(", ")
            );
        }
        let known = self.provenance()?.data_sha256;
        if known != data_sha256 {
            bail!(
                "the training data has SHA-256 {data_sha256}, but {} says {known}: bring the data back, or train in another folder",
                self.path(PROVENANCE).display()
            );
        }
        self.write(PLAN, toml::to_string_pretty(plan)?.as_bytes())
    }

    /// Writes a checkpoint: first beside the old one, which is put aside, replaced and only then removed. Whenever this is
    /// interrupted, one of them is whole, and found.
    pub fn save(&self, trainer: &Trainer) -> anyhow::Result<()> {
        let fresh = self.path(FRESH);
        if checkpoint_of(&self.folder) == fresh {
            self.put_in_place().context("keeping the checkpoint of an interrupted run")?;
        }
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("removing a half-written checkpoint")?;
        }
        fs::create_dir_all(&fresh).context("making a checkpoint folder")?;
        trainer.model.clone().into_record().save(fresh.join(MODEL))?;
        trainer.average.clone().into_record().save(fresh.join(AVERAGE))?;
        trainer.optimizer.save(fresh.join(OPTIMIZER))?;
        // Last, because it marks a checkpoint as whole.
        let state = serde_json::to_string(&State { step: trainer.step })?;
        self.write(&format!("{FRESH}/{STATE}"), state.as_bytes())?;
        self.put_in_place()
    }

    fn put_in_place(&self) -> anyhow::Result<()> {
        let [current, fresh, old] = [CURRENT, FRESH, OLD].map(|name| self.path(name));
        let remove = |path: &Path| match path.exists() {
            true => fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display())),
            false => Ok(()),
        };
        if is_complete(&current) {
            remove(&old)?;
            fs::rename(&current, &old).context("putting the last checkpoint aside")?;
        } else {
            remove(&current)?;
        }
        fs::rename(&fresh, &current).context("putting the new checkpoint in place")?;
        remove(&old)
    }

    /// Puts a trainer into the state of the checkpoint.
    pub fn load(&self, mut trainer: Trainer) -> anyhow::Result<Trainer> {
        let folder = checkpoint_of(&self.folder);
        let text = fs::read_to_string(folder.join(STATE))
            .with_context(|| format!("there is no whole checkpoint in {}", self.folder.display()))?;
        let state: State = serde_json::from_str(&text).context("reading the checkpoint's state")?;
        let record = |name: &str| ModuleRecord::load(folder.join(name));
        trainer.model = trainer.model.try_load_record(record(MODEL)?)?;
        trainer.average = trainer.average.try_load_record(record(AVERAGE)?)?;
        trainer.optimizer = trainer.optimizer.load(folder.join(OPTIMIZER))?;
        trainer.step = state.step;
        Ok(trainer)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        fs::write(self.path(name), bytes).with_context(|| format!("writing {}", self.path(name).display()))
    }
}

/// The checkpoint of a run: the one in place, or where saving was interrupted the new or the old one, whichever is whole.
fn checkpoint_of(run: &Path) -> PathBuf {
    let all = [CURRENT, FRESH, OLD].map(|name| run.join(name));
    let whole = all.iter().find(|folder| is_complete(folder));
    whole.unwrap_or(&all[0]).clone()
}

/// Whether all parts of a checkpoint are there; its state is written last.
fn is_complete(checkpoint: &Path) -> bool {
    let state = fs::read(checkpoint.join(STATE)).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok());
    state.is_some() && [MODEL, AVERAGE, OPTIMIZER].iter().all(|name| checkpoint.join(name).exists())
}

/// Loads weights into a network of `config`: from an engine package, a `.bpk` record, or a run's folder, whose averaged
/// weights are taken. Of a package, parameters whose names begin with one of `fresh` are not read and keep their values.
pub fn load_weights(model: SmGeo, config: &Config, path: &Path, fresh: &[String]) -> anyhow::Result<SmGeo> {
    if path.join("package.toml").exists() {
        let reading = || format!("reading the weights of package {}", path.display());
        let is_fresh = |name: &str| fresh.iter().any(|start| name.starts_with(start));
        let mut wanted = checkpoint::parameters(&model);
        wanted.retain(|parameter| !is_fresh(&parameter.name));
        let weights = checkpoint::package(path, config, &wanted).with_context(reading)?;
        let (model, mut report) = checkpoint::load(model, weights).with_context(reading)?;
        report.missing.retain(|name| !is_fresh(name));
        report.complete().with_context(reading)?;
        return Ok(model);
    }
    let file = if path.is_dir() { checkpoint_of(path).join(AVERAGE) } else { path.to_owned() };
    let record = ModuleRecord::load(&file).with_context(|| format!("reading weights {}", file.display()))?;
    model.try_load_record(record).with_context(|| format!("weights {} do not fit the network", file.display()))
}

/// The mean, in equal parts, of `model` and of other trainings of the same network, each a package, a record or a run. Networks that
/// were trained on from the same weights can be averaged, and what each learned amiss averages out (Wortsman et al. 2022, "Model
/// soups", arXiv 2203.05482).
pub fn mean(model: SmGeo, config: &Config, others: &[PathBuf]) -> anyhow::Result<SmGeo> {
    let mut parts = vec![checkpoint::weights_of(&model)];
    for path in others {
        parts.push(checkpoint::weights_of(&load_weights(model.clone(), config, path, &[])?));
    }
    let (model, report) = checkpoint::load(model, Weights::mean(&parts)?)?;
    report.complete()?;
    Ok(model)
}

/// The revision of the source tree a folder lies in, as git reports it.
pub fn revision() -> Option<String> {
    let output = std::process::Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::weights_of;
    use crate::data::Raster;
    use crate::data::batch::Batch;
    use crate::data::ground::{Ground, GroundBox, Source};
    use crate::data::sampler::Sampler;

    /// Small enough for a test: one block a stage, noise and DropPath on.
    const SMALL: &str = "preset = 'nano'\n[training]\nsteps = 8\nwarm_up = 2\n[data]\n[recipe]\nrows = 1\ncolumns = 2\nqueries = 1\n\
        clicks_per_query = 3\nshare_naip = 1.0\nshare_dubai = 0.0\nshare_town = 0.0\n[model]\nembed = 8\ndepths = [1, 1, 1, 1]\n\
        heads = [1, 1, 1, 1]\ndrop_path = 0.2\n[model.moe]\nblocks = [[], [0], [0], []]\n[model.template]\nchannels = 16\n";

    fn grounds() -> Arc<Vec<Ground>> {
        let speckled = |seed: usize| {
            let rgb = (0..256 * 256 * 3).map(|at| ((at / 96 * 7 + seed * 31) * 37 % 251) as u8).collect();
            Raster::from_rgb(256, 256, rgb).unwrap()
        };
        let ground = |seed: usize| Ground {
            name: format!("place-{seed}"),
            group: "town".into(),
            source: Source::Naip,
            gsd_m: 0.6,
            layers: vec![speckled(seed), speckled(seed + 100)],
            boxes: vec![GroundBox { xyxy: [100.0, 90.0, 150.0, 140.0], class: "building".into() }],
            frames: Vec::new(),
        };
        Arc::new((0..4).map(ground).collect())
    }

    fn trained(trainer: &mut Trainer, batches: &[Batch], steps: std::ops::Range<usize>) {
        steps.for_each(|step| {
            trainer.step(&batches[step..=step]);
        });
    }

    #[test]
    fn two_devices_take_the_same_step_as_one() {
        let plan: Plan = toml::from_str(SMALL).unwrap();
        let sampler = Sampler::new(grounds(), plan.recipe.clone(), 5).unwrap();
        let batches: Vec<Batch> = (0..3).map(|step| sampler.batch(step)).collect();
        let stepped = |devices: usize| {
            let devices = vec![burn::tensor::Device::flex(); devices];
            let mut trainer = Trainer::on(&plan, devices).unwrap();
            trainer.step(&batches);
            weights_of(&trainer.model)
        };
        assert_eq!(stepped(1), stepped(2));
    }

    #[test]
    fn a_frozen_encoder_keeps_its_weights_while_the_locator_learns() {
        let mut plan: Plan = toml::from_str(SMALL).unwrap();
        plan.training.frozen_encoder = true;
        let sampler = Sampler::new(grounds(), plan.recipe.clone(), 5).unwrap();
        let batch = [sampler.batch(0)];
        let mut trainer = Trainer::new(&plan).unwrap();
        let before = weights_of(&trainer.model);
        trained(&mut trainer, &batch, 0..1);
        let after = weights_of(&trainer.model);
        let changed = |name: &String| before.get(name) != after.get(name);
        let (locator, encoder): (Vec<&String>, Vec<&String>) =
            before.0.keys().partition(|name| name.starts_with("locator."));
        assert!(locator.into_iter().any(changed) && !encoder.into_iter().any(changed));
    }

    #[test]
    fn the_papers_head_is_trained_too() {
        let plan: Plan = toml::from_str(SMALL).unwrap();
        let changes = toml::from_str("fusion = 'paper'\nhead_channels = 8").unwrap();
        let plan = plan.with_model(&changes);
        let sampler = Sampler::new(grounds(), plan.recipe.clone(), 5).unwrap();
        let batch = [sampler.batch(0)];
        let mut trainer = Trainer::new(&plan).unwrap();
        let losses: Vec<f64> = (0..12).map(|_| trainer.step(&batch).loss).collect();
        assert!(losses[11] < 0.96 * losses[0], "{losses:?}");
    }

    #[test]
    fn four_steps_equal_two_steps_a_stop_and_two_more() {
        let plan: Plan = toml::from_str(SMALL).unwrap();
        let sampler = Sampler::new(grounds(), plan.recipe.clone(), 5).unwrap();
        let batches: Vec<Batch> = (0..4).map(|step| sampler.batch(step)).collect();
        let mut whole = Trainer::new(&plan).unwrap();
        trained(&mut whole, &batches, 0..4);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut first = Trainer::new(&plan).unwrap();
        trained(&mut first, &batches, 0..2);
        store.save(&first).unwrap();
        let mut second = store.load(Trainer::new(&plan).unwrap()).unwrap();
        assert_eq!(second.step, 2);
        trained(&mut second, &batches, 2..4);
        assert_eq!(weights_of(&second.model), weights_of(&whole.model));
        assert_eq!(weights_of(&second.average), weights_of(&whole.average));
        assert_ne!(weights_of(&second.model), weights_of(&first.model));
    }

    #[test]
    fn a_checkpoint_is_found_wherever_saving_was_interrupted() {
        let plan: Plan = toml::from_str(SMALL).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut trainer = Trainer::new(&plan).unwrap();
        let mut save = |step: u64| {
            trainer.step = step;
            store.save(&trainer).unwrap();
        };
        save(1);
        let [current, fresh, old] = [CURRENT, FRESH, OLD].map(|name| store.path(name));
        let step = || store.load(Trainer::new(&plan).unwrap()).unwrap().step;

        // Half written beside a whole one.
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join(STATE), "{\"st").unwrap();
        assert_eq!((store.has_checkpoint(), step()), (true, 1));
        // The last one is aside, the new one not in place yet.
        fs::remove_dir_all(&fresh).unwrap();
        fs::rename(&current, &old).unwrap();
        assert_eq!((store.has_checkpoint(), step()), (true, 1));
        save(2);
        assert_eq!((step(), fresh.exists(), old.exists()), (2, false, false));
        // The first of a run, written but not in place yet; saving the next must not begin by removing it.
        fs::rename(&current, &fresh).unwrap();
        assert_eq!((store.has_checkpoint(), step()), (true, 2));
        save(3);
        assert_eq!((step(), fresh.exists(), old.exists()), (3, false, false));
        // Half removed.
        fs::rename(&current, &fresh).unwrap();
        fs::create_dir(&current).unwrap();
        fs::write(current.join(STATE), "{\"step\": 2}").unwrap();
        assert_eq!(step(), 3);
        fs::remove_dir_all(&fresh).unwrap();
        assert!(!store.has_checkpoint());
        let error = store.load(Trainer::new(&plan).unwrap()).err().unwrap();
        assert!(format!("{error:#}").contains("model.bpk"), "{error:#}");
    }
}
