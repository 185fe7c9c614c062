//! What the tiles ahead cost: a minute of flight at 20 m/s over fresh ground with the shipped network, a click a second.
//!
//! The flight's clock is turned by hand, so the minute lasts as long as the work in it. What is printed is a bound: for the time of
//! a step that encoded a tile all cores count as taken, though the step first waits some milliseconds for queries.

#[path = "../tests/ahead/flight.rs"]
mod flight;

use std::time::{Duration, Instant};

use flight::{FRAME, Flight, REACH_M, SPEED_MPS};

const CLICKS: u32 = 60;
/// Frames between two clicks.
const FRAMES: u32 = (1_000 / FRAME.as_millis()) as u32;
/// Frames in which what is in view at the start is encoded.
const WARM_UP: u32 = 150;

fn main() {
    let mut flight = Flight::new("models/smgeo-nano");
    (0..WARM_UP).for_each(|_| flight.fly());
    let before = flight.counts.tiles_ahead.get();
    let mut spent = Duration::ZERO;
    for click in 0..CLICKS {
        for _ in 0..FRAMES {
            flight.fly_on(Some(REACH_M));
            let encoded = flight.counts.tiles_ahead.get();
            let begun = Instant::now();
            flight.encode();
            if flight.counts.tiles_ahead.get() > encoded {
                spent += begun.elapsed();
            }
        }
        let part = |step: u32| f64::from(click * step % 21) / 10.0 - 1.0;
        flight.click(part(8), part(13));
    }
    let tiles = flight.counts.tiles_ahead.get() - before;
    let flown = FRAME * FRAMES * CLICKS;
    println!(
        "{SPEED_MPS} m/s for {} s: {tiles} tiles ahead, at most {:.1} ms each and {:.1} % of all cores; {} clicks, of which {} waited",
        flown.as_secs(),
        spent.as_secs_f64() * 1e3 / tiles as f64,
        spent.as_secs_f64() / flown.as_secs_f64() * 1e2,
        flight.counts.answered.get(),
        flight.counts.waited.get(),
    );
}
