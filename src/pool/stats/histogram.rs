//! [`Histogram`]: durations, in fixed memory, without a lock, with an error of at most 6 %.
//!
//! The scale is log-linear: every power of two is cut into eight equal steps, as in `HdrHistogram`,
//! but the scale never grows. To record a duration is one relaxed addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps within a power of two, as a power of two itself.
const STEP_BITS: u32 = 3;
const STEPS: u64 = 1 << STEP_BITS;
/// The unit of the scale: 2^7 ns, about an eighth of a microsecond.
const UNIT_BITS: u32 = 7;
/// How many buckets there are. The highest one counts durations from 60 s on.
const BUCKETS: usize = bucket(60_000_000_000) + 1;

/// Durations from a microsecond to a minute. A shorter or longer one counts as the nearest of
/// these.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
}

/// The counts of a histogram at one moment.
#[derive(Clone, Debug)]
pub(crate) struct HistogramSnapshot {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos).min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut counts = [0; BUCKETS];
        for (to, from) in counts.iter_mut().zip(&self.counts) {
            *to = from.load(Relaxed);
        }
        HistogramSnapshot { counts }
    }
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl HistogramSnapshot {
    /// How many durations were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that a share of `rank` (0 to 1) of all durations do not exceed; zero if none
    /// was recorded.
    pub(crate) fn percentile(&self, rank: f64) -> Duration {
        let wanted = ((self.count() as f64 * rank).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(middle(index));
            }
        }
        Duration::ZERO
    }

    /// Adds the counts of another snapshot.
    #[cfg(test)]
    pub(crate) fn merge(&mut self, other: &Self) {
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
    }

    /// What was recorded since `earlier`, a snapshot of the same histogram.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut delta = self.clone();
        for (to, from) in delta.counts.iter_mut().zip(&earlier.counts) {
            *to = to.saturating_sub(*from);
        }
        delta
    }
}

/// The bucket of a duration. Up to eight units, a bucket is one unit wide.
const fn bucket(nanos: u64) -> usize {
    let units = nanos >> UNIT_BITS;
    if units < STEPS {
        return units as usize;
    }
    let power = units.ilog2() - STEP_BITS;
    ((power as u64 + 1) * STEPS + ((units >> power) - STEPS)) as usize
}

/// The middle of a bucket, in nanoseconds.
const fn middle(index: usize) -> u64 {
    let index = index as u64;
    let (low, width) = if index < STEPS {
        (index, 1)
    } else {
        let power = index / STEPS - 1;
        ((STEPS + index % STEPS) << power, 1 << power)
    };
    ((2 * low + width) << UNIT_BITS) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_at_most_two_kibibytes() {
        assert!(size_of::<Histogram>() <= 2048, "{}", size_of::<Histogram>());
    }

    #[test]
    fn the_middle_of_a_bucket_is_in_it_and_buckets_ascend() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(middle(index)), index);
            assert!(index == 0 || middle(index) > middle(index - 1));
        }
    }

    #[test]
    fn the_error_is_at_most_six_percent_from_a_microsecond_to_a_minute() {
        let mut nanos = 1_000_u64;
        while nanos < 60_000_000_000 {
            let error = middle(bucket(nanos)).abs_diff(nanos) as f64 / nanos as f64;
            assert!(error <= 0.0626, "{nanos} ns: {error}");
            nanos += nanos / 97 + 1;
        }
    }

    #[test]
    fn percentiles_are_read_off_a_table() {
        let histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 1000);
        for (rank, expected) in [(0.0, 0.001), (0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (1.0, 1.0)] {
            let got = snapshot.percentile(rank).as_secs_f64();
            assert!((got - expected).abs() <= 0.063 * expected, "{rank}: {got}");
        }
    }

    #[test]
    fn nothing_recorded_is_zero_and_the_ends_count_what_is_beyond_them() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().percentile(0.5), Duration::ZERO);
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        let snapshot = histogram.snapshot();
        assert!(snapshot.percentile(0.5) < Duration::from_micros(1));
        assert!(snapshot.percentile(1.0) > Duration::from_secs(55));
    }

    #[test]
    fn snapshots_add_and_subtract() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));
        let earlier = histogram.snapshot();
        histogram.record(Duration::from_millis(100));
        let delta = histogram.snapshot().since(&earlier);
        assert_eq!(delta.count(), 1);
        assert!(delta.percentile(0.5) > Duration::from_millis(90));
        let mut both = delta;
        both.merge(&earlier);
        assert_eq!(both.count(), 2);
    }
}
