//! Makes batches ahead of training, in background threads with a bounded queue each.
//!
//! Thread `i` of `n` makes the steps that leave remainder `i`, and batches are taken in turn, so the order of steps does not
//! depend on which thread is faster.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::batch::Batch;
use super::sampler::Sampler;

/// Batches that wait for training, per thread.
const AHEAD: usize = 4;

/// A stream of batches from a given step on.
pub struct Feed {
    receivers: Vec<Receiver<Batch>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl Feed {
    /// Starts `threads` (at least one) threads that draw from `sampler`, beginning with step `first`.
    pub fn start(sampler: &Sampler, first: u64, threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let mut receivers = Vec::new();
        let mut handles = Vec::new();
        for index in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let sampler = sampler.clone();
            let work = move || produce(&sampler, &sender, first + index as u64, threads as u64);
            handles.push(std::thread::Builder::new().name(format!("feed-{index}")).spawn(work)?);
            receivers.push(receiver);
        }
        Ok(Self { receivers, threads: handles, next: 0 })
    }

    /// The next batch. `None` when a thread has died, which is a bug in the generator.
    pub fn take(&mut self) -> Option<Batch> {
        let batch = self.receivers[self.next].recv().ok();
        self.next = (self.next + 1) % self.receivers.len();
        batch
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Without a receiver the producers end at their next send.
        self.receivers.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a data thread panicked");
            }
        }
    }
}

fn produce(sampler: &Sampler, sender: &SyncSender<Batch>, first: u64, stride: u64) {
    let mut step = first;
    while sender.send(sampler.batch(step)).is_ok() {
        step += stride;
    }
}
