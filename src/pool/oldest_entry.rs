//! [`OldestEntry`]: since when the oldest entry of a channel waits, about.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A bound on the age of the oldest entry of a channel, whose entries nobody can look at without
/// taking them.
///
/// The channel is first in, first out: what is in it entered after the entry that was taken last,
/// or, if it was empty since, at the time of the entry that found it empty. So the age is never too
/// low, except by the time of a race between two threads, and too high at most by the time between
/// two entries that followed each other.
#[derive(Debug)]
pub(crate) struct OldestEntry {
    epoch: Instant,
    /// In microseconds since the epoch. A load and a store each: a reader that sees an older value
    /// reports a moment ago.
    micros: AtomicU64,
}

impl OldestEntry {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, micros: AtomicU64::new(0) }
    }

    /// An entry of this time was added to an empty channel, or taken.
    pub(crate) fn note(&self, entered: Instant) {
        let micros = entered.saturating_duration_since(self.epoch).as_micros() as u64;
        self.micros.store(micros, Relaxed);
    }

    /// The age of the oldest entry, if the channel is not empty.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        let since = self.epoch + Duration::from_micros(self.micros.load(Relaxed));
        now.saturating_duration_since(since)
    }
}
