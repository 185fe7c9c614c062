//! A slot in which only the newest item matters.
//!
//! The producer never waits: it evicts what nobody took. The consumer never sees an older item after a newer one, and
//! what was evicted is counted, so `put = taken + superseded + (0 or 1 waiting)` always holds. It stands on a
//! crossbeam channel of one place; one producer, any number of consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

/// Makes a slot: the end that puts and the end that takes.
pub fn channel<T>() -> (Put<T>, Take<T>) {
    let (sender, receiver) = bounded(1);
    let superseded = Arc::new(AtomicU64::new(0));
    (Put { sender, stale: receiver.clone(), superseded: superseded.clone() }, Take { receiver, superseded })
}

/// Is the producing end. A clone is for a stage that is built anew after its predecessor is gone; two that put at once
/// would replace each other's items, each loss counted.
pub struct Put<T> {
    sender: Sender<T>,
    stale: Receiver<T>,
    superseded: Arc<AtomicU64>,
}

impl<T> Clone for Put<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), stale: self.stale.clone(), superseded: self.superseded.clone() }
    }
}

impl<T> Put<T> {
    /// Puts the newest item and returns the one it replaced, if nobody had taken that.
    pub fn put(&mut self, mut item: T) -> Option<T> {
        let mut stale = None;
        // With one producer the first eviction makes room, so the second attempt ends it.
        while let Err(TrySendError::Full(refused)) = self.sender.try_send(item) {
            item = refused;
            stale = self.stale.try_recv().ok();
            if stale.is_some() {
                self.superseded.fetch_add(1, Ordering::Relaxed);
            }
        }
        stale
    }

    /// Counts the items that were replaced before anyone took them.
    pub fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }
}

/// Is the consuming end. A clone shares the slot: each item goes to one of them.
pub struct Take<T> {
    receiver: Receiver<T>,
    superseded: Arc<AtomicU64>,
}

impl<T> Clone for Take<T> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), superseded: self.superseded.clone() }
    }
}

impl<T> Take<T> {
    /// Waits at most `timeout` for an item. A producer that is gone reads as an empty slot, after the same wait: it may
    /// be restarted.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        match self.receiver.recv_timeout(timeout) {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::park_timeout(timeout);
                None
            }
        }
    }

    /// Returns the item that waits, if one does.
    pub fn try_take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Counts the items that were replaced before anyone took them.
    pub fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_slot_keeps_the_newest() {
        let (mut put, take) = channel();
        assert_eq!(put.put(1), None);
        assert_eq!(put.put(2), Some(1));
        assert_eq!(put.put(3), Some(2));
        assert_eq!(take.take(Duration::ZERO), Some(3));
        assert_eq!(take.superseded(), 2);
    }

    #[test]
    fn an_empty_slot_gives_nothing_and_returns() {
        let (_put, take) = channel::<u8>();
        assert_eq!(take.take(Duration::from_millis(1)), None);
    }

    #[test]
    fn nothing_is_lost_uncounted_and_order_holds_between_two_threads() {
        const ITEMS: u64 = 50_000;
        let (mut put, take) = channel();
        let producer = std::thread::spawn(move || {
            for item in 1..=ITEMS {
                put.put(item);
            }
            put
        });
        let (mut taken, mut newest) = (0, 0);
        while newest < ITEMS {
            if let Some(item) = take.take(Duration::from_millis(100)) {
                assert!(item > newest);
                newest = item;
                taken += 1;
            }
        }
        let put = producer.join().expect("the producer ends");
        assert_eq!(taken + put.superseded(), ITEMS);
    }
}
