//! Over fresh ground no click waits for a tile: whatever is clicked, its tiles have been encoded by then.

#[path = "ahead/flight.rs"]
mod flight;

use flight::{EVIDENCE_MAX, Flight};
use smgeo_flow::{Clock, Stage, Verdict};
use smgeo_messages::{FrameId, QueryBatch, TargetId};

const PACKAGE: &str = "crates/engine/tests/packages/matched";

#[test]
fn over_fresh_ground_no_click_waits_for_a_tile() {
    let mut flight = Flight::new(PACKAGE);
    // Some seconds to encode what is in view at the start.
    (0..150).for_each(|_| flight.fly());
    let before = flight.counts.tiles_ahead.get();
    for click in 0..60 {
        (0..5).for_each(|_| flight.fly());
        let part = |step: u32| f64::from(click * step % 21) / 10.0 - 1.0;
        flight.click(part(8), part(13));
    }
    let counts = &flight.counts;
    assert_eq!((counts.answered.get(), counts.waited.get(), counts.tiles_late.get()), (60, 0, 0));
    // 1,200 m of flight, 1,200 fresh metres of a strip as wide as picture and windows.
    let tiles_a_second = (counts.tiles_ahead.get() - before) as f64 / 60.0;
    assert!((0.5..2.5).contains(&tiles_a_second), "{tiles_a_second} tiles a second");
}

#[test]
fn where_queries_never_stop_the_tiles_ahead_still_come() {
    let mut flight = Flight::new(PACKAGE);
    (0..150).for_each(|_| flight.fly());
    let before = flight.counts.tiles_ahead.get();
    // A query is always there, so no step has time for itself.
    for _ in 0..300 {
        flight.fly_on(None);
        flight.click(0.0, 0.0);
    }
    assert_eq!(flight.counts.waited.get(), 0);
    assert!(flight.counts.tiles_ahead.get() > before);
}

#[test]
fn what_a_query_asked_for_stays_asked_for_while_the_gaze_moves_on() {
    // The map ends before the ground that is clicked, half a kilometre from all that is needed ahead.
    let mut flight = Flight::over(PACKAGE, 0);
    flight.click(5.0, 0.0);
    let asked = flight.unreadable(5.0, 0.0);
    assert!(asked >= 9, "{asked} tiles");
    flight.look_down();
    flight.encode();
    assert_eq!(flight.unreadable(5.0, 0.0), asked);
}

#[test]
fn evidence_that_finds_no_room_is_counted_each_and_one_fault_says_so() {
    let mut flight = Flight::new(PACKAGE);
    let unseen: Vec<_> = (0..EVIDENCE_MAX as u32 + 3).map(|target| (TargetId(target), "out of sight")).collect();
    let (captured, frame, queries) = (flight.clock.now(), FrameId(1), Vec::new());
    flight.queries.put(QueryBatch { frame, captured, queries, unseen, telemetry_age: None });
    let fault = flight.locate.step().unwrap_err();
    assert_eq!(fault.verdict, Verdict::Skip, "{fault}");
    assert_eq!((flight.answers.try_iter().count(), flight.counts.evidence_lost.get()), (EVIDENCE_MAX, 3));
    flight.locate.step().unwrap();
}
