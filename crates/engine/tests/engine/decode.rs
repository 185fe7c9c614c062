//! Maps to a posterior, a box and a covariance.

use proptest::prelude::*;
use smgeo_engine::backend::Maps;
use smgeo_engine::decode::decode_posterior;
use smgeo_engine::{EngineError, Posterior, decode};

const STRIDE_PX: usize = 16;

/// Maps of `width` columns with this heat; every box is 2 x 1 cells around the middle of its cell.
fn maps(width: usize, heat: &[f32]) -> Maps {
    let boxes = heat.iter().flat_map(|_| [0.5, 0.5, 2.0, 1.0]).collect();
    Maps { width, height: heat.len() / width, heat: heat.to_vec(), boxes, attention: vec![0.0; heat.len()] }
}

/// A map of 20 x 20 cells that is cold but for these.
fn peaks(peaks: &[(usize, usize, f32)]) -> Maps {
    let mut heat = vec![-20.0; 400];
    peaks.iter().for_each(|(column, row, logit)| heat[row * 20 + column] = *logit);
    maps(20, &heat)
}

#[test]
fn the_posterior_is_a_softmax_with_absence() {
    let found = decode(&maps(2, &[0.0, (2.0f32).ln(), f32::NEG_INFINITY, (3.0f32).ln()]), STRIDE_PX, 1.0).unwrap();
    // Weights 1, 2, 0, 3 and 1 for absence.
    for (p, expected) in found.posterior.probabilities().iter().zip([1.0 / 7.0, 2.0 / 7.0, 0.0, 3.0 / 7.0]) {
        assert!((p - expected).abs() < 1e-6);
    }
    assert!((found.posterior.absent() - 1.0 / 7.0).abs() < 1e-6);
    assert_eq!(found.cell, [1, 1]);
    assert!((found.score - 0.75).abs() < 1e-6);
    let entropy: f32 = [1.0, 2.0, 3.0, 1.0].iter().map(|w: &f32| -(w / 7.0) * (w / 7.0).ln()).sum();
    assert!((found.posterior.entropy_nats() - entropy).abs() < 1e-6);
}

#[test]
fn temperature_divides_the_logits() {
    let hot = decode(&peaks(&[(3, 4, 6.0)]), STRIDE_PX, 1.0).unwrap();
    let cool = decode(&peaks(&[(3, 4, 6.0)]), STRIDE_PX, 3.0).unwrap();
    assert_eq!(hot.cell, cool.cell);
    assert!(hot.mass > cool.mass && hot.posterior.absent() < cool.posterior.absent());
    let odds = cool.posterior.probabilities()[4 * 20 + 3] / cool.posterior.absent();
    assert!((odds - 2.0f32.exp()).abs() < 1e-3);
}

#[test]
fn of_equal_cells_the_first_is_taken() {
    let found = decode(&maps(3, &[1.0, 5.0, 5.0, 5.0, 0.0, 5.0]), STRIDE_PX, 1.0).unwrap();
    assert_eq!(found.cell, [1, 0]);
    let flat = decode(&maps(3, &[0.0; 6]), STRIDE_PX, 1.0).unwrap();
    assert_eq!(flat.cell, [0, 0]);
}

#[test]
fn a_box_is_centred_without_half_a_cell() {
    let mut maps = peaks(&[(3, 4, 6.0)]);
    maps.boxes[4 * (4 * 20 + 3)..][..4].copy_from_slice(&[0.25, 0.0, 2.0, 4.0]);
    let found = decode(&maps, 32, 1.0).unwrap();
    assert_eq!(found.box_xyxy_px, [72.0, 64.0, 136.0, 192.0]);
    assert_eq!(found.centre_px, [104.0, 128.0]);
}

#[test]
fn a_certain_peak_has_the_covariance_of_one_cell() {
    let found = decode(&peaks(&[(3, 4, 30.0)]), STRIDE_PX, 1.0).unwrap();
    assert_eq!(found.mean_px, [56.0, 72.0]);
    let floor = 256.0 / 12.0;
    for (value, expected) in found.covariance_px2.as_flattened().iter().zip([floor, 0.0, 0.0, floor]) {
        assert!((value - expected).abs() < 1e-6, "{:?}", found.covariance_px2);
    }
    assert_eq!(found.modes.len(), 1);
}

#[test]
fn neighbours_widen_the_covariance_and_move_the_mean() {
    let found = decode(&peaks(&[(3, 4, 9.0), (4, 4, 9.0)]), STRIDE_PX, 1.0).unwrap();
    assert!((found.mean_px[0] - 64.0).abs() < 1e-3 && (found.mean_px[1] - 72.0).abs() < 1e-3, "{:?}", found.mean_px);
    // Two equal places one cell apart: a variance of a quarter of a squared cell on top of the floor.
    assert!((found.covariance_px2[0][0] - 256.0 * (1.0 / 12.0 + 0.25)).abs() < 0.1);
    assert!((found.covariance_px2[1][1] - 256.0 / 12.0).abs() < 0.1);
}

#[test]
fn other_places_are_reported_as_modes() {
    let found = decode(&peaks(&[(3, 4, 9.0), (15, 12, 8.5), (15, 13, 8.4), (9, 19, 2.0)]), STRIDE_PX, 1.0).unwrap();
    let cells: Vec<[usize; 2]> = found.modes.iter().map(|mode| mode.cell).collect();
    assert_eq!(cells, [[3, 4], [15, 12]], "the third place holds less than one hundredth");
    assert!(found.modes[1].mass > found.modes[0].mass, "two cells together hold more than the higher peak");
}

#[test]
fn a_prior_moves_the_answer_but_not_to_where_nothing_is() {
    let maps = peaks(&[(3, 4, 6.0), (15, 12, 5.0)]);
    let posterior = || Posterior::new(&maps, STRIDE_PX, 1.0).unwrap();
    let near = |x: f64, y: f64| (-((x - 248.0).powi(2) + (y - 200.0).powi(2)) / (2.0 * 64.0 * 64.0)).exp();
    let found = decode_posterior(posterior().with_prior(near), &maps).unwrap();
    assert_eq!(found.cell, [15, 12]);
    let scaled = decode_posterior(posterior().with_prior(|x, y| near(x, y) * 2.0_f64.powi(-900)), &maps).unwrap();
    assert_eq!(found, scaled, "a common factor changes nothing");
    let same = posterior().with_prior(|_, _| 0.05);
    for (a, b) in same.probabilities().iter().zip(posterior().probabilities()) {
        assert!((a - b).abs() < 1e-6);
    }
    for impossible in [0.0, -1.0, f64::NAN] {
        let nowhere = posterior().with_prior(|_, _| impossible);
        assert_eq!(nowhere.absent(), 1.0);
        assert!(decode_posterior(nowhere, &maps).is_ok());
    }
}

#[test]
fn a_box_that_is_no_number_is_refused_beside_the_peak_and_ignored_where_nothing_can_be() {
    let mut beside = peaks(&[(3, 4, 6.0)]);
    let neighbour = 4 * beside.width + 4;
    beside.boxes[4 * neighbour] = f32::NAN;
    assert!(matches!(decode(&beside, STRIDE_PX, 1.0), Err(EngineError::Output { .. })));
    beside.heat[neighbour] = f32::NEG_INFINITY;
    let found = decode(&beside, STRIDE_PX, 1.0).unwrap();
    assert!(found.mean_px.iter().chain(found.covariance_px2.as_flattened()).all(|number| number.is_finite()));
}

#[test]
fn maps_that_cannot_be_are_refused() {
    let not_a_number = maps(2, &[0.0, f32::NAN]);
    let endless = maps(2, &[0.0, f32::INFINITY]);
    let masked = maps(2, &[f32::NEG_INFINITY; 2]);
    let mut boxless = maps(2, &[0.0, 1.0]);
    boxless.boxes[4] = f32::NAN;
    let short = Maps { width: 3, ..maps(2, &[0.0, 1.0]) };
    assert!(matches!(decode(&not_a_number, 16, 1.0), Err(EngineError::Output { .. })));
    assert!(matches!(decode(&endless, 16, 1.0), Err(EngineError::Output { .. })));
    assert!(matches!(decode(&masked, 16, 1.0), Err(EngineError::EmptyWindow)));
    assert!(matches!(decode(&boxless, 16, 1.0), Err(EngineError::Output { .. })));
    assert!(matches!(decode(&short, 16, 1.0), Err(EngineError::Shape(_))));
    assert!(matches!(decode(&Maps::default(), 16, 1.0), Err(EngineError::Shape(_))));
    assert!(matches!(decode(&maps(1, &[0.0]), 16, 0.0), Err(EngineError::Number(_))));
}

proptest! {
    #[test]
    fn whatever_the_heat_the_answer_is_finite_and_adds_up(
        heat in proptest::collection::vec(prop_oneof![-90.0f32..90.0, Just(f32::NEG_INFINITY), Just(3e38f32), -1.0f32..1.0], 48),
        numbers in proptest::collection::vec(prop_oneof![-1e30f32..1e30, -2.0f32..2.0], 192),
        temperature in 0.05f32..20.0,
        slope in -1.0f64..1.0,
    ) {
        let maps = Maps { width: 8, height: 6, heat, boxes: numbers, attention: vec![0.0; 48] };
        prop_assume!(maps.heat.iter().any(|logit| logit.is_finite()));
        let posterior = Posterior::new(&maps, STRIDE_PX, temperature).unwrap();
        for posterior in [posterior.clone(), posterior.with_prior(|x, y| (slope * (x - y)).exp())] {
            let found = decode_posterior(posterior, &maps).unwrap();
            let total = found.posterior.probabilities().iter().sum::<f32>() + found.posterior.absent();
            prop_assert!((total - 1.0).abs() < 1e-4, "{total}");
            let [[xx, xy], [yx, yy]] = found.covariance_px2;
            prop_assert!(xx > 0.0 && yy > 0.0 && xx * yy - xy * yx > 0.0 && xy == yx);
            prop_assert!(found.box_xyxy_px.iter().all(|edge| edge.is_finite()));
            prop_assert!(found.mean_px.iter().all(|at| at.is_finite()));
            prop_assert!((0.0..=1.0001).contains(&found.mass) && found.posterior.entropy_nats() >= -1e-6);
        }
    }
}
