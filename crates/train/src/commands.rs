//! What each subcommand does, in a few lines on top of the library.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::Device;
use smgeo_engine::witness::Witnesses;
use smgeo_engine::{Package, RtenBackend, RtenConfig};
use smgeo_train::ablation::{self, Row, Study, Variant};
use smgeo_train::checkpoint;
use smgeo_train::data::cvogl as reader;
use smgeo_train::data::library::Library;
use smgeo_train::data::ortho::{self, Report, Request};
use smgeo_train::data::pair_set::{self, PairSet};
use smgeo_train::data::sampler::Sampler;
use smgeo_train::data::{town, town_folder};
use smgeo_train::eval::answer::{Asked, LaidOut, answers};
use smgeo_train::eval::measured::Measured;
use smgeo_train::eval::predictor::{Predictor, Weights};
use smgeo_train::eval::report::evaluate;
use smgeo_train::export::{self, Form, Passport};
use smgeo_train::model::{Config, SmGeo};
use smgeo_train::training::store::{Provenance, Store};
use smgeo_train::training::{Plan, journal, run, store};
use smgeo_train::view::{answer_sheet, contact_sheet, expert_sheet, plot as drawing};

use crate::{OrthoArgs, PairsArgs};

/// `train`.
pub fn train(config: &Path, out: &Path, resume: bool) -> anyhow::Result<()> {
    run::train(&Plan::read(config)?, out, resume)
}

/// `towns`.
pub fn towns(out: &Path, first: u64, count: u64, frames: usize) -> anyhow::Result<()> {
    for seed in first..first + count {
        let began = Instant::now();
        let ground = town::render(seed, frames)?;
        town_folder::write(&ground, seed, out)?;
        let (objects, frames) = (ground.boxes.len(), ground.frames.len());
        println!("{}: {objects} objects, {frames} frames, {:.1} s", ground.name, began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// `pairs`.
pub fn pairs(drawn: &PairsArgs) -> anyhow::Result<()> {
    let library = Library::read(&Plan::read(&drawn.config)?.data)?;
    let grounds = if drawn.trained { library.trained } else { library.held_out };
    let mut recipe = pair_set::recipe(drawn.source.into(), drawn.unposed);
    if let Some(gsd_m) = drawn.gsd_m {
        recipe = pair_set::at_scale(recipe, &grounds, gsd_m)?;
    }
    let sampler = Sampler::new(grounds, recipe, drawn.seed)?;
    let written = pair_set::write_drawn(&sampler, drawn.count, &drawn.out)?;
    println!("{written} pairs in {}", drawn.out.display());
    Ok(())
}

/// Opens what `eval` measures.
pub fn predictor(package: Option<&Path>, weights: Option<&Path>) -> anyhow::Result<Box<dyn Predictor>> {
    match (package, weights) {
        (Some(package), _) => {
            let package = Package::open(package)?;
            Ok(Box::new(RtenBackend::new(&package, &RtenConfig::default())?))
        }
        (None, Some(run)) => {
            let (config, model) = trained(run)?;
            Ok(Box::new(Weights::new(model, &config)))
        }
        (None, None) => bail!("name a --package or --weights"),
    }
}

/// The averaged weights of a run, with their configuration.
fn trained(run: &Path) -> anyhow::Result<(Config, SmGeo)> {
    let config = Plan::read(&run.join("plan.toml"))?.config()?;
    let model = store::load_weights(SmGeo::new(&config, &Device::default())?, &config, run, &[])?;
    Ok((config, model))
}

/// `eval`.
pub fn eval(
    predictor: &mut dyn Predictor,
    pairs: &Path,
    report: Option<&Path>,
    laid_out: LaidOut,
    witnesses: Witnesses,
    controls: bool,
) -> anyhow::Result<()> {
    let set = PairSet::open(pairs)?;
    let measured = evaluate(predictor, &set, laid_out, witnesses, controls)?;
    print!("{measured}");
    if let Some(path) = report {
        let text = serde_json::to_string_pretty(&measured)?;
        std::fs::write(path, text).with_context(|| format!("writing report {}", path.display()))?;
    }
    Ok(())
}

/// `inspect`. Only weights in the training framework can be asked for their experts.
pub fn inspect(
    predictor: &mut dyn Predictor,
    run: Option<&Path>,
    pairs: &Path,
    out: &Path,
    count: usize,
) -> anyhow::Result<()> {
    let set = PairSet::open(pairs)?;
    // What is drawn is the network's own answer.
    let told = answers(predictor, &set, &[Asked::Own], LaidOut::BySize, Witnesses::NotHeard)?.remove(0);
    let model = run.map(trained).transpose()?;
    std::fs::create_dir_all(out).with_context(|| format!("making folder {}", out.display()))?;
    for answer in told.iter().step_by((told.len() / count.max(1)).max(1)) {
        let sheet = answer_sheet::of_answer(&set, answer, predictor.stride_px())?;
        sheet.save(&out.join(format!("answer-{:04}.png", answer.pair)))?;
        let Some((_, model)) = &model else { continue };
        if let Some(sheet) = expert_sheet::of_pair(model, &set, &set.pairs[answer.pair])? {
            sheet.save(&out.join(format!("experts-{:04}.png", answer.pair)))?;
        }
    }
    Ok(())
}

/// `ortho`.
pub fn ortho(wanted: OrthoArgs) -> anyhow::Result<()> {
    let OrthoArgs { files, out, gsd_m, source_gsd_m, city, boxes } = wanted;
    if [Some(gsd_m), source_gsd_m].into_iter().flatten().any(|size| !(size.is_finite() && size > 0.0)) {
        bail!("--gsd-m and --source-gsd-m are metres a pixel, more than 0");
    }
    let report = ortho::cut(&Request { files, out: out.clone(), gsd_m, source_gsd_m, city, boxes })?;
    let Report { places, held_out, pictures, boxes, boxes_held_out } = report;
    let name = ortho::HELD_OUT;
    println!(
        "{places} places, {pictures} pictures in {}: {held_out} places are held out as the city {name}",
        out.display()
    );
    match boxes_held_out {
        0 => println!(
            "{boxes} boxes, none of them held out: training works, but `pairs` draws nothing, so nothing can be measured; \
             --boxes gives footprints of buildings"
        ),
        _ => println!("{boxes} boxes, {boxes_held_out} of them held out for `pairs`"),
    }
    Ok(())
}

/// `cvogl`.
pub fn cvogl(folder: &Path, split: &str, out: &Path) -> anyhow::Result<()> {
    let count = reader::convert(folder, split, out)?;
    println!("{count} pairs in {}", out.display());
    Ok(())
}

/// Metres a pixel of a web map's zoom 18 at the equator, and of the aerial imagery that was trained on.
const GSD_M_USUAL: f64 = 0.6;

/// `export`.
pub fn export(
    run: &Path,
    mean_with: &[PathBuf],
    out: &Path,
    name: &str,
    form: Form,
    gsd_m_range: [f64; 2],
    reports: &[PathBuf],
) -> anyhow::Result<()> {
    let [finest, coarsest] = gsd_m_range;
    if !(finest > 0.0 && finest <= coarsest && coarsest.is_finite()) {
        bail!("--gsd-m {finest} {coarsest}: give metres a pixel, the finest first");
    }
    let Measured { temperature, metrics } = Measured::read(reports)?;
    let (config, model) = trained(run)?;
    let model = store::mean(model, &config, mean_with)?;
    let provenance = std::fs::read_to_string(run.join("provenance.json")).context("reading the run's provenance")?;
    let provenance: Provenance = serde_json::from_str(&provenance).context("reading the run's provenance")?;
    let mut training = toml::Table::try_from(&provenance)?;
    if !mean_with.is_empty() {
        training.insert("trainings_averaged".to_owned(), toml::Value::Integer(1 + mean_with.len() as i64));
    }
    // What most maps have, where it was trained on that.
    let gsd_m = GSD_M_USUAL.clamp(finest, coarsest);
    let passport =
        Passport { name: name.to_owned(), gsd_m, gsd_m_range, temperature: temperature as f32, training, metrics };
    let package = export::export(&model, &config, passport, form, out)?;
    println!("package {} in {}", package.hash().short(), out.display());
    Ok(())
}

/// `view`.
pub fn view(config: &Path, out: &Path, count: u64, held_out: bool) -> anyhow::Result<()> {
    let plan = Plan::read(config)?;
    let library = Library::read(&plan.data)?;
    let grounds = if held_out { library.held_out } else { library.trained };
    let sampler = Sampler::new(grounds, plan.recipe.clone(), plan.training.seed)?;
    std::fs::create_dir_all(out).with_context(|| format!("making folder {}", out.display()))?;
    let began = Instant::now();
    for step in 0..count {
        let batch = sampler.batch(step);
        contact_sheet::of_batch(&batch).save(&out.join(format!("batch-{step:03}.png")))?;
    }
    println!("{count} batches in {:.2} s with drawing", began.elapsed().as_secs_f64());
    Ok(())
}

/// `plot`.
pub fn plot(run: &Path, out: &Path) -> anyhow::Result<()> {
    let entries = journal::read(&run.join("log.ndjson"))?;
    drawing::write(&entries, out).with_context(|| format!("writing {}", out.display()))
}

/// `ablate`.
pub fn ablate(config: &Path, pairs: &Path, out: &Path, steps: u64, studies: &[Study]) -> anyhow::Result<()> {
    let mut plan = Plan::read(config)?;
    plan.training.steps = steps;
    plan.training.warm_up = plan.training.warm_up.min(steps / 10);
    // Looks would cost more than the steps between them.
    plan.training.evaluate_every = 0;
    let set = PairSet::open(pairs)?;
    let mut text = String::new();
    for &study in studies {
        let variants = study.variants(&plan)?.into_iter();
        let rows: Vec<Row> = variants.map(|variant| row(study, variant, &set, out)).collect::<anyhow::Result<_>>()?;
        let table = ablation::table(study, steps, &rows);
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
    }
    std::fs::write(out.join("tables.md"), text).with_context(|| format!("writing tables in {}", out.display()))
}

/// Trains a variant, or goes on with it, and measures it.
fn row(study: Study, variant: Variant, set: &PairSet, out: &Path) -> anyhow::Result<Row> {
    let folder = out.join(format!("{study:?} {}", variant.name).to_lowercase().replace(' ', "-"));
    let store = Store::open(&folder)?;
    let resume = store.has_checkpoint();
    if resume {
        ablation::check_steps(&store, variant.plan.training.steps)?;
    }
    run::train(&variant.plan, &folder, resume).with_context(|| format!("variant {}", variant.name))?;
    let (config, model) = trained(&folder)?;
    let parameters = checkpoint::parameters(&model).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let report = evaluate(&mut Weights::new(model, &config), set, LaidOut::BySize, Witnesses::NotHeard, false)?;
    Ok(Row { name: variant.name, parameters, report })
}
