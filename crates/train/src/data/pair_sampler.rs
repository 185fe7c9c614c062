//! Draws training batches from pair sets: a window with the queries that ask about it, and some that ask about another.

use std::path::PathBuf;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use smgeo_engine::{EncoderImage, TILE_PX};

use super::DataError;
use super::batch::{Batch, Click};
use super::look::Look;
use super::pair_set::{Pair, PairSet};
use super::recipe::Recipe;
use super::sampler::tiles_of;

/// A window picture with its pairs, as indices of the set and of its pairs.
#[derive(Clone, Debug)]
struct Window {
    set: usize,
    pairs: Vec<usize>,
}

/// Draws batches from pair sets. Batch `n` depends on the seed and on `n` alone.
#[derive(Clone)]
pub struct PairSampler {
    sets: Arc<Vec<PairSet>>,
    windows: Vec<Window>,
    recipe: Recipe,
    seed: u64,
}

impl PairSampler {
    /// Opens sets. Of the recipe, `queries`, `absent` and `look` count; windows have the size of their pictures.
    pub fn open(folders: &[PathBuf], recipe: &Recipe, seed: u64) -> Result<Self, DataError> {
        let sets = folders.iter().map(|folder| PairSet::open(folder)).collect::<Result<Vec<_>, _>>()?;
        let mut windows = Vec::new();
        for (set, pairs) in sets.iter().enumerate() {
            let mut by_reference = std::collections::BTreeMap::<_, Vec<usize>>::new();
            for (index, pair) in pairs.pairs.iter().enumerate() {
                by_reference.entry(&pair.reference).or_default().push(index);
            }
            windows.extend(by_reference.into_values().map(|pairs| Window { set, pairs }));
        }
        if windows.is_empty() {
            return Err(DataError::NoGround("the pair sets are empty".into()));
        }
        Ok(Self { sets: Arc::new(sets), windows, recipe: recipe.clone(), seed })
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(step);
        let place = rng.random_range(0..self.windows.len());
        let window = &self.windows[place];
        let set = &self.sets[window.set];
        let picture = set.reference(&set.pairs[window.pairs[0]])?;
        let picture = Look::satellite(&mut rng, self.recipe.look).apply(&picture, &mut rng);
        let (rows, columns) = (picture.height().div_ceil(TILE_PX), picture.width().div_ceil(TILE_PX));
        let whole = picture.crop(0, 0, columns * TILE_PX, rows * TILE_PX, [0; 3]);
        let mut batch = Batch { step, rows, columns, tiles: tiles_of(&whole), queries: Vec::new(), clicks: Vec::new() };
        let first = rng.random_range(0..window.pairs.len());
        for turn in 0..self.recipe.queries.min(window.pairs.len()) {
            let pair = &set.pairs[window.pairs[(first + turn) % window.pairs.len()]];
            add(&mut batch, set.query(pair)?, Some(pair));
            if rng.random_bool(self.recipe.absent) && self.windows.len() > 1 {
                let other = &self.windows[(place + rng.random_range(1..self.windows.len())) % self.windows.len()];
                let elsewhere = &self.sets[other.set];
                add(&mut batch, elsewhere.query(&elsewhere.pairs[other.pairs[0]])?, None);
            }
        }
        Ok(batch)
    }

    /// SHA-256 over the pairs and the bytes of their pictures, in hexadecimal.
    pub fn hash(&self) -> Result<String, DataError> {
        let mut hash = Sha256::new();
        for (set, pair) in self.sets.iter().flat_map(|set| set.pairs.iter().map(move |pair| (set, pair))) {
            hash.update(
                pair.click.iter().chain(&pair.box_xyxy).flat_map(|edge| edge.to_le_bytes()).collect::<Vec<_>>(),
            );
            for name in [&pair.query, &pair.reference] {
                let path = set.path(name);
                hash.update(std::fs::read(&path).map_err(|source| DataError::Read { path, source })?);
            }
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// Adds a query with its click; without a pair the window does not contain what it shows.
fn add(batch: &mut Batch, (image, at): (EncoderImage, [f32; 2]), pair: Option<&Pair>) {
    let bounds = pair.map(|pair| pair.box_xyxy.map(|edge| edge as f32));
    let query = batch.queries.len();
    batch.queries.push(image);
    batch.clicks.push(Click {
        query,
        at,
        target: bounds.map(|[x0, y0, x1, y1]| [(x0 + x1) / 2.0, (y0 + y1) / 2.0]),
        box_xyxy: bounds,
        object: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Raster;
    use crate::data::pair_set::PairWriter;

    fn written(folder: &std::path::Path) {
        let mut writer = PairWriter::create(folder).unwrap();
        for window in 0..3 {
            let reference = writer.window(&Raster::filled(512, 300, [window * 60; 3])).unwrap();
            for query in 0..2 {
                let pair = Pair {
                    query: String::new(),
                    reference: reference.clone(),
                    click: [100.0, 40.0 + f64::from(query)],
                    box_xyxy: [10.0, 20.0, 50.0, 40.0],
                    gsd_m: 0.6,
                    class: "building".into(),
                    group: window.to_string(),
                };
                writer.pair(&Raster::filled(256, 256, [80; 3]), pair).unwrap();
            }
        }
    }

    #[test]
    fn a_batch_holds_one_window_with_its_queries_and_some_that_look_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let recipe = Recipe { absent: 1.0, ..Recipe::default() };
        let sampler = PairSampler::open(&[folder.path().into()], &recipe, 7).unwrap();
        let batch = sampler.batch(3).unwrap();
        assert_eq!((batch.rows, batch.columns, batch.tiles.len()), (2, 2, 4));
        let targets: Vec<_> = batch.clicks.iter().map(|click| click.target).collect();
        assert_eq!(targets, [Some([30.0, 30.0]), None, Some([30.0, 30.0]), None]);
        assert_eq!(sampler.batch(3).unwrap().clicks, batch.clicks);
        assert_eq!(sampler.hash().unwrap().len(), 64);
    }

    #[test]
    fn an_empty_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        PairWriter::create(folder.path()).unwrap();
        assert!(PairSampler::open(&[folder.path().into()], &Recipe::default(), 1).is_err());
    }
}
