//! [`Interval`]: what the threads counted since the last measurement of the load.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counters since the interval began. Those that entering work adds to and those that workers add
/// to are on separate cache lines, so that acceptor and workers do not contend for them.
#[derive(Debug, Default)]
pub(crate) struct Interval {
    entry: EntryCounters,
    service: ServiceCounters,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct EntryCounters {
    enqueued: AtomicU32,
    refused: AtomicU32,
    /// When work last arrived while overloaded, in nanoseconds since the epoch.
    attempted: AtomicU64,
}

#[derive(Debug)]
#[repr(align(128))]
struct ServiceCounters {
    /// When the interval began, in nanoseconds since the epoch.
    start: AtomicU64,
    /// Work that was taken and kept.
    kept: AtomicU32,
    /// The shortest wait of all work that was taken, in nanoseconds.
    shortest_wait: AtomicU64,
    /// Service time of all that was served, in nanoseconds.
    busy: AtomicU64,
    /// Whether any work was taken.
    has_taken: AtomicBool,
}

impl Default for ServiceCounters {
    fn default() -> Self {
        Self {
            start: AtomicU64::new(0),
            kept: AtomicU32::new(0),
            shortest_wait: AtomicU64::new(u64::MAX),
            busy: AtomicU64::new(0),
            has_taken: AtomicBool::new(false),
        }
    }
}

/// The counters of an interval that is over. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct IntervalCounts {
    pub(crate) elapsed: u64,
    pub(crate) enqueued: u32,
    pub(crate) refused: u32,
    pub(crate) kept: u32,
    pub(crate) shortest_wait: u64,
    pub(crate) busy: u64,
}

impl Interval {
    pub(crate) fn count_enqueued(&self) {
        self.entry.enqueued.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.entry.refused.fetch_add(1, Relaxed);
    }

    /// Work arrived at `now`. Noted only while overloaded.
    pub(crate) fn note_attempt(&self, now: u64) {
        self.entry.attempted.store(now, Relaxed);
    }

    pub(crate) fn last_attempt(&self) -> u64 {
        self.entry.attempted.load(Relaxed)
    }

    pub(crate) fn refused_so_far(&self) -> u32 {
        self.entry.refused.load(Relaxed)
    }

    /// A worker took work that had `waited`.
    pub(crate) fn count_taken(&self, waited: u64) {
        // Loads first: most work changes neither, and the cache line stays shared.
        if waited < self.service.shortest_wait.load(Relaxed) {
            self.service.shortest_wait.store(waited, Relaxed);
        }
        if !self.service.has_taken.load(Relaxed) {
            self.service.has_taken.store(true, Relaxed);
        }
    }

    pub(crate) fn count_kept(&self) {
        self.service.kept.fetch_add(1, Relaxed);
    }

    /// A turn served `count` requests, which took `nanos` together. The requests behind the first
    /// one of a pipeline were not admitted one by one, but they are work that was offered and done.
    pub(crate) fn count_served(&self, nanos: u64, count: u32) {
        self.service.busy.fetch_add(nanos, Relaxed);
        if count > 1 {
            self.service.kept.fetch_add(count - 1, Relaxed);
            self.entry.enqueued.fetch_add(count - 1, Relaxed);
        }
    }

    /// Whether any work was taken since the interval began.
    pub(crate) fn has_taken(&self) -> bool {
        self.service.has_taken.load(Relaxed)
    }

    /// Ends the interval if it is `length` old. Exactly one of the threads that call this gets the
    /// counts.
    pub(crate) fn end(&self, now: u64, length: u64) -> Option<IntervalCounts> {
        let (entry, service) = (&self.entry, &self.service);
        let start = service.start.load(Relaxed);
        let elapsed = now.saturating_sub(start);
        // The exchange of the start decides which thread ends the interval.
        if elapsed < length || service.start.compare_exchange(start, now, Relaxed, Relaxed).is_err()
        {
            return None;
        }
        service.has_taken.store(false, Relaxed);
        // Work that is counted between these exchanges is split between two intervals: one piece in
        // thousands, which no stronger ordering is worth.
        Some(IntervalCounts {
            elapsed,
            enqueued: entry.enqueued.swap(0, Relaxed),
            refused: entry.refused.swap(0, Relaxed),
            kept: service.kept.swap(0, Relaxed),
            shortest_wait: service.shortest_wait.swap(u64::MAX, Relaxed),
            busy: service.busy.swap(0, Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_requests_count_as_work_offered_and_done() {
        let interval = Interval::default();
        interval.count_enqueued();
        interval.count_kept();
        interval.count_served(32_000, 32);
        let counts = interval.end(100, 100).unwrap();
        assert_eq!((counts.enqueued, counts.kept, counts.busy), (32, 32, 32_000));
    }

    #[test]
    fn an_interval_ends_once_and_begins_at_zero() {
        let interval = Interval::default();
        interval.count_enqueued();
        interval.count_refused();
        interval.count_taken(70);
        interval.count_taken(50);
        interval.count_kept();
        interval.count_served(300, 1);
        assert_eq!(interval.end(99, 100), None);
        let counts = IntervalCounts {
            elapsed: 100,
            enqueued: 1,
            refused: 1,
            kept: 1,
            shortest_wait: 50,
            busy: 300,
        };
        assert_eq!(interval.end(100, 100), Some(counts));
        assert_eq!(interval.end(100, 100), None);
        let empty = IntervalCounts {
            elapsed: 100,
            enqueued: 0,
            refused: 0,
            kept: 0,
            shortest_wait: u64::MAX,
            busy: 0,
        };
        assert_eq!(interval.end(200, 100), Some(empty));
    }
}
