//! Draws training batches: a window of tiles, crops over it from other dates, and clicks with known answers.
//!
//! Batch `n` depends on the seed and on `n` alone, so batches can be made by any number of threads, in any order, and a run
//! that stops and resumes sees what it would have seen.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smgeo_engine::{EncoderImage, TILE_PX};

use super::batch::{Batch, Click};
use super::ground::{Ground, Source};
use super::look::Look;
use super::recipe::Recipe;
use super::region::Region;
use super::shot::Shot;
use super::{DataError, Raster};

/// Tries to draw a query before it is left out: a ray can miss the ground, an object can be out of view.
const TRIES_MAX: usize = 12;

/// Draws batches from grounds.
#[derive(Clone)]
pub struct Sampler {
    grounds: Arc<Vec<Ground>>,
    recipe: Recipe,
    seed: u64,
    shares: Vec<(Source, f64)>,
}

impl Sampler {
    /// Takes what there is to draw from. A source with a share but without grounds is an error.
    pub fn new(grounds: Arc<Vec<Ground>>, recipe: Recipe, seed: u64) -> Result<Self, DataError> {
        let wanted =
            [(Source::Naip, recipe.share_naip), (Source::Dubai, recipe.share_dubai), (Source::Town, recipe.share_town)];
        let shares: Vec<_> = wanted.into_iter().filter(|(_, share)| *share > 0.0).collect();
        for (source, _) in &shares {
            let needed = if *source == Source::Naip { recipe.rows * recipe.columns + 1 } else { 1 };
            let found = grounds.iter().filter(|ground| ground.source == *source).count();
            if found < needed {
                return Err(DataError::NoGround(format!("{source:?} has {found} and needs {needed}")));
            }
        }
        if shares.is_empty() {
            return Err(DataError::NoGround("all shares are zero".into()));
        }
        Ok(Self { grounds, recipe, seed, shares })
    }

    /// What batches are drawn from.
    pub fn grounds(&self) -> &[Ground] {
        &self.grounds
    }

    /// How they are drawn.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Whether there is any object to click, in what is drawn from.
    pub fn has_objects(&self) -> bool {
        let is_drawn = |ground: &Ground| self.shares.iter().any(|(source, _)| *source == ground.source);
        self.grounds.iter().any(|ground| is_drawn(ground) && !ground.boxes.is_empty())
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64) -> Batch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(step);
        let source = self.draw_source(&mut rng);
        let regions = self.draw_window(&mut rng, source);
        let mut batch = Batch {
            step,
            rows: self.recipe.rows,
            columns: self.recipe.columns,
            tiles: self.tiles(&mut rng, &regions),
            queries: Vec::new(),
            clicks: Vec::new(),
        };
        for _ in 0..self.recipe.queries {
            if let Some((image, clicks)) = (0..TRIES_MAX).find_map(|_| self.query(&mut rng, source, &regions)) {
                let query = batch.queries.len();
                batch.queries.push(image);
                batch.clicks.extend(clicks.into_iter().map(|click| Click { query, ..click }));
            }
        }
        batch
    }

    fn draw_source(&self, rng: &mut ChaCha8Rng) -> Source {
        let total: f64 = self.shares.iter().map(|(_, share)| share).sum();
        let mut rest = rng.random_range(0.0..total);
        for (source, share) in &self.shares {
            if rest < *share {
                return *source;
            }
            rest -= share;
        }
        self.shares[0].0
    }

    fn draw_window(&self, rng: &mut ChaCha8Rng, source: Source) -> Vec<Region> {
        let (rows, columns) = (self.recipe.rows, self.recipe.columns);
        if source == Source::Naip {
            let places = self.draw_places(rng, rows * columns);
            let lay = |(cell, ground)| {
                let mut region = self.region_of(rng, ground, (1, 1));
                (region.window_row, region.window_column) = (cell / columns, cell % columns);
                region
            };
            return places.into_iter().enumerate().map(lay).collect();
        }
        let candidates = self.of_source(source);
        let first = candidates[rng.random_range(0..candidates.len())];
        if columns < 2 || candidates.len() < 2 || rng.random_bool(0.5) {
            return vec![self.region_of(rng, first, (rows, columns))];
        }
        // Half a window each of two different grounds: one of them is all hard negatives of another look.
        let others: Vec<usize> = candidates.into_iter().filter(|&ground| ground != first).collect();
        let second = others[rng.random_range(0..others.len())];
        let left = self.region_of(rng, first, (rows, columns / 2));
        let mut right = self.region_of(rng, second, (rows, columns - columns / 2));
        right.window_column = columns / 2;
        vec![left, right]
    }

    /// Different places; every other window takes them from one city, whose places look alike.
    fn draw_places(&self, rng: &mut ChaCha8Rng, count: usize) -> Vec<usize> {
        let mut places = self.of_source(Source::Naip);
        places.shuffle(rng);
        let city = &self.grounds[places[0]].group;
        if rng.random_bool(0.5) {
            // A stable sort keeps the order drawn within and outside the city.
            places.sort_by_key(|&place| self.grounds[place].group != *city);
        }
        places.truncate(count);
        places
    }

    fn of_source(&self, source: Source) -> Vec<usize> {
        (0..self.grounds.len()).filter(|&ground| self.grounds[ground].source == source).collect()
    }

    fn region_of(&self, rng: &mut ChaCha8Rng, ground: usize, size: (usize, usize)) -> Region {
        let [least, most] = match self.grounds[ground].source {
            Source::Naip => self.recipe.zoom_naip,
            Source::Dubai => self.recipe.zoom_dubai,
            Source::Town => self.recipe.zoom_town,
        };
        let zoom = if least < most { rng.random_range(least..most) } else { least };
        let layer = rng.random_range(0..self.grounds[ground].layers.len());
        Region { ground, layer, ..Region::draw(rng, &self.grounds[ground], zoom, size) }
    }

    fn tiles(&self, rng: &mut ChaCha8Rng, regions: &[Region]) -> Vec<EncoderImage> {
        let mut window = Raster::filled(self.recipe.columns * TILE_PX, self.recipe.rows * TILE_PX, [0; 3]);
        for region in regions {
            let look = Look::satellite(rng, self.recipe.look);
            let picture = look.apply(&region.picture(&self.grounds[region.ground]), rng);
            window.paste_offset(
                &picture,
                (region.window_column * TILE_PX) as i64,
                (region.window_row * TILE_PX) as i64,
            );
        }
        tiles_of(&window)
    }

    fn query(&self, rng: &mut ChaCha8Rng, source: Source, regions: &[Region]) -> Option<(EncoderImage, Vec<Click>)> {
        let absent = rng.random_bool(self.recipe.absent);
        let region = if absent {
            self.region_elsewhere(rng, source, regions)?
        } else {
            regions[rng.random_range(0..regions.len())].clone()
        };
        let shot = Shot::take(rng, &self.grounds[region.ground], &region, &self.recipe)?;
        let clicks = shot.clicks(rng, regions, self.recipe.clicks_per_query);
        if clicks.first()?.target.is_none() != (absent || shot.is_mistaken()) {
            return None;
        }
        let marked = if rng.random_bool(0.7) { 0 } else { rng.random_range(0..clicks.len()) };
        let [x, y] = clicks[marked].at;
        let image = EncoderImage::query(shot.crop().rgb(), (x, y)).ok()?;
        Some((image, clicks))
    }

    /// A region that the window does not show: another place, or another part of a scene.
    fn region_elsewhere(&self, rng: &mut ChaCha8Rng, source: Source, regions: &[Region]) -> Option<Region> {
        let candidates = self.of_source(source);
        let ground = candidates[rng.random_range(0..candidates.len())];
        let shown = regions.iter().any(|region| region.ground == ground);
        if source == Source::Naip && shown {
            return None;
        }
        Some(self.region_of(rng, ground, (1, 1)))
    }
}

/// Cuts a picture into tiles, row by row.
pub fn tiles_of(window: &Raster) -> Vec<EncoderImage> {
    let (rows, columns) = (window.height() / TILE_PX, window.width() / TILE_PX);
    let tile = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        EncoderImage::tile_from(|x, y| window.pixel(column * TILE_PX + x, row * TILE_PX + y))
    };
    (0..rows * columns).map(tile).collect()
}
