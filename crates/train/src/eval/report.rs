//! The evaluation of a predictor on a pair set, controls included.

use std::collections::BTreeMap;

use anyhow::bail;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use smgeo_engine::pairs::LIST;
use smgeo_engine::witness::Witnesses;

use super::answer::{Answer, Asked, LaidOut, answers, by_reference};
use super::calibration::{self, Calibration};
use super::correlation::{Searched, guess, median_size};
use super::measure::{Outcome, Scores, breakdown, scores};
use super::predictor::Predictor;
use super::rectangle::iou;
use crate::data::pair_set::PairSet;

/// Everything measured on one pair set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The predictor's scores, on absolute boxes.
    pub scores: Scores,
    /// The same by class.
    pub by_class: BTreeMap<String, Scores>,
    /// The same by size of the object.
    pub by_size: BTreeMap<String, Scores>,
    /// What answers that do not use the click reach.
    pub controls: BTreeMap<&'static str, Scores>,
    /// How far off the positions are that the daemon would publish, which are not the boxes' centres.
    pub position: Position,
    /// Percent of answers whose peak lies in the true 256 px tile.
    pub right_tile: f64,
    /// acc@0.5 as the released SMGeo code computes it: offsets and sizes at the peaks, compared *without their place*. It says
    /// nothing about localisation and stands here only to compare with published numbers.
    pub released_relative_acc50: f64,
    /// Calibration as the logits are.
    pub raw: Calibration,
    /// Calibration at the fitted temperature. In-sample: the temperature was fitted to these very pairs, so on others it is worse.
    pub fitted: Calibration,
}

/// Distances of positions from the true boxes' centres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Position {
    /// Median, metres.
    pub error_m_median: f64,
    /// 90 % are below this, metres.
    pub error_m_90: f64,
    /// Percent within 5 m.
    pub within_5_m: f64,
}

/// Measures a predictor on a set, which has to hold pairs. `controls` may be left out, since correlation takes its time.
pub fn evaluate(
    predictor: &mut dyn Predictor,
    set: &PairSet,
    laid_out: LaidOut,
    witnesses: Witnesses,
    controls: bool,
) -> anyhow::Result<Report> {
    if set.pairs.is_empty() {
        bail!(
            "{} names no pair, so there is nothing to measure: `pairs` draws pairs from ground with boxes, see docs/training.md",
            set.path(LIST).display()
        );
    }
    let asked = if controls { vec![Asked::Own, Asked::Another] } else { vec![Asked::Own] };
    let mut told = answers(predictor, set, &asked, laid_out, witnesses)?.into_iter();
    let own = told.next().unwrap_or_default();
    let outcomes = outcomes(set, own.iter().map(|answer| answer.box_xyxy));
    let (by_class, by_size) = breakdown(&outcomes);
    let mut compared = BTreeMap::new();
    if let Some(shuffled) = told.next() {
        compared = blind_controls(set)?;
        compared.insert("shuffled query", scores(&self::outcomes(set, shuffled.iter().map(|answer| answer.box_xyxy))));
    }
    let stride_px = predictor.stride_px();
    let share = |good: usize| 100.0 * good as f64 / own.len().max(1) as f64;
    Ok(Report {
        scores: scores(&outcomes),
        by_class,
        by_size,
        controls: compared,
        position: position(set, &own),
        right_tile: share(own.iter().filter(|answer| is_right_tile(answer, stride_px)).count()),
        released_relative_acc50: share(own.iter().filter(|answer| relative_overlap(answer) > 0.5).count()),
        raw: calibration::at(&own, 1.0),
        fitted: calibration::at(&own, calibration::fitted_temperature(&own)),
    })
}

fn position(set: &PairSet, answers: &[Answer]) -> Position {
    let point = |answer: &Answer| [0, 1, 0, 1].map(|axis| answer.position_px[axis]);
    let Scores { error_m_median, error_m_90, within_5_m, .. } = scores(&outcomes(set, answers.iter().map(point)));
    Position { error_m_median, error_m_90, within_5_m: within_5_m.percent }
}

fn outcomes(set: &PairSet, guesses: impl Iterator<Item = [f64; 4]>) -> Vec<Outcome> {
    set.pairs.iter().zip(guesses).map(|(pair, guess)| Outcome::of(pair, &guess)).collect()
}

/// Controls that never see the network: centre of the window, a size at random places, correlation.
fn blind_controls(set: &PairSet) -> anyhow::Result<BTreeMap<&'static str, Scores>> {
    let size = median_size(&set.pairs);
    let around = |[x, y]: [f64; 2]| [x - size[0] / 2.0, y - size[1] / 2.0, x + size[0] / 2.0, y + size[1] / 2.0];
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let count = set.pairs.len();
    let (mut centre, mut random, mut correlated) =
        (vec![[0.0; 4]; count], vec![[0.0; 4]; count], vec![[0.0; 4]; count]);
    for pairs in by_reference(set).into_values() {
        let picture = set.reference(&set.pairs[pairs[0]])?;
        let (width, height) = (picture.width() as f64, picture.height() as f64);
        let window = Searched::new(&picture);
        for index in pairs {
            let (query, click) = set.query(&set.pairs[index])?;
            centre[index] = around([width / 2.0, height / 2.0]);
            random[index] = around([rng.random_range(0.0..width), rng.random_range(0.0..height)]);
            correlated[index] = guess(&window, &query, click, size);
        }
    }
    let score = |guesses: Vec<[f64; 4]>| scores(&outcomes(set, guesses.into_iter()));
    Ok(BTreeMap::from([
        ("centre of window", score(centre)),
        ("size prior at random places", score(random)),
        ("multi-scale correlation", score(correlated)),
    ]))
}

fn is_right_tile(answer: &Answer, stride_px: usize) -> bool {
    let cells = smgeo_engine::TILE_PX / stride_px;
    let logits = &answer.logits;
    let best = (1..logits.len()).fold(0, |best, cell| if logits[cell] > logits[best] { cell } else { best });
    let tile = |cell: usize| (cell % answer.columns / cells, cell / answer.columns / cells);
    tile(best) == tile(answer.true_cell)
}

fn relative_overlap(answer: &Answer) -> f64 {
    let edges = |[x, y, w, h]: [f64; 4]| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
    iou(&edges(answer.relative[0]), &edges(answer.relative[1]))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{:<32} {:>6} {:>20} {:>20} {:>6} {:>20}",
            "", "pairs", "acc@0.25", "acc@0.5", "mIoU", "within 5 m"
        )?;
        line(f, "predictor", &self.scores)?;
        self.controls.iter().try_for_each(|(name, scores)| line(f, name, scores))?;
        self.by_class.iter().try_for_each(|(name, scores)| line(f, &format!("class {name}"), scores))?;
        self.by_size.iter().try_for_each(|(name, scores)| line(f, &format!("size {name}"), scores))?;
        let scores = &self.scores;
        writeln!(
            f,
            "centre error: median {:.1} px ({:.1} m), 90 % below {:.1} px ({:.1} m); right tile {:.1} %",
            scores.error_px_median, scores.error_m_median, scores.error_px_90, scores.error_m_90, self.right_tile
        )?;
        let Position { error_m_median, error_m_90, within_5_m } = self.position;
        writeln!(
            f,
            "published position: median {error_m_median:.1} m off, 90 % below {error_m_90:.1} m, {within_5_m:.1} % within 5 m"
        )?;
        writeln!(f, "released relative acc@0.5 (no localisation): {:.1} %", self.released_relative_acc50)?;
        for (calibration, remark) in [(&self.raw, ""), (&self.fitted, " (in-sample: fitted to these pairs)")] {
            writeln!(
                f,
                "temperature {:.3}{remark}: NLL {:.3}, coverage of 50/90/95 % regions {:.1}/{:.1}/{:.1} %",
                calibration.temperature,
                calibration.nll,
                calibration.coverage_50,
                calibration.coverage_90,
                calibration.coverage_95
            )?;
        }
        Ok(())
    }
}

fn line(f: &mut std::fmt::Formatter<'_>, name: &str, scores: &Scores) -> std::fmt::Result {
    // As texts, so that the widths apply.
    let (acc25, acc50, near) = (scores.acc25.to_string(), scores.acc50.to_string(), scores.within_5_m.to_string());
    writeln!(f, "{name:<32} {:>6} {acc25:>20} {acc50:>20} {:>6.1} {near:>20}", scores.count, scores.miou.percent)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::data::pair_set::PairWriter;
    use crate::eval::predictor::Weights;
    use crate::model::SmGeo;
    use crate::training::Plan;

    #[test]
    fn a_set_without_pairs_measures_nothing_and_is_refused() {
        let text = "preset = 'nano'\n[data]\n[model]\nembed = 8\ndepths = [1, 1, 1, 1]\nheads = [1, 1, 1, 1]\n\
            [model.moe]\nblocks = [[], [], [], []]\n[model.template]\nchannels = 16\n";
        let config = toml::from_str::<Plan>(text).unwrap().config().unwrap();
        let mut weights = Weights::new(SmGeo::new(&config, &Device::default()).unwrap(), &config);
        let folder = tempfile::tempdir().unwrap();
        PairWriter::create(folder.path()).unwrap().finish().unwrap();
        let set = PairSet::open(folder.path()).unwrap();
        let error = evaluate(&mut weights, &set, LaidOut::BySize, Witnesses::NotHeard, false).unwrap_err().to_string();
        assert!(error.contains("pairs.jsonl names no pair") && error.contains("training.md"), "{error}");
    }
}
