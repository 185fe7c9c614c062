//! Measures on boxes: accuracy at an overlap, mean overlap, centre errors; with intervals by resampling whole groups.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;

use super::rectangle::iou;
use crate::data::pair_set::Pair;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;
/// An answer counts as being there within this distance.
const NEAR_M: f64 = 5.0;

/// One answer against its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Absolute overlap.
    pub iou: f64,
    /// Distance of the centres, reference pixels.
    pub error_px: f64,
    /// The same in metres.
    pub error_m: f64,
    /// Group of the pair.
    pub group: String,
    /// Class of the object.
    pub class: String,
    /// Geometric mean of the true box's sides, metres.
    pub size_m: f64,
}

impl Outcome {
    /// Compares a box with a pair's.
    pub fn of(pair: &Pair, guess: &[f64; 4]) -> Self {
        let centre = |edges: &[f64; 4]| [(edges[0] + edges[2]) / 2.0, (edges[1] + edges[3]) / 2.0];
        let (a, b) = (centre(guess), centre(&pair.box_xyxy));
        let error_px = (a[0] - b[0]).hypot(a[1] - b[1]);
        let [x0, y0, x1, y1] = pair.box_xyxy;
        Self {
            iou: iou(guess, &pair.box_xyxy),
            error_px,
            error_m: error_px * pair.gsd_m,
            group: pair.group.clone(),
            class: pair.class.clone(),
            size_m: ((x1 - x0) * (y1 - y0)).max(0.0).sqrt() * pair.gsd_m,
        }
    }

    fn size_class(&self) -> &'static str {
        match self.size_m {
            size if size < 10.0 => "a: below 10 m",
            size if size < 20.0 => "b: 10 to 20 m",
            size if size < 40.0 => "c: 20 to 40 m",
            _ => "d: 40 m and more",
        }
    }
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Percent.
    pub percent: f64,
    /// Lower end, percent.
    pub low: f64,
    /// Upper end, percent.
    pub high: f64,
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ({:.1}..{:.1})", self.percent, self.low, self.high)
    }
}

/// Scores over a set of outcomes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Pairs.
    pub count: usize,
    /// Overlap above 0.25.
    pub acc25: Share,
    /// Overlap above 0.5.
    pub acc50: Share,
    /// Mean overlap, as percent.
    pub miou: Share,
    /// Centre within 5 m.
    pub within_5_m: Share,
    /// Median distance of the centres, pixels.
    pub error_px_median: f64,
    /// 90 % of distances are below this, pixels.
    pub error_px_90: f64,
    /// Median distance, metres.
    pub error_m_median: f64,
    /// 90 % of distances are below this, metres.
    pub error_m_90: f64,
}

/// Scores of outcomes; intervals resample whole groups, since answers within one are alike.
pub fn scores(outcomes: &[Outcome]) -> Scores {
    let share = |value: fn(&Outcome) -> f64| bootstrap(outcomes, value);
    let quantile_of = |value: fn(&Outcome) -> f64, share| quantile(outcomes.iter().map(value).collect(), share);
    Scores {
        count: outcomes.len(),
        acc25: share(|outcome| f64::from(u8::from(outcome.iou > 0.25))),
        acc50: share(|outcome| f64::from(u8::from(outcome.iou > 0.5))),
        miou: share(|outcome| outcome.iou),
        within_5_m: share(|outcome| f64::from(u8::from(outcome.error_m < NEAR_M))),
        error_px_median: quantile_of(|outcome| outcome.error_px, 0.5),
        error_px_90: quantile_of(|outcome| outcome.error_px, 0.9),
        error_m_median: quantile_of(|outcome| outcome.error_m, 0.5),
        error_m_90: quantile_of(|outcome| outcome.error_m, 0.9),
    }
}

/// Scores of each class and of each size.
pub fn breakdown(outcomes: &[Outcome]) -> (BTreeMap<String, Scores>, BTreeMap<String, Scores>) {
    let split = |key: &dyn Fn(&Outcome) -> String| {
        let mut parts = BTreeMap::<String, Vec<Outcome>>::new();
        outcomes.iter().for_each(|outcome| parts.entry(key(outcome)).or_default().push(outcome.clone()));
        parts.into_iter().map(|(name, part)| (name, scores(&part))).collect()
    };
    (split(&|outcome| outcome.class.clone()), split(&|outcome| outcome.size_class().to_owned()))
}

fn bootstrap(outcomes: &[Outcome], value: fn(&Outcome) -> f64) -> Share {
    let mut groups = BTreeMap::<&str, (f64, f64)>::new();
    for outcome in outcomes {
        let (sum, count) = groups.entry(&outcome.group).or_default();
        *sum += value(outcome);
        *count += 1.0;
    }
    let groups: Vec<(f64, f64)> = groups.into_values().collect();
    let mean = |sums: (f64, f64)| 100.0 * sums.0 / sums.1.max(1.0);
    let total = |parts: &mut dyn Iterator<Item = (f64, f64)>| parts.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    if groups.is_empty() {
        return Share { percent: 0.0, low: 0.0, high: 0.0 };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut resample = || mean(total(&mut (0..groups.len()).map(|_| groups[rng.random_range(0..groups.len())])));
    let means: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    Share {
        percent: mean(total(&mut groups.iter().copied())),
        low: quantile(means.clone(), 0.025),
        high: quantile(means, 0.975),
    }
}

/// The value below which a share of the values lies, between neighbours linearly; 0 without values.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    values[low] + (values[(low + 1).min(last)] - values[low]) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(group: &str) -> Pair {
        Pair {
            query: String::new(),
            reference: String::new(),
            click: [0.0; 2],
            box_xyxy: [100.0, 100.0, 140.0, 120.0],
            gsd_m: 0.5,
            class: "building".into(),
            group: group.into(),
            rectified: true,
        }
    }

    #[test]
    fn a_box_ten_pixels_off_is_five_metres_off() {
        let outcome = Outcome::of(&pair("a"), &[110.0, 100.0, 150.0, 120.0]);
        assert!((outcome.iou - 0.6).abs() < 1e-12);
        assert_eq!((outcome.error_px, outcome.error_m), (10.0, 5.0));
        let scores = scores(&[outcome]);
        assert_eq!((scores.acc50.percent, scores.within_5_m.percent), (100.0, 0.0));
    }

    #[test]
    fn intervals_follow_groups_and_not_pairs() {
        let right = [100.0, 100.0, 140.0, 120.0];
        let wrong = [0.0, 0.0, 10.0, 10.0];
        let outcomes = |groups: usize| -> Vec<Outcome> {
            (0..200)
                .map(|index| {
                    let group = index * groups / 200;
                    Outcome::of(&pair(&group.to_string()), if group.is_multiple_of(2) { &right } else { &wrong })
                })
                .collect()
        };
        let width = |groups| {
            let share = scores(&outcomes(groups)).acc25;
            assert!((share.percent - 50.0).abs() < 1e-9);
            share.high - share.low
        };
        assert!(width(4) > 2.0 * width(200));
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(vec![4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert_eq!(quantile(vec![], 0.5), 0.0);
    }
}
