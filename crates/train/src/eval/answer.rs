//! What a predictor said to each pair, reduced to what the measures need.

use std::collections::BTreeMap;

use anyhow::Context;
use image::RgbImage;
use smgeo_engine::decode::{box_at, decode};
use smgeo_engine::pose_search::{self, PoseGrid, Question};
use smgeo_engine::witness::{self, Witnesses};
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
    /// The position that the daemon would publish, reference pixels: the posterior's mean about its peak.
    pub position_px: [f64; 2],
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

/// Asks a predictor about all pairs of a set. Windows are encoded once. Of a photograph no pose is known, and the usual ones are
/// tried. A query that is asked as it is has witnesses only where the set says that it is laid out like the map.
pub fn answers(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    asked: &[Asked],
    laid_out: LaidOut,
    witnesses: Witnesses,
) -> anyhow::Result<Vec<Vec<Answer>>> {
    let mut all = vec![Vec::new(); asked.len()];
    for (reference, pairs) in by_reference(set) {
        let picture = set.reference(&set.pairs[pairs[0]]).with_context(|| format!("window {reference}"))?;
        let window = encoded_window(predictor, &picture)?;
        for (asked, answers) in asked.iter().zip(&mut all) {
            for group in pairs.chunks(LOCATED_AT_ONCE) {
                let queries: Vec<&Pair> = group.iter().map(|&pair| &set.pairs[asked.of(pair, set)]).collect();
                let maps = maps_of(predictor, set, &queries, (laid_out, witnesses), &window)?;
                for (&pair, maps) in group.iter().zip(&maps) {
                    answers.push(answer(pair, &set.pairs[pair], maps, predictor.stride_px())?);
                }
            }
        }
    }
    all.iter_mut().for_each(|answers| answers.sort_by_key(|answer| answer.pair));
    Ok(all)
}

/// Which queries are asked as they are.
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
    (laid_out, witnesses): (LaidOut, Witnesses),
    window: &Mosaic,
) -> anyhow::Result<Vec<Maps>> {
    let photos = queries.iter().map(|query| set.photo(query)).collect::<Result<Vec<_>, _>>()?;
    let edge = TILE_PX as u32;
    let is_as_it_is = |photo: &RgbImage| laid_out == LaidOut::BySize && photo.dimensions() == (edge, edge);
    let query = |(photo, pair): (&RgbImage, &&Pair)| {
        let click = pair.click.map(|at| at as f32);
        let image = EncoderImage::query(photo, (click[0], click[1]))?;
        let witnesses = if pair.rectified { witnesses } else { Witnesses::NotHeard };
        let clicks = witness::clicks(witnesses, &image, click);
        Ok(Question { image, clicks })
    };
    let as_they_are = photos.iter().zip(queries).filter(|(photo, _)| is_as_it_is(photo));
    let as_they_are = as_they_are.map(query).collect::<anyhow::Result<Vec<_>>>()?;
    let mut together = located(predictor, &as_they_are, window)?.into_iter();
    let stride_px = predictor.stride_px();
    let answered: Vec<Maps> = as_they_are.iter().filter_map(|asked| asked.answered(&mut together, stride_px)).collect();
    let mut together = answered.into_iter();
    let maps = |(photo, pair): (&RgbImage, &&Pair)| match is_as_it_is(photo) {
        true => together.next().context("fewer answers than queries"),
        false => in_any_pose(predictor, photo, pair.click, witnesses, window),
    };
    photos.iter().zip(queries).map(maps).collect()
}

fn in_any_pose(
    predictor: &mut dyn Predictor,
    photo: &RgbImage,
    click: [f64; 2],
    witnesses: Witnesses,
    window: &Mosaic,
) -> anyhow::Result<Maps> {
    let network = (witnesses, window.stride_px());
    let ask = |questions: &[Question]| located(predictor, questions, window);
    Ok(pose_search::search(photo, click, network, &PoseGrid::default(), ask)?.maps)
}

/// The answers to all clicks of all questions, in order.
fn located(predictor: &mut dyn Predictor, questions: &[Question], window: &Mosaic) -> anyhow::Result<Vec<Maps>> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let images: Vec<EncoderImage> = questions.iter().map(|asked| asked.image.clone()).collect();
    let features = predictor.encode(&images, View::Query)?;
    let mut requests = Vec::new();
    for (asked, features) in questions.iter().zip(&features) {
        requests.extend(asked.clicks.iter().map(|click| (features.clone(), *click)));
    }
    let mut maps = Vec::with_capacity(requests.len());
    for requests in requests.chunks(LOCATED_AT_ONCE) {
        maps.extend(predictor.locate(requests, window)?);
    }
    Ok(maps)
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
        position_px: decode(maps, stride_px, 1.0)?.mean_px,
        relative: [guess, [x - column as f64, y - row as f64, x1 - x0, y1 - y0]],
        logits: maps.heat.clone(),
        true_cell: row * maps.width + column,
        columns: maps.width,
    })
}

#[cfg(test)]
mod tests {
    use smgeo_engine::{Features, Fusion};

    use super::*;
    use crate::data::pair_set::PairWriter;

    const CELLS: usize = 16;

    /// Answers every query with the colour of its first pixel as heat, and counts what it encodes and is asked.
    #[derive(Default)]
    struct Colour {
        queries: Vec<usize>,
        clicks: usize,
    }

    impl Predictor for Colour {
        fn encode(&mut self, images: &[EncoderImage], view: View) -> anyhow::Result<Vec<Features>> {
            if view == View::Query {
                self.queries.push(images.len());
            }
            let features = |image: &EncoderImage| {
                Ok(Features::new(vec![f32::from(image.bytes()[0]); CELLS * CELLS].into(), CELLS, 1)?)
            };
            images.iter().map(features).collect()
        }

        fn locate(&mut self, queries: &[(Features, [f32; 2])], window: &Mosaic) -> anyhow::Result<Vec<Maps>> {
            self.clicks += queries.len();
            let (width, height) = (window.width(), window.height());
            let map = |(features, _): &(Features, [f32; 2])| Maps {
                width,
                height,
                heat: vec![features.values()[0]; width * height],
                boxes: [0.0, 0.0, 1.0, 1.0].repeat(width * height),
                attention: vec![0.0; width * height],
            };
            Ok(queries.iter().map(map).collect())
        }

        fn stride_px(&self) -> usize {
            TILE_PX / CELLS
        }

        fn fusion(&self) -> Fusion {
            Fusion::Template
        }
    }

    /// A set of queries of these shades and edges.
    fn set(folder: &std::path::Path, queries: &[(u8, usize)], rectified: bool) -> PairSet {
        let mut writer = PairWriter::create(folder).unwrap();
        let reference = writer.window(&Raster::filled(256, 256, [90; 3])).unwrap();
        for &(shade, edge) in queries {
            let pair = Pair {
                query: String::new(),
                reference: reference.clone(),
                click: [100.0, 90.0],
                box_xyxy: [10.0, 20.0, 50.0, 40.0],
                gsd_m: 0.6,
                class: String::new(),
                group: String::new(),
                rectified,
            };
            writer.pair(&Raster::filled(edge, edge, [shade; 3]), pair).unwrap();
        }
        writer.finish().unwrap();
        PairSet::open(folder).unwrap()
    }

    #[test]
    fn only_a_query_that_is_laid_out_like_the_map_has_witnesses() {
        let cases = [(true, Witnesses::Heard, 5), (true, Witnesses::NotHeard, 1), (false, Witnesses::Heard, 1)];
        for (rectified, witnesses, clicks) in cases {
            let folder = tempfile::tempdir().unwrap();
            let set = set(folder.path(), &[(40, 256)], rectified);
            let mut predictor = Colour::default();
            answers(&mut predictor, &set, &[Asked::Own], LaidOut::BySize, witnesses).unwrap();
            assert_eq!(predictor.clicks, clicks, "rectified {rectified}, {witnesses:?}");
        }
    }

    #[test]
    fn a_photograph_changes_nothing_for_the_rectified_queries_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let set = set(folder.path(), &[(40, 256), (120, 300), (200, 256)], true);
        let mut predictor = Colour::default();
        let told =
            answers(&mut predictor, &set, &[Asked::Own], LaidOut::BySize, Witnesses::NotHeard).unwrap().remove(0);
        assert_eq!(predictor.queries[0], 2, "both rectified queries, each once");
        let heat = |index: usize| told[index].logits[0];
        assert!((heat(0) - 40.0).abs() < 3.0 && (heat(2) - 200.0).abs() < 3.0, "{} {}", heat(0), heat(2));
        assert!(predictor.queries.len() > 1, "the photograph in many poses");
        let mut predictor = Colour::default();
        answers(&mut predictor, &set, &[Asked::Own], LaidOut::Never, Witnesses::NotHeard).unwrap();
        assert!(predictor.queries.iter().sum::<usize>() >= 3 * 256);
    }
}
