//! What each subcommand does, in a few lines on top of the library.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use smgeo_train::data::library::Library;
use smgeo_train::data::sampler::Sampler;
use smgeo_train::training::{Plan, run};
use smgeo_train::view::contact_sheet;

/// `train`.
pub fn train(config: &Path, out: &Path, resume: bool) -> anyhow::Result<()> {
    run::train(&Plan::read(config)?, out, resume)
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
