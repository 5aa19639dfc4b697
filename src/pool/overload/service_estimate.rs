//! [`ServiceEstimate`]: how long a service takes.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The weight of a new sample of the service time, once there are enough of them.
const WEIGHT: f64 = 0.01;

/// A sample counts as no more than this many means: one request in a thousand that takes a thousand
/// times as long must not look like a server that has become slow.
const OUTLIER_FACTOR: f64 = 20.0;
/// Below this many nanoseconds no sample is an outlier.
const ORDINARY: f64 = 1e6;
/// The factor by which a sample above or below the median moves it.
const MEDIAN_STEP: f64 = 1.02;
/// The factor from the fourth sample in a row on that is on the same side of the median: then the
/// services have changed.
const MEDIAN_STRIDE: f64 = 1.5;
const IN_A_ROW: i32 = 4;

/// How long a service takes. The mean is the average of the first hundred samples, and then moves
/// exponentially. Each sample moves the median toward itself by a constant factor.
#[derive(Debug, Default)]
pub(crate) struct ServiceEstimate {
    /// Nanoseconds, as the bits of an `f64`.
    mean: AtomicU64,
    /// The same of the median.
    median: AtomicU64,
    /// How many samples in a row were above the median, or, negative, below.
    row: AtomicI32,
    samples: AtomicU32,
}

impl ServiceEstimate {
    /// Adds a sample. Of two threads that do so at once, one may overwrite the sample of the other,
    /// which does an estimate no harm.
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
        let sample = sample.min((mean * OUTLIER_FACTOR).max(ORDINARY));
        self.mean.store((mean + (sample - mean) * weight.max(WEIGHT)).to_bits(), Relaxed);
    }

    fn move_median(&self, sample: f64) {
        let (median, row) = (self.median(), self.row.load(Relaxed));
        let row = match median {
            0.0 => 0,
            _ if sample > median * MEDIAN_STEP => row.max(0).saturating_add(1),
            _ if sample < median / MEDIAN_STEP => row.min(0).saturating_sub(1),
            _ => 0,
        };
        let step = if row.abs() < IN_A_ROW { MEDIAN_STEP } else { MEDIAN_STRIDE };
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
}
