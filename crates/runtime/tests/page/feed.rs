//! A camera and a fusion for the page: three seconds of H.264 over and over, and a locked track for every target.
//!
//! `feed.h264` is 640 x 360 at 25 frames a second with a key frame a second, Annex B, an access unit delimiter before each
//! unit. Its picture n (0 to 74) shows n in seven squares at the top left, white for one, the most significant first.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::harness::Harness;

const FEED: &[u8] = include_bytes!("feed.h264");
pub const PICTURES: u64 = 75;
const GOP: u64 = 25;
/// The id of the first frame; its picture is 0.
pub const FIRST: u64 = 1_763_800_000_000;
const FRAME_EVERY: Duration = Duration::from_millis(40);
/// Each track stands on every third frame.
const FRAMES_PER_TRACK: u64 = 3;

/// Runs until it is dropped; can be held still.
pub struct Feed {
    held: Rc<AtomicBool>,
}

impl Feed {
    pub fn start(server: Rc<Harness>) -> Self {
        let held = Rc::new(AtomicBool::new(false));
        let hold = held.clone();
        actix_rt::spawn(async move {
            let units = units();
            let mut tick = tokio::time::interval(FRAME_EVERY);
            let mut shown = 0;
            loop {
                tick.tick().await;
                if hold.load(Ordering::SeqCst) {
                    continue;
                }
                let unit = units[(shown % PICTURES) as usize].clone();
                server.show(FIRST + shown, shown % GOP == 0, unit);
                if shown % FRAMES_PER_TRACK == 0 {
                    server.fly();
                    let prompts = server.prompt_set.borrow().targets.clone();
                    prompts.iter().for_each(|prompt| server.publish(prompt, shown));
                }
                shown += 1;
            }
        });
        Self { held }
    }

    /// Stops camera and fusion, or lets them go on.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }
}

/// Cuts the file at its access unit delimiters.
fn units() -> Vec<Bytes> {
    const DELIMITER: [u8; 5] = [0, 0, 0, 1, 9];
    let starts: Vec<usize> = (0..FEED.len() - 4).filter(|at| FEED[*at..at + 5] == DELIMITER).collect();
    let ends = starts.iter().skip(1).copied().chain([FEED.len()]);
    let units: Vec<Bytes> =
        starts.iter().zip(ends).map(|(start, end)| Bytes::from_static(&FEED[*start..end])).collect();
    assert_eq!(units.len() as u64, PICTURES);
    units
}
