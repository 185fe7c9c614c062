//! What a predictor said to each pair, reduced to what the measures need.

use std::collections::BTreeMap;

use anyhow::Context;
use smgeo_engine::decode::box_at;
use smgeo_engine::pose_search::{MIDDLE, Marginal, PoseGrid, rectified_all};
use smgeo_engine::{EncoderImage, Maps, Mosaic, View};

use super::predictor::Predictor;
use crate::data::Raster;
use crate::data::pair_set::{Pair, PairSet};
use crate::data::sampler::tiles_of;
use smgeo_engine::TILE_PX;

/// Queries located in one call; bounds memory.
const LOCATED_AT_ONCE: usize = 16;

/// The answer to one pair.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Index of the pair.
    pub pair: usize,
    /// The predicted box in reference pixels.
    pub box_xyxy: [f64; 4],
    /// The box predicted at the true cell relative to it, for the released score: dx, dy, w, h in cells.
    pub relative: [[f64; 4]; 2],
    /// Heat logits of all cells, relative to "not in this window".
    pub logits: Vec<f32>,
    /// Cell of the true centre.
    pub true_cell: usize,
    /// Columns of the map.
    pub columns: usize,
}

/// Which query is asked for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its own.
    Own,
    /// That of another pair, half the set away: the click then tells nothing.
    Another,
}

/// Asks a predictor about all pairs of a set. Windows are encoded once. With a grid of poses each is tried, for pictures that are
/// not rectified.
pub fn answers(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    asked: &[Asked],
    poses: Option<&PoseGrid>,
) -> anyhow::Result<Vec<Vec<Answer>>> {
    let mut all = vec![Vec::new(); asked.len()];
    for (reference, pairs) in by_reference(set) {
        let picture = set.reference(&set.pairs[pairs[0]]).with_context(|| format!("window {reference}"))?;
        let window = encoded_window(predictor, &picture)?;
        for (asked, answers) in asked.iter().zip(&mut all) {
            for group in pairs.chunks(LOCATED_AT_ONCE) {
                let queries: Vec<&Pair> = group.iter().map(|&pair| &set.pairs[asked.of(pair, set)]).collect();
                let maps = match poses {
                    None => as_they_are(predictor, set, &queries, &window)?,
                    Some(poses) => queries
                        .iter()
                        .map(|query| in_any_pose(predictor, set, query, poses, &window))
                        .collect::<Result<_, _>>()?,
                };
                for (&pair, maps) in group.iter().zip(&maps) {
                    answers.push(answer(pair, &set.pairs[pair], maps, predictor.stride_px())?);
                }
            }
        }
    }
    all.iter_mut().for_each(|answers| answers.sort_by_key(|answer| answer.pair));
    Ok(all)
}

fn as_they_are(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    queries: &[&Pair],
    window: &Mosaic,
) -> anyhow::Result<Vec<Maps>> {
    let queries = queries.iter().map(|pair| set.query(pair)).collect::<Result<Vec<_>, _>>()?;
    located(predictor, queries, window)
}

fn in_any_pose(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    query: &Pair,
    poses: &PoseGrid,
    window: &Mosaic,
) -> anyhow::Result<Maps> {
    let photo = set.photo(query)?;
    let mut marginal = Marginal::default();
    for tried in rectified_all(&photo, query.click, poses)?.chunks(LOCATED_AT_ONCE) {
        let queries = tried.iter().map(|(_, image)| (image.clone(), MIDDLE)).collect();
        located(predictor, queries, window)?.iter().for_each(|maps| marginal.add(maps));
    }
    marginal.mean().map(|(maps, _)| maps).context("the click looks at the horizon")
}

fn located(
    predictor: &mut dyn Predictor,
    queries: Vec<(EncoderImage, [f32; 2])>,
    window: &Mosaic,
) -> anyhow::Result<Vec<Maps>> {
    let (images, clicks): (Vec<EncoderImage>, Vec<[f32; 2]>) = queries.into_iter().unzip();
    let features = predictor.encode(&images, View::Query)?;
    let requests: Vec<_> = features.into_iter().zip(clicks).collect();
    predictor.locate(&requests, window)
}

impl Asked {
    fn of(self, pair: usize, set: &PairSet) -> usize {
        let count = set.pairs.len();
        match self {
            Self::Own => pair,
            // The next pair of another group, starting half the set away.
            Self::Another => (0..count)
                .map(|step| (pair + count / 2 + step) % count)
                .find(|&other| set.pairs[other].group != set.pairs[pair].group && other != pair)
                .unwrap_or((pair + count / 2) % count),
        }
    }
}

/// Indices of pairs by reference picture.
pub fn by_reference(set: &PairSet) -> BTreeMap<&str, Vec<usize>> {
    let mut groups = BTreeMap::<&str, Vec<usize>>::new();
    for (index, pair) in set.pairs.iter().enumerate() {
        groups.entry(&pair.reference).or_default().push(index);
    }
    groups
}

/// Encodes a window picture tile by tile; an edge that is no multiple of 256 px is filled up with black and masked.
pub fn encoded_window(predictor: &mut dyn Predictor, picture: &Raster) -> anyhow::Result<Mosaic> {
    let (rows, columns) = (picture.height().div_ceil(TILE_PX), picture.width().div_ceil(TILE_PX));
    let whole = picture.crop(0, 0, columns * TILE_PX, rows * TILE_PX, [0; 3]);
    let mut features = Vec::new();
    for tiles in tiles_of(&whole).chunks(8) {
        features.extend(predictor.encode(tiles, View::Tile)?);
    }
    Ok(Mosaic::of_tiles(rows, columns, &features)?.clipped(picture.width(), picture.height()))
}

fn answer(index: usize, pair: &Pair, maps: &Maps, stride_px: usize) -> anyhow::Result<Answer> {
    let best = (1..maps.heat.len()).fold(0, |best, cell| if maps.heat[cell] > maps.heat[best] { cell } else { best });
    let [x0, y0, x1, y1] = pair.box_xyxy.map(|edge| edge / stride_px as f64);
    let (x, y) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
    let column = (x.max(0.0) as usize).min(maps.width - 1);
    let row = (y.max(0.0) as usize).min(maps.height - 1);
    let guess = [0, 1, 2, 3].map(|axis| f64::from(maps.boxes[best * 4 + axis]));
    Ok(Answer {
        pair: index,
        box_xyxy: box_at(maps, best, stride_px)?.map(f64::from),
        relative: [guess, [x - column as f64, y - row as f64, x1 - x0, y1 - y0]],
        logits: maps.heat.clone(),
        true_cell: row * maps.width + column,
        columns: maps.width,
    })
}
