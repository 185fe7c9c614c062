//! Draws training batches from pair sets: a window with the queries that ask about it, and some that ask about another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smgeo_engine::{EncoderImage, TILE_PX};

use super::DataError;
use super::batch::{Batch, Click};
use super::fingerprint::Fingerprint;
use super::look::Look;
use super::pair_set::{Pair, PairSet};
use super::recipe::Recipe;
use super::sampler::tiles_of;

/// A window picture with its pairs, as indices of the set and of its pairs, and the ground it shows.
#[derive(Clone, Debug)]
struct Window {
    set: usize,
    pairs: Vec<usize>,
    groups: BTreeSet<String>,
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
            let mut by_reference = BTreeMap::<_, Vec<usize>>::new();
            for (index, pair) in pairs.pairs.iter().enumerate() {
                by_reference.entry(&pair.reference).or_default().push(index);
            }
            windows.extend(by_reference.into_values().map(|indices| {
                let groups = indices.iter().map(|&index| ground_of(set, &pairs.pairs[index])).collect();
                Window { set, pairs: indices, groups }
            }));
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
            if rng.random_bool(self.recipe.absent)
                && let Some((elsewhere, pair)) = self.elsewhere(place, &mut rng)
            {
                add(&mut batch, elsewhere.query(pair)?, None);
            }
        }
        Ok(batch)
    }

    /// Draws a pair whose object is not in the window at `place`: one of another group, since windows of one show the same ground.
    /// Nothing where there is no other.
    fn elsewhere(&self, place: usize, rng: &mut ChaCha8Rng) -> Option<(&PairSet, &Pair)> {
        let here = &self.windows[place].groups;
        let others: Vec<&Window> = self.windows.iter().filter(|window| window.groups.is_disjoint(here)).collect();
        if others.is_empty() {
            return None;
        }
        let other = others[rng.random_range(0..others.len())];
        let set = &self.sets[other.set];
        Some((set, &set.pairs[other.pairs[rng.random_range(0..other.pairs.len())]]))
    }

    /// SHA-256 over the pairs and the bytes of their pictures, in hexadecimal.
    pub fn hash(&self) -> Result<String, DataError> {
        let mut fingerprint = Fingerprint::default();
        for set in self.sets.iter() {
            fingerprint.count(set.pairs.len());
            for pair in &set.pairs {
                fingerprint.pair(pair);
                for name in [&pair.query, &pair.reference] {
                    let path = set.path(name);
                    fingerprint.bytes(&std::fs::read(&path).map_err(|source| DataError::Read { path, source })?);
                }
            }
        }
        Ok(fingerprint.finish())
    }
}

/// What ground a pair lies on, by the name that all sets have for it; where none is named, by its picture in its set.
fn ground_of(set: usize, pair: &Pair) -> String {
    match pair.group.as_str() {
        "" => format!("{set}/{}", pair.reference),
        group => group.to_owned(),
    }
}

/// Adds a query with its click; without a pair the window does not contain what it shows.
fn add(batch: &mut Batch, (image, at): (EncoderImage, [f32; 2]), pair: Option<&Pair>) {
    let bounds = pair.map(|pair| pair.box_xyxy.map(|edge| edge as f32));
    let target = bounds.map(|[x0, y0, x1, y1]| [(x0 + x1) / 2.0, (y0 + y1) / 2.0]);
    let query = batch.queries.len();
    batch.queries.push(image);
    batch.clicks.push(Click { query, at, target, shown: target, box_xyxy: bounds, object: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Raster;
    use crate::data::pair_set::PairWriter;

    /// Three windows of two queries each; the queries' shade says which they are.
    fn written(folder: &std::path::Path, group_of: fn(u8) -> &'static str) {
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
                    group: group_of(window).into(),
                    rectified: true,
                };
                writer.pair(&Raster::filled(256, 256, [shade(window, query); 3]), pair).unwrap();
            }
        }
        writer.finish().unwrap();
    }

    fn shade(window: u8, query: u8) -> u8 {
        20 + 80 * window + 40 * query
    }

    #[test]
    fn a_batch_holds_one_window_with_its_queries_and_some_that_look_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), |window| ["a", "b", "c"][usize::from(window)]);
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
    fn what_is_absent_comes_from_other_ground_and_any_pair_of_it() {
        let absent = |group_of: fn(u8) -> &'static str| {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), group_of);
            let recipe = Recipe { absent: 1.0, ..Recipe::default() };
            let sampler = PairSampler::open(&[folder.path().into()], &recipe, 7).unwrap();
            let mut seen = BTreeSet::new();
            for batch in (0..40).map(|step| sampler.batch(step).unwrap()) {
                let which = |query: usize| (u32::from(batch.queries[query].bytes()[0]) + 20) / 40 - 1;
                let of = |present: bool| batch.clicks.iter().filter(move |click| click.target.is_some() == present);
                let window = which(of(true).next().unwrap().query) / 2;
                seen.extend(of(false).map(|click| (window, which(click.query))));
            }
            seen
        };
        // Windows 0 and 1 show the same ground; query n is of window n / 2.
        let expected = [(0, 4), (0, 5), (1, 4), (1, 5), (2, 0), (2, 1), (2, 2), (2, 3)];
        assert_eq!(absent(|window| if window < 2 { "same" } else { "other" }), BTreeSet::from(expected));
        assert!(absent(|_| "same").is_empty());
        assert_eq!(absent(|_| "").len(), 12, "where no group is named, every other window is elsewhere");
    }

    #[test]
    fn sets_that_differ_in_a_group_alone_have_other_hashes() {
        let hash = |group_of: fn(u8) -> &'static str| {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), group_of);
            PairSampler::open(&[folder.path().into()], &Recipe::default(), 7).unwrap().hash().unwrap()
        };
        assert_eq!(hash(|_| "same"), hash(|_| "same"));
        assert_ne!(hash(|_| "same"), hash(|_| "other"));
    }

    #[test]
    fn an_empty_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        PairWriter::create(folder.path()).unwrap().finish().unwrap();
        assert!(PairSampler::open(&[folder.path().into()], &Recipe::default(), 1).is_err());
    }
}
