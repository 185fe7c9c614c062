//! A training run from start or checkpoint to its last step.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use burn::module::Module;
use burn::tensor::Device;
use indicatif::{ProgressBar, ProgressStyle};

use super::journal::{Entry, Journal};
use super::look::Look;
use super::store::{self, Provenance, Store};
use super::trainer::StepReport;
use super::{Plan, Trainer, start};
use crate::data::feed::{Feed, Source};
use crate::data::library::Library;
use crate::data::pair_sampler::PairSampler;
use crate::data::sampler::Sampler;

/// Steps between lines of the log; each holds their mean.
const LOG_EVERY: u64 = 10;

/// Trains along a plan in a folder. With `resume` it goes on from the folder's checkpoint, which must have been trained along this plan
/// on this data; without, the folder must not hold one, so that no weights are overwritten by mistake.
pub fn train(plan: &Plan, folder: &Path, resume: bool) -> anyhow::Result<()> {
    let store = Store::open(folder)?;
    let data = Data::read(plan).context("reading the training data")?;
    let mut trainer = Trainer::new(plan)?;
    if resume {
        store.resume(plan, &data.hash()?).context("resuming")?;
        trainer = store.load(trainer).context("resuming")?;
    } else if store.has_checkpoint() {
        bail!("{} holds a checkpoint: add --resume to go on from it, or name another folder", folder.display());
    } else {
        if let Some(path) = &plan.training.start_from {
            let config = trainer.config().clone();
            let fresh = &plan.training.start_fresh;
            trainer.model = start::started(trainer.model, &config, path, fresh)?;
            trainer.average = trainer.model.valid();
        }
        let (data_sha256, revision) = (data.hash()?, store::revision());
        store.begin(plan, &Provenance { data_sha256, revision, seed: plan.training.seed })?;
    }
    Run::new(plan, store, data, trainer)?.finish()
}

/// What a run is trained on and looks at.
enum Data {
    Grounds(Library),
    Pairs { trained: Box<PairSampler>, held_out: Option<Box<PairSampler>> },
}

impl Data {
    fn read(plan: &Plan) -> anyhow::Result<Self> {
        let data = &plan.data;
        if data.pairs.is_empty() {
            return Ok(Self::Grounds(Library::read(data)?));
        }
        if data.naip.is_some() || data.dubai.is_some() || data.towns.is_some() {
            bail!("data.pairs stands alone: leave out naip, dubai and towns, or pairs");
        }
        let open = |folders: &[std::path::PathBuf], seed| PairSampler::open(folders, &plan.recipe, seed).map(Box::new);
        let held_out = (!data.pairs_held_out.is_empty()).then(|| open(&data.pairs_held_out, Look::SEED));
        Ok(Self::Pairs { trained: open(&data.pairs, plan.training.seed)?, held_out: held_out.transpose()? })
    }

    fn hash(&self) -> anyhow::Result<String> {
        Ok(match self {
            Self::Grounds(library) => library.hash(),
            Self::Pairs { trained, .. } => trained.hash()?,
        })
    }

    fn source(&self, plan: &Plan) -> anyhow::Result<Source> {
        Ok(match self {
            Self::Grounds(library) => {
                let trained = Arc::clone(&library.trained);
                Source::Grounds(Sampler::new(trained, plan.recipe.clone(), plan.training.seed)?)
            }
            Self::Pairs { trained, .. } => Source::Pairs((**trained).clone()),
        })
    }

    fn look(&self, plan: &Plan, stride_px: usize) -> anyhow::Result<Look> {
        let count = plan.training.evaluate_batches;
        Ok(match self {
            Self::Grounds(library) => Look::new(&library.held_out, &plan.recipe, count, stride_px)?,
            Self::Pairs { held_out, .. } => Look::at_pairs(held_out.as_deref(), count, stride_px)?,
        })
    }
}

struct Run<'a> {
    plan: &'a Plan,
    store: Store,
    trainer: Trainer,
    journal: Journal,
    look: Look,
    feed: Feed,
    bar: ProgressBar,
    began: Instant,
    saved: Instant,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, store: Store, data: Data, trainer: Trainer) -> anyhow::Result<Self> {
        let training = &plan.training;
        let stride_px = trainer.config().stride_px();
        let look = data.look(plan, stride_px)?;
        let first = trainer.step * training.accumulate as u64;
        Ok(Self {
            journal: Journal::open(&store.path("log.ndjson"), trainer.step)?,
            feed: Feed::start(&data.source(plan)?, first, training.feed_threads)
                .context("starting the data threads")?,
            bar: progress(training.steps, trainer.step),
            began: Instant::now(),
            saved: Instant::now(),
            plan,
            store,
            trainer,
            look,
        })
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let training = &self.plan.training;
        let mut recent = Vec::new();
        while self.trainer.step < training.steps {
            let batches: Option<Vec<_>> = (0..training.accumulate).map(|_| self.feed.take()).collect();
            let batches: Result<Vec<_>, _> = batches.context("a data thread died")?.into_iter().collect();
            let report = self.trainer.step(&batches.context("making a batch")?);
            recent.push(report);
            self.bar.set_position(self.trainer.step);
            self.bar.set_message(format!("loss {:.3} hits {:.2}", report.loss, report.hits));
            if self.trainer.step.is_multiple_of(LOG_EVERY) {
                self.log(&recent)?;
                recent.clear();
            }
            if training.evaluate_every > 0 && self.trainer.step.is_multiple_of(training.evaluate_every) {
                self.look_at_held_out()?;
            }
            if self.saved.elapsed() >= Duration::from_secs_f64(training.checkpoint_minutes * 60.0) {
                self.store.save(&self.trainer)?;
                self.saved = Instant::now();
            }
        }
        // The last step is looked at whatever its number, unless no look is wanted at all.
        if training.evaluate_every > 0 && !training.steps.is_multiple_of(training.evaluate_every) {
            self.look_at_held_out()?;
        }
        self.store.save(&self.trainer)?;
        self.bar.finish();
        Ok(())
    }

    fn log(&mut self, recent: &[StepReport]) -> anyhow::Result<()> {
        let mean = |value: fn(&StepReport) -> f64| recent.iter().map(value).sum::<f64>() / recent.len().max(1) as f64;
        let values = [
            ("loss", mean(|report| report.loss)),
            ("place", mean(|report| report.place)),
            ("bounds", mean(|report| report.bounds)),
            ("entropy", mean(|report| report.entropy)),
            ("gradient", mean(|report| report.gradient)),
            ("rate", mean(|report| report.rate)),
            ("hits", mean(|report| report.hits)),
            ("clicks", mean(|report| report.clicks as f64)),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.write(values)
    }

    fn look_at_held_out(&mut self) -> anyhow::Result<()> {
        let values = self.look.measure(&self.trainer.average, &Device::default());
        let text: Vec<String> = values.iter().map(|(name, value)| format!("{name} {:.1} %", 100.0 * value)).collect();
        self.bar.println(format!("step {}: held out {}", self.trainer.step, text.join(", ")));
        tracing::info!(step = self.trainer.step, ?values, "held out");
        self.write(values)
    }

    fn write(&mut self, values: std::collections::BTreeMap<String, f64>) -> anyhow::Result<()> {
        self.journal.write(&Entry { step: self.trainer.step, seconds: self.began.elapsed().as_secs_f64(), values })
    }
}

fn progress(steps: u64, done: u64) -> ProgressBar {
    let style = "{bar:30} {pos}/{len} {per_sec} {elapsed_precise} eta {eta_precise} {msg}";
    let bar =
        ProgressBar::new(steps).with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    bar.set_position(done);
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint;
    use crate::data::Raster;
    use crate::data::pair_set::{Pair, PairWriter};
    use crate::model::SmGeo;
    use crate::training::journal;

    const PLAN: &str = "preset = 'nano'\n[training]\nsteps = 1\nwarm_up = 1\nevaluate_every = 0\nevaluate_batches = 1\n\
        [recipe]\nqueries = 1\n[model]\nembed = 8\ndepths = [1, 1, 1, 1]\nheads = [1, 1, 1, 1]\n\
        [model.moe]\nblocks = [[], [0], [0], []]\n[model.template]\nchannels = 16\n";

    fn write_pairs(folder: &Path, shade: u8) {
        let mut writer = PairWriter::create(folder).unwrap();
        let reference = writer.window(&Raster::filled(256, 256, [shade; 3])).unwrap();
        let pair = Pair {
            query: String::new(),
            reference,
            click: [100.0, 40.0],
            box_xyxy: [10.0, 20.0, 50.0, 40.0],
            gsd_m: 0.6,
            class: "building".into(),
            group: "a".into(),
            rectified: true,
        };
        writer.pair(&Raster::filled(256, 256, [80; 3]), pair).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn a_run_starts_from_a_checkpoint_of_another_network() {
        let checkpoints = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/checkpoints"));
        if !checkpoints.is_dir() {
            println!("skipped: starting from a checkpoint needs ../shared/golden/checkpoints");
            return;
        }
        let mini = "[model]\nembed = 8\ndepths = [2, 2, 4, 2]\nheads = [1, 2, 4, 8]\nhead_channels = 16\n";
        let tiny = "[model.moe]\nblocks = [[], [0], [0, 2], [0]]\n[model.template]\nchannels = 16\n";
        let released = "window = 4\nmlp_ratio = 2.0\n[model.moe]\nblocks = [[], [0, 1], [0, 2], [0, 1]]\nhidden_ratio = 2.0\n\
            [model.template]\nchannels = 16\n";
        let swin = "stages.2.blocks.1.mlp.fc1.weight";
        let cases = [
            ("microsoft_mini.pth", "tiny", tiny.to_owned(), swin),
            ("timm_mini.safetensors", "tiny", format!("fusion = 'paper'\n{tiny}"), swin),
            ("released_mini.pth", "released", released.to_owned(), "head.conv1.weight"),
            ("released_mini.pth", "released", format!("fusion = 'template'\n{released}"), "merges.0.reduction.weight"),
        ];
        for (file, preset, model, name) in cases {
            let folder = tempfile::tempdir().unwrap();
            let (pairs, out) = (folder.path().join("pairs"), folder.path().join("run"));
            write_pairs(&pairs, 90);
            let path = checkpoints.join(file);
            // A rate of nothing leaves the weights as they were read.
            let training = format!("steps = 1\nrate = 0.0\nevaluate_every = 0\nstart_from = {path:?}\n");
            let text = format!("preset = '{preset}'\n[training]\n{training}[data]\npairs = [{pairs:?}]\n{mini}{model}");
            let plan: Plan = toml::from_str(&text).unwrap();
            train(&plan, &out, false).unwrap();
            let config = plan.config().unwrap();
            let model =
                store::load_weights(SmGeo::new(&config, &Device::default()).unwrap(), &config, &out, &[]).unwrap();
            let (kept, read) = (checkpoint::weights_of(&model), checkpoint::recognised(&path, &config).unwrap().1);
            let [found, wanted] = [&kept, &read].map(|weights| &weights.get(name).unwrap().values);
            let far = |worst: f32, (found, wanted): (&f32, &f32)| worst.max((found - wanted).abs());
            let worst = found.iter().zip(wanted).fold(0.0, far);
            assert!(found.len() == wanted.len() && worst < 1e-6, "{file}: {name} differs by {worst}");
        }
    }

    #[test]
    fn a_run_goes_on_only_along_its_plan_and_on_its_data_and_looks_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (pairs, out) = (folder.path().join("pairs"), folder.path().join("run"));
        write_pairs(&pairs, 90);
        let data = format!("[data]\npairs = [{pairs:?}]\npairs_held_out = [{pairs:?}]\n");
        let plan: Plan = toml::from_str(&format!("{PLAN}{data}")).unwrap();
        let looks = || {
            let entries = journal::read(&out.join("log.ndjson")).unwrap();
            entries.iter().filter(|entry| !entry.values.contains_key("loss")).count()
        };
        train(&plan, &out, false).unwrap();
        assert_eq!(looks(), 0);

        let mut steeper = plan.clone();
        steeper.training.rate *= 2.0;
        let error = format!("{:#}", train(&steeper, &out, true).unwrap_err());
        assert!(error.contains("plan.toml") && error.contains("training.rate"), "{error}");

        let mut longer = plan.clone();
        (longer.training.steps, longer.training.evaluate_every) = (2, 5);
        train(&longer, &out, true).unwrap();
        assert_eq!(looks(), 1);
        assert_eq!(Store::open(&out).unwrap().plan().unwrap(), longer);

        std::fs::remove_dir_all(&pairs).unwrap();
        write_pairs(&pairs, 91);
        let error = format!("{:#}", train(&longer, &out, true).unwrap_err());
        assert!(error.contains("training data") && error.contains("provenance.json"), "{error}");
    }
}
