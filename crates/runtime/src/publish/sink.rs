//! One output, and the thread that feeds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use smgeo_flow::{Fault, SharedClock, Stage};
use smgeo_messages::Track;
use smgeo_messages::wire::{Publisher, TrackV1};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::PublishError;

/// How long a step waits for a track: an idle sink still ends, and tidies up, in this time.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Takes tracks out of the machine.
pub trait Sink: Send {
    /// Names the output in logs and metrics.
    fn name(&self) -> &'static str;

    /// Sends one track. It may wait for the network or the disk, never for long.
    fn publish(&mut self, track: &Numbered) -> Result<(), PublishError>;

    /// Is called while no track comes, and after each: tidies up.
    fn idle(&mut self) -> Result<(), PublishError> {
        Ok(())
    }
}

/// Is a track with its number in this output, in the form that leaves the machine.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The track.
    pub track: Arc<Track>,
    /// The record.
    pub wire: TrackV1,
    /// The record as JSON, one line without its end.
    pub json: Bytes,
}

impl Numbered {
    /// Puts a track into the form that leaves the machine.
    pub fn new(
        track: Arc<Track>,
        publisher: &Publisher,
        sequence: u64,
        clock: &SharedClock,
    ) -> Result<Self, PublishError> {
        let wire = TrackV1::new(&track, publisher, sequence, clock.as_ref());
        let json = serde_json::to_vec(&wire)?.into();
        Ok(Self { track, wire, json })
    }
}

/// Counts what became of tracks in one output.
#[derive(Debug, Default)]
pub struct SinkCounts {
    /// Tracks sent.
    pub sent: AtomicU64,
    /// Tracks lost because the output was too slow. Their numbers are left out, so that readers see the gap.
    pub lagged: AtomicU64,
    /// Tracks that could not be sent.
    pub failed: AtomicU64,
    // The number of the last track: it goes on when the output is built anew, so that readers see the gap.
    sequence: AtomicU64,
}

/// Feeds one sink.
pub struct SinkStage {
    sink: Box<dyn Sink>,
    tracks: Receiver<Arc<Track>>,
    publisher: Publisher,
    clock: SharedClock,
    counts: Arc<SinkCounts>,
    // Only for waiting with a limit.
    runtime: Runtime,
}

impl SinkStage {
    /// Makes the stage. It owns its end of the broadcast; the counts outlive it.
    pub fn new(
        sink: Box<dyn Sink>,
        tracks: Receiver<Arc<Track>>,
        publisher: Publisher,
        clock: SharedClock,
        counts: Arc<SinkCounts>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { sink, tracks, publisher, clock, counts, runtime })
    }

    /// The counts so far.
    pub fn counts(&self) -> &Arc<SinkCounts> {
        &self.counts
    }
}

impl Stage for SinkStage {
    fn name(&self) -> &'static str {
        self.sink.name()
    }

    fn step(&mut self) -> Result<(), Fault> {
        let next = self.runtime.block_on(async { tokio::time::timeout(WAIT_MAX, self.tracks.recv()).await });
        match next {
            Ok(Ok(track)) => {
                let sequence = self.counts.sequence.fetch_add(1, Ordering::Relaxed) + 1;
                let sent = Numbered::new(track, &self.publisher, sequence, &self.clock)
                    .and_then(|numbered| self.sink.publish(&numbered));
                let count = if sent.is_ok() { &self.counts.sent } else { &self.counts.failed };
                count.fetch_add(1, Ordering::Relaxed);
                sent.map_err(Fault::skip)?;
            }
            Ok(Err(RecvError::Lagged(lost))) => {
                self.counts.sequence.fetch_add(lost, Ordering::Relaxed);
                self.counts.lagged.fetch_add(lost, Ordering::Relaxed);
            }
            // The fusion may be restarted and subscribe us anew; until then there is nothing to do.
            Ok(Err(RecvError::Closed)) => std::thread::park_timeout(WAIT_MAX),
            Err(_) => {}
        }
        self.sink.idle().map_err(Fault::skip)
    }
}
