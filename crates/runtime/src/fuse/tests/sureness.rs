//! How sure a track may be: what repeats, and what all answers have in common, is never averaged away.

use super::*;

/// The same for a followed point that is so far off the clicked one.
fn found_off_click(north_m: f64, click_sigma_m: f64) -> Outcome {
    let Outcome::Found(mut found) = found(north_m, 2.0) else { unreachable!() };
    found.click = Covariance2::isotropic(click_sigma_m).unwrap();
    Outcome::Found(found)
}

#[test]
fn what_the_click_was_off_by_is_never_averaged_away() {
    let mut bench = bench();
    let track = (0..300).map(|_| bench.answer(found_off_click(0.0, 5.3))).last().unwrap();
    let ce90_m = track.estimate.as_ref().unwrap().ce90_m;
    assert!((11.4..14.0).contains(&ce90_m), "{ce90_m}");
}

#[test]
fn a_point_that_was_found_again_by_the_position_does_not_move_it() {
    let mut bench = bench();
    let known_m = (0..100).map(|_| bench.answer(found(0.0, 2.0))).last().unwrap().estimate.as_ref().unwrap().ce90_m;
    // The house next door, on a ray that allows for it.
    let track = (0..100).map(|_| bench.answer(found_off_click(9.0, 9.0))).last().unwrap();
    assert!(off_m(&track).abs() < 0.1, "{}", off_m(&track));
    assert!(track.estimate.as_ref().unwrap().ce90_m < known_m + 1.0);
}

#[test]
fn looking_at_one_view_for_long_is_looking_once() {
    let ce90_m = |hovers: bool| {
        let mut bench = bench();
        bench.hovers = hovers;
        (0..300).map(|_| bench.answer(found(0.0, 5.0))).last().unwrap().estimate.as_ref().unwrap().ce90_m
    };
    // One answer alone has 5 m each way, which is 10.7 m of CE90, and what all have in common.
    assert!(ce90_m(true) > 10.7 && ce90_m(false) < 7.0, "{} hovering, {} flying", ce90_m(true), ce90_m(false));
}

#[test]
fn consecutive_frames_do_not_make_it_surer_than_their_shared_error() {
    let mut bench = bench();
    let first = bench.answer(found(0.0, 2.0)).clone();
    let ce90_m = |track: &Track| track.estimate.as_ref().map(|estimate| estimate.ce90_m);
    for _ in 0..4 {
        bench.answer(found(0.0, 2.0));
    }
    // Five frames within a second weigh about as two independent ones, not as five.
    let fifth = ce90_m(&bench.answer(found(0.0, 2.0))).unwrap();
    assert!(ce90_m(&first).is_some());
    assert!(fifth > 4.29 / 2.0_f64.sqrt() * 0.9, "{fifth}");
}

#[test]
fn what_all_answers_have_in_common_stays_in_the_covariance() {
    let mut bench = bench();
    bench.click(1);
    let track = (0..2_000).map(|_| bench.answer(found(0.0, 2.0))).last().unwrap();
    let floor_m = SHARED_SIGMA_M.hypot(Config::default().map_sigma_m);
    let sigma_m = track.estimate.as_ref().unwrap().covariance.nn_m2().sqrt();
    assert!(sigma_m > floor_m && sigma_m < 1.5 * floor_m, "{sigma_m} for {floor_m}");
}
