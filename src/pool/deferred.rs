//! [`Deferred`]: work that waits for a worker of its client.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pool::work::{QueueItem, QueuedWork};
use crate::sync::lock;

/// Work of clients that have their part of the workers already. It waits here, bounded, until a
/// worker of that client is done or no other client waits. A worker that ends a service looks here
/// first, so that no worker has to be woken for deferred work.
#[derive(Debug)]
pub(super) struct Deferred<W> {
    items: Mutex<VecDeque<QueuedWork<W>>>,
    /// How many there are, to be read without the lock: usually there are none. It is written under
    /// the lock, so a reader sees at worst a state that has just changed.
    count: AtomicUsize,
    capacity: usize,
}

impl<W: QueueItem> Deferred<W> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { items: Mutex::default(), count: AtomicUsize::new(0), capacity }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// # Errors
    /// The work, if there is no room.
    pub(super) fn push(&self, queued: QueuedWork<W>) -> Result<(), QueuedWork<W>> {
        let mut items = lock(&self.items);
        if items.len() >= self.capacity {
            return Err(queued);
        }
        items.push_back(queued);
        self.count.store(items.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Takes the first one that is `wanted`.
    pub(super) fn take(&self, wanted: impl Fn(&QueuedWork<W>) -> bool) -> Option<QueuedWork<W>> {
        if self.len() == 0 {
            return None;
        }
        let mut items = lock(&self.items);
        let index = items.iter().position(wanted)?;
        let queued = items.remove(index);
        self.count.store(items.len(), Ordering::SeqCst);
        queued
    }

    /// How long the oldest of them has waited; zero if there is none.
    pub(super) fn oldest(&self, now: Instant) -> Duration {
        if self.len() == 0 {
            return Duration::ZERO;
        }
        let ages = |queued: &QueuedWork<W>| now.saturating_duration_since(queued.entered);
        lock(&self.items).iter().map(ages).max().unwrap_or_default()
    }

    pub(super) fn any(&self, wanted: impl Fn(&QueuedWork<W>) -> bool) -> bool {
        self.len() > 0 && lock(&self.items).iter().any(wanted)
    }
}
