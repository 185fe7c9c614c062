//! What a predictor said to each pair, reduced to what the measures need.

use std::collections::BTreeMap;

use anyhow::Context;
use image::RgbImage;
use smgeo_engine::decode::box_at;
use smgeo_engine::pose_search::{self, MIDDLE, PoseGrid};
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

/// Asks a predictor about all pairs of a set. Windows are encoded once. Of a query that is not laid out like the map no pose is
/// known, and the usual ones are tried.
pub fn answers(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    asked: &[Asked],
    laid_out: LaidOut,
) -> anyhow::Result<Vec<Vec<Answer>>> {
    let mut all = vec![Vec::new(); asked.len()];
    for (reference, pairs) in by_reference(set) {
        let picture = set.reference(&set.pairs[pairs[0]]).with_context(|| format!("window {reference}"))?;
        let window = encoded_window(predictor, &picture)?;
        for (asked, answers) in asked.iter().zip(&mut all) {
            for group in pairs.chunks(LOCATED_AT_ONCE) {
                let queries: Vec<&Pair> = group.iter().map(|&pair| &set.pairs[asked.of(pair, set)]).collect();
                let maps = maps_of(predictor, set, &queries, laid_out, &window)?;
                for (&pair, maps) in group.iter().zip(&maps) {
                    answers.push(answer(pair, &set.pairs[pair], maps, predictor.stride_px())?);
                }
            }
        }
    }
    all.iter_mut().for_each(|answers| answers.sort_by_key(|answer| answer.pair));
    Ok(all)
}

/// Which queries are laid out like the map: north up, at its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaidOut {
    /// Those of 256 x 256 px, which is how they are rectified; others are photographs.
    BySize,
    /// None.
    Never,
}

fn maps_of(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    queries: &[&Pair],
    laid_out: LaidOut,
    window: &Mosaic,
) -> anyhow::Result<Vec<Maps>> {
    let photos = queries.iter().map(|query| set.photo(query)).collect::<Result<Vec<_>, _>>()?;
    let edge = TILE_PX as u32;
    if laid_out == LaidOut::BySize && photos.iter().all(|photo| photo.dimensions() == (edge, edge)) {
        let query = |(photo, pair): (&RgbImage, &&Pair)| {
            let click = pair.click.map(|at| at as f32);
            Ok((EncoderImage::query(photo, (click[0], click[1]))?, click))
        };
        let queries = photos.iter().zip(queries).map(query).collect::<anyhow::Result<_>>()?;
        return located(predictor, queries, window);
    }
    photos.iter().zip(queries).map(|(photo, pair)| in_any_pose(predictor, photo, pair.click, window)).collect()
}

fn in_any_pose(
    predictor: &mut dyn Predictor,
    photo: &RgbImage,
    click: [f64; 2],
    window: &Mosaic,
) -> anyhow::Result<Maps> {
    let ask = |images: &[EncoderImage]| {
        located(predictor, images.iter().map(|image| (image.clone(), MIDDLE)).collect(), window)
    };
    Ok(pose_search::search(photo, click, &PoseGrid::default(), ask)?.maps)
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
