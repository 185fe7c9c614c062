//! A quick look at held-out ground while training: the same batches every time, so that looks compare.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;

use super::trainer::{forward, hits};
use crate::data::DataError;
use crate::data::batch::{Batch, Click};
use crate::data::ground::{Ground, Source};
use crate::data::pair_sampler::PairSampler;
use crate::data::recipe::Recipe;
use crate::data::sampler::Sampler;
use crate::eval::rectangle::{decode_boxes, iou};
use crate::model::{Pass, SmGeo};

/// Fixed held-out batches, by source.
pub struct Look {
    batches: BTreeMap<&'static str, Vec<Batch>>,
    stride_px: usize,
}

impl Look {
    /// Seed of the batches that are looked at; it never depends on the run.
    pub const SEED: u64 = 0x6c6f_6f6b;

    /// Draws `count` batches of pairs; looks at nothing where none are held out.
    pub fn at_pairs(pairs: Option<&PairSampler>, count: usize, stride_px: usize) -> Result<Self, DataError> {
        let mut batches = BTreeMap::new();
        if let Some(pairs) = pairs {
            batches.insert("pairs", (0..count as u64).map(|step| pairs.batch(step)).collect::<Result<_, _>>()?);
        }
        Ok(Self { batches, stride_px })
    }

    /// Draws `count` batches of each source that is held out.
    pub fn new(grounds: &Arc<Vec<Ground>>, recipe: &Recipe, count: usize, stride_px: usize) -> Result<Self, DataError> {
        let mut batches = BTreeMap::new();
        for (name, source) in [("naip", Source::Naip), ("dubai", Source::Dubai), ("town", Source::Town)] {
            if !grounds.iter().any(|ground| ground.source == source) {
                continue;
            }
            let share = |other: Source| f64::from(u8::from(other == source));
            let recipe = Recipe {
                share_naip: share(Source::Naip),
                share_dubai: share(Source::Dubai),
                share_town: share(Source::Town),
                ..recipe.clone()
            };
            let sampler = Sampler::new(grounds.clone(), recipe, Self::SEED)?;
            batches.insert(name, (0..count as u64).map(|step| sampler.batch(step)).collect());
        }
        Ok(Self { batches, stride_px })
    }

    /// Measures a network (without autodiff): per source the share of hits over all clicks and acc@0.25 over boxed ones.
    pub fn measure(&self, model: &SmGeo, device: &Device) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for (name, batches) in &self.batches {
            let (mut hit, mut clicks, mut good, mut boxed) = (0.0, 0, 0, 0);
            for batch in batches {
                let (maps, _) = forward(model, batch, &mut Pass::default(), device);
                hit += hits(&maps, &batch.clicks, self.stride_px, model.locator.template.is_some())
                    * batch.clicks.len() as f64;
                clicks += batch.clicks.len();
                let guesses = decode_boxes(&maps, self.stride_px);
                let pairs = guesses.iter().zip(&batch.clicks);
                let overlaps: Vec<f64> = pairs.filter_map(|(guess, click)| overlap(guess, click)).collect();
                good += overlaps.iter().filter(|overlap| **overlap > 0.25).count();
                boxed += overlaps.len();
            }
            values.insert(format!("{name}.hits"), hit / clicks.max(1) as f64);
            values.insert(format!("{name}.acc25"), good as f64 / boxed.max(1) as f64);
        }
        values
    }
}

fn overlap(guess: &[f64; 4], click: &Click) -> Option<f64> {
    let truth = click.box_xyxy.filter(|_| click.target.is_some())?;
    Some(iou(guess, &truth.map(f64::from)))
}
