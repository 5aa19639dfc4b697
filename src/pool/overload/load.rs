//! What the controller knows of the load: how long a service takes, and what an interval has seen.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The weight of a new sample of the service time, once there are enough of them.
const WEIGHT: f64 = 0.01;

/// A sample counts as no more than so many means: one request in a thousand that takes a thousand
/// times as long must not look like a server that has become slow.
const OUTLIER: f64 = 20.0;
/// Below this many nanoseconds no sample is an outlier.
const ORDINARY: f64 = 1e6;
/// How far a sample above or below the median moves it; and how far from the fourth sample in a row
/// on that is on the same side, since then services have become others.
const STEP: f64 = 1.02;
const STRIDE: f64 = 1.5;
const IN_A_ROW: i32 = 4;

/// How long a service takes. The mean: of the first hundred samples their average, then moving
/// exponentially. The median: moved by a constant factor toward each sample.
#[derive(Debug, Default)]
pub(crate) struct ServiceEstimate {
    /// Nanoseconds, as the bits of an `f64`.
    mean: AtomicU64,
    median: AtomicU64,
    /// How many samples in a row were above the median, or, negative, below.
    row: AtomicI32,
    samples: AtomicU32,
}

impl ServiceEstimate {
    /// Two threads at once may lose a sample, which an estimate can bear.
    pub(crate) fn add(&self, nanos: u64) {
        let sample = nanos as f64;
        self.move_median(sample);
        let samples = self.samples.load(Relaxed);
        let weight = if f64::from(samples) * WEIGHT < 1.0 {
            self.samples.store(samples + 1, Relaxed);
            1.0 / f64::from(samples + 1)
        } else {
            WEIGHT
        };
        let mean = self.mean();
        let sample = sample.min((mean * OUTLIER).max(ORDINARY));
        self.mean.store((mean + (sample - mean) * weight.max(WEIGHT)).to_bits(), Relaxed);
    }

    fn move_median(&self, sample: f64) {
        let (median, row) = (self.median(), self.row.load(Relaxed));
        let row = match median {
            0.0 => 0,
            _ if sample > median * STEP => row.max(0).saturating_add(1),
            _ if sample < median / STEP => row.min(0).saturating_sub(1),
            _ => 0,
        };
        let step = if row.abs() < IN_A_ROW { STEP } else { STRIDE };
        let moved = match row {
            0 if median == 0.0 => sample.max(1.0),
            0 => median,
            1.. => (median * step).min(sample),
            _ => (median / step).max(sample.max(1.0)),
        };
        self.row.store(row, Relaxed);
        self.median.store(moved.to_bits(), Relaxed);
    }

    /// The mean in nanoseconds; zero before the first sample.
    pub(crate) fn mean(&self) -> f64 {
        f64::from_bits(self.mean.load(Relaxed))
    }

    /// The median in nanoseconds; zero before the first sample. No minority of requests moves it,
    /// however long they take.
    pub(crate) fn median(&self) -> f64 {
        f64::from_bits(self.median.load(Relaxed))
    }
}

/// What has happened since the interval began. What entrances and workers add to is kept apart, so
/// that they do not take each other's cache lines.
#[derive(Debug, Default)]
pub(crate) struct Interval {
    entrance: Entrance,
    workers: Workers,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Entrance {
    entered: AtomicU32,
    refused: AtomicU32,
    /// When work last asked to enter, while overloaded; in nanoseconds since the epoch.
    attempted: AtomicU64,
}

#[derive(Debug)]
#[repr(align(128))]
struct Workers {
    /// When it began, in nanoseconds since the epoch.
    start: AtomicU64,
    /// Work that was taken and kept.
    kept: AtomicU32,
    /// The shortest wait of all work taken, in nanoseconds.
    shortest: AtomicU64,
    /// ServiceEstimate time of all that was served, in nanoseconds.
    busy: AtomicU64,
    /// Whether anything was taken at all.
    moved: AtomicBool,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            start: AtomicU64::new(0),
            kept: AtomicU32::new(0),
            shortest: AtomicU64::new(u64::MAX),
            busy: AtomicU64::new(0),
            moved: AtomicBool::new(false),
        }
    }
}

/// What an interval has seen, once it is over. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct IntervalCounts {
    pub(crate) elapsed: u64,
    pub(crate) entered: u32,
    pub(crate) refused: u32,
    pub(crate) kept: u32,
    pub(crate) shortest: u64,
    pub(crate) busy: u64,
}

impl Interval {
    pub(crate) fn entered(&self) {
        self.entrance.entered.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.entrance.refused.fetch_add(1, Relaxed);
    }

    /// Work asks to enter; told only while overloaded.
    pub(crate) fn attempt(&self, now: u64) {
        self.entrance.attempted.store(now, Relaxed);
    }

    pub(crate) fn last_attempt(&self) -> u64 {
        self.entrance.attempted.load(Relaxed)
    }

    pub(crate) fn refused_so_far(&self) -> u32 {
        self.entrance.refused.load(Relaxed)
    }

    /// A worker took something that had waited so long.
    pub(crate) fn taken(&self, waited: u64) {
        if waited < self.workers.shortest.load(Relaxed) {
            self.workers.shortest.store(waited, Relaxed);
        }
        if !self.workers.moved.load(Relaxed) {
            self.workers.moved.store(true, Relaxed);
        }
    }

    pub(crate) fn kept(&self) {
        self.workers.kept.fetch_add(1, Relaxed);
    }

    /// A turn served `count` requests, all of which took `nanos`. The requests behind the first one
    /// came in without asking: they are work that was offered and done all the same.
    pub(crate) fn served(&self, nanos: u64, count: u32) {
        self.workers.busy.fetch_add(nanos, Relaxed);
        if count > 1 {
            self.workers.kept.fetch_add(count - 1, Relaxed);
            self.entrance.entered.fetch_add(count - 1, Relaxed);
        }
    }

    pub(crate) fn moved(&self) -> bool {
        self.workers.moved.load(Relaxed)
    }

    /// Ends the interval if it is `length` old, for exactly one of those who ask.
    pub(crate) fn end(&self, now: u64, length: u64) -> Option<IntervalCounts> {
        let (entrance, workers) = (&self.entrance, &self.workers);
        let start = workers.start.load(Relaxed);
        let elapsed = now.saturating_sub(start);
        if elapsed < length || workers.start.compare_exchange(start, now, Relaxed, Relaxed).is_err()
        {
            return None;
        }
        workers.moved.store(false, Relaxed);
        Some(IntervalCounts {
            elapsed,
            entered: entrance.entered.swap(0, Relaxed),
            refused: entrance.refused.swap(0, Relaxed),
            kept: workers.kept.swap(0, Relaxed),
            shortest: workers.shortest.swap(u64::MAX, Relaxed),
            busy: workers.busy.swap(0, Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_samples_are_averaged() {
        let service = ServiceEstimate::default();
        assert_eq!(service.mean(), 0.0);
        [1000, 2000, 6000].into_iter().for_each(|nanos| service.add(nanos));
        assert!((service.mean() - 3000.0).abs() < 1e-6);
    }

    #[test]
    fn the_mean_follows_a_change_within_a_few_hundred_samples() {
        for (before, after) in [(5e6, 5e4), (5e4, 5e6), (0.0, 5e6)] {
            let service = ServiceEstimate::default();
            (0..1000).for_each(|_| service.add(before as u64));
            (0..500).for_each(|_| service.add(after as u64));
            assert!((service.mean() - after).abs() < 0.01 * f64::max(before, after));
        }
    }

    #[test]
    fn one_outlier_moves_neither_the_mean_nor_the_median_by_much() {
        let service = ServiceEstimate::default();
        (0..1000).for_each(|_| service.add(5_000_000));
        service.add(45_000_000_000);
        assert!(service.mean() < 6_000_000.0, "{}", service.mean());
        assert!((4_800_000.0..=5_200_000.0).contains(&service.median()), "{}", service.median());
    }

    #[test]
    fn a_minority_does_not_move_the_median() {
        let service = ServiceEstimate::default();
        for n in 0..2000 {
            service.add(if n % 4 == 0 { 2_000_000_000 } else { 5_000_000 });
        }
        assert!((4_000_000.0..=8_000_000.0).contains(&service.median()), "{}", service.median());
    }

    #[test]
    fn the_median_follows_a_change_within_a_few_dozen_samples() {
        for (before, after) in [(1_000_000_000, 5_000_000), (5_000_000, 1_000_000_000)] {
            let service = ServiceEstimate::default();
            (0..1000).for_each(|_| service.add(before));
            (0..25).for_each(|_| service.add(after));
            assert!((service.median() / after as f64 - 1.0).abs() < 0.1, "{}", service.median());
        }
    }

    #[test]
    fn pipelined_requests_count_as_work_offered_and_done() {
        let interval = Interval::default();
        interval.entered();
        interval.kept();
        interval.served(32_000, 32);
        let seen = interval.end(100, 100).unwrap();
        assert_eq!((seen.entered, seen.kept, seen.busy), (32, 32, 32_000));
    }

    #[test]
    fn an_interval_ends_once_and_begins_at_zero() {
        let interval = Interval::default();
        interval.entered();
        interval.refused();
        interval.taken(70);
        interval.taken(50);
        interval.kept();
        interval.served(300, 1);
        assert_eq!(interval.end(99, 100), None);
        let seen = IntervalCounts {
            elapsed: 100,
            entered: 1,
            refused: 1,
            kept: 1,
            shortest: 50,
            busy: 300,
        };
        assert_eq!(interval.end(100, 100), Some(seen));
        assert_eq!(interval.end(100, 100), None);
        let empty = IntervalCounts {
            elapsed: 100,
            entered: 0,
            refused: 0,
            kept: 0,
            shortest: u64::MAX,
            busy: 0,
        };
        assert_eq!(interval.end(200, 100), Some(empty));
    }
}
