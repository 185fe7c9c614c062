//! Whether the posterior over the window means what it says: coverage of its regions, likelihood, and the temperature that
//! makes both right.

use serde::Serialize;

use super::answer::Answer;

/// Calibration at one temperature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Divisor of the logits.
    pub temperature: f64,
    /// Mean of -ln p(true cell), nats.
    pub nll: f64,
    /// Percent of truths inside the smallest region of 50 % probability.
    pub coverage_50: f64,
    /// The same of 90 %.
    pub coverage_90: f64,
    /// The same of 95 %.
    pub coverage_95: f64,
}

/// Calibration of answers at a temperature.
pub fn at(answers: &[Answer], temperature: f64) -> Calibration {
    let depths: Vec<(f64, f64)> = answers.iter().map(|answer| depth(answer, temperature)).collect();
    let count = depths.len().max(1) as f64;
    // The region of probability P takes cells from the most probable on until P is reached: the truth is inside when the
    // cells before it hold less than P.
    let covered = |share: f64| 100.0 * depths.iter().filter(|(before, _)| *before < share).count() as f64 / count;
    Calibration {
        temperature,
        nll: depths.iter().map(|(_, logarithm)| -logarithm).sum::<f64>() / count,
        coverage_50: covered(0.5),
        coverage_90: covered(0.9),
        coverage_95: covered(0.95),
    }
}

/// The temperature of highest likelihood, by golden-section search over its logarithm. Answers that rule the truth out altogether, as
/// where it lies beyond the window's picture, are as unlikely at every temperature and left out.
pub fn fitted_temperature(answers: &[Answer]) -> f64 {
    let possible = || answers.iter().filter(|answer| answer.logits[answer.true_cell].is_finite());
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((0.2f64).ln(), (8.0f64).ln());
    let nll = |logarithm: f64| possible().map(|answer| -depth(answer, logarithm.exp()).1).sum::<f64>();
    for _ in 0..24 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if nll(a) < nll(b) { high = b } else { low = a }
    }
    ((low + high) / 2.0).exp()
}

/// Probability of the cells more probable than the true one, and the logarithm of the true one's.
fn depth(answer: &Answer, temperature: f64) -> (f64, f64) {
    let scaled = |logit: f32| f64::from(logit) / temperature;
    let highest = answer.logits.iter().copied().map(scaled).fold(0.0, f64::max);
    // "Not in this window" has the logit 0.
    let absent = (-highest).exp();
    let sum: f64 = answer.logits.iter().map(|&logit| (scaled(logit) - highest).exp()).sum::<f64>() + absent;
    let truth = scaled(answer.logits[answer.true_cell]);
    let above = answer.logits.iter().map(|&logit| scaled(logit)).filter(|logit| *logit > truth);
    let before = above.map(|logit| (logit - highest).exp()).sum::<f64>() + if 0.0 > truth { absent } else { 0.0 };
    (before / sum, truth - highest - sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Answers whose truth is drawn from their own posterior, with logits then multiplied by `boast`.
    fn drawn(boast: f32) -> Vec<Answer> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut draw = || {
            let logits: Vec<f32> = (0..12).map(|_| rng.random_range(-1.0f32..4.0)).collect();
            let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
            let mut rest = rng.random_range(0.0..sum);
            let true_cell = logits.iter().position(|logit| {
                rest -= logit.exp();
                rest <= 0.0
            });
            let logits = logits.iter().map(|logit| logit * boast).collect();
            Answer {
                pair: 0,
                box_xyxy: [0.0; 4],
                position_px: [0.0; 2],
                relative: [[0.0; 4]; 2],
                logits,
                true_cell: true_cell.unwrap_or(0),
                columns: 4,
            }
        };
        (0..1500).map(|_| draw()).collect()
    }

    #[test]
    fn the_fitted_temperature_undoes_a_boast() {
        let temperature = fitted_temperature(&drawn(3.0));
        assert!((temperature - 3.0).abs() < 0.35, "{temperature}");
    }

    #[test]
    fn a_truth_that_is_ruled_out_does_not_change_the_temperature() {
        let mut answers = drawn(3.0);
        let before = fitted_temperature(&answers);
        let mut impossible = answers[0].clone();
        impossible.logits[impossible.true_cell] = f32::NEG_INFINITY;
        answers.push(impossible);
        assert_eq!(fitted_temperature(&answers), before);
    }

    #[test]
    fn an_honest_posterior_covers_what_it_says() {
        let calibration = at(&drawn(1.0), 1.0);
        // A region ends with a whole cell, so it covers a little more than it says.
        assert!((90.0..99.5).contains(&calibration.coverage_90), "{calibration:?}");
        assert!((50.0..75.0).contains(&calibration.coverage_50), "{calibration:?}");
    }
}
