//! Makes batches ahead of training, in background threads with a bounded queue each.
//!
//! Thread `i` of `n` makes the steps that leave remainder `i`, and batches are taken in turn, so the order of steps does not
//! depend on which thread is faster.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::DataError;
use super::batch::Batch;
use super::pair_sampler::PairSampler;
use super::sampler::Sampler;

/// Batches that wait for training, per thread.
const AHEAD: usize = 4;

/// What batches are drawn by.
#[derive(Clone)]
pub enum Source {
    /// From grounds.
    Grounds(Sampler),
    /// From pair sets, whose pictures are read when they are drawn.
    Pairs(PairSampler),
}

impl Source {
    /// The batch of a step.
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        match self {
            Self::Grounds(sampler) => Ok(sampler.batch(step)),
            Self::Pairs(sampler) => sampler.batch(step),
        }
    }
}

/// A stream of batches from a given step on.
pub struct Feed {
    receivers: Vec<Receiver<Result<Batch, DataError>>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl Feed {
    /// Starts `threads` (at least one) threads that draw from `source`, beginning with step `first`.
    pub fn start(source: &Source, first: u64, threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let mut receivers = Vec::new();
        let mut handles = Vec::new();
        for index in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let source = source.clone();
            let work = move || produce(&source, &sender, first + index as u64, threads as u64);
            handles.push(std::thread::Builder::new().name(format!("feed-{index}")).spawn(work)?);
            receivers.push(receiver);
        }
        Ok(Self { receivers, threads: handles, next: 0 })
    }

    /// The next batch, or why it cannot be made. `None` when a thread has died, which is a bug in the generator.
    pub fn take(&mut self) -> Option<Result<Batch, DataError>> {
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

fn produce(source: &Source, sender: &SyncSender<Result<Batch, DataError>>, first: u64, stride: u64) {
    let mut step = first;
    while sender.send(source.batch(step)).is_ok() {
        step += stride;
    }
}
