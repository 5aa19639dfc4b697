//! [`Durations`]: counts durations by fixed bounds, exactly, together with their sum.
//!
//! The bounds are those that monitoring systems expect: round numbers of milliseconds. They do not
//! coincide with the borders of a [`Histogram`](super::histogram::Histogram), from which they could
//! only be estimated. So each worker counts by these bounds too, in words of its own: two plain
//! additions for each duration. A histogram remains for percentiles.

use std::time::Duration;

use crate::pool::stats::own_counter::OwnCounter;

/// The bounds in nanoseconds: from 0.5 ms to 10 s.
const BOUNDS: [u64; 14] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// One bucket for each bound, and one for longer durations.
const BUCKETS: usize = BOUNDS.len() + 1;

/// The durations that one worker has counted.
#[derive(Debug, Default)]
pub(crate) struct OwnDurations {
    counts: [OwnCounter; BUCKETS],
    nanos: OwnCounter,
}

impl OwnDurations {
    /// Counts `count` durations, each of which was `each`.
    pub(crate) fn record(&self, each: Duration, count: u32) {
        let nanos = each.as_secs() * 1_000_000_000 + u64::from(each.subsec_nanos());
        // Most durations are short, so that this ends early.
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket].add(count.into());
        self.nanos.add(nanos.wrapping_mul(count.into()));
    }

    /// How many durations were counted.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(OwnCounter::get).sum()
    }
}

/// How many durations there were of each length, and their sum: a histogram as Prometheus has it.
///
/// # Examples
/// ```
/// # use millpond::{Server, http::{Request, Response}};
/// # let handle = Server::builder()
/// #     .bind("tcp://127.0.0.1:0")
/// #     .http(|_req: &mut Request| Response::text(""))
/// #     .build()?
/// #     .spawn()?;
/// let service = handle.stats().service;
/// for (bound, count) in service.cumulative() {
///     println!("{count} requests took at most {bound:?}");
/// }
/// println!("all {} took {:?}", service.count(), service.sum());
/// # handle.stop_now();
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Durations {
    /// Adds what a worker has counted.
    pub(crate) fn add(&mut self, own: &OwnDurations) {
        for (to, from) in self.counts.iter_mut().zip(&own.counts) {
            *to += from.get();
        }
        self.nanos = self.nanos.wrapping_add(own.nanos.get());
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum. It is exact to the nanosecond, except that requests which a worker served in one
    /// turn count with their mean.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// How many of them were not longer than each bound, for bounds from 0.5 ms to 10 s in
    /// ascending order.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut total = 0;
        BOUNDS.iter().zip(&self.counts).map(move |(bound, count)| {
            total += count;
            (Duration::from_nanos(*bound), total)
        })
    }

    /// How many there were between each bound and the one before; last those that were longer than
    /// any bound, with `None`.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|nanos| Some(Duration::from_nanos(*nanos)));
        bounds.chain([None]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(own: &OwnDurations) -> Durations {
        let mut durations = Durations::default();
        durations.add(own);
        durations
    }

    #[test]
    fn a_bound_is_a_part_of_its_bucket_and_the_sum_is_exact() {
        for (index, bound) in BOUNDS.into_iter().enumerate() {
            let own = OwnDurations::default();
            for nanos in [bound - 1, bound, bound + 1] {
                own.record(Duration::from_nanos(nanos), 1);
            }
            let durations = taken(&own);
            assert_eq!((durations.counts[index], durations.counts[index + 1]), (2, 1), "{bound}");
            assert_eq!(durations.sum(), Duration::from_nanos(3 * bound));
        }
    }

    #[test]
    fn buckets_and_cumulative_counts_agree() {
        let own = OwnDurations::default();
        own.record(Duration::ZERO, 3);
        own.record(Duration::from_millis(7), 2);
        own.record(Duration::from_secs(11), 1);
        let durations = taken(&own);
        assert_eq!(durations.count(), 6);
        assert_eq!(durations.sum(), Duration::from_millis(2 * 7 + 11_000));
        let cumulative: Vec<_> = durations.cumulative().map(|(_, count)| count).collect();
        assert_eq!(cumulative, [3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]);
        assert_eq!(durations.buckets().last(), Some((None, 1)));
        assert_eq!(durations.buckets().map(|(_, count)| count).sum::<u64>(), 6);
    }

    #[test]
    fn the_counts_of_two_workers_add_up() {
        let (first, second) = (OwnDurations::default(), OwnDurations::default());
        first.record(Duration::from_millis(1), 1);
        second.record(Duration::from_millis(2), 1);
        let mut durations = taken(&first);
        durations.add(&second);
        assert_eq!((durations.count(), durations.sum()), (2, Duration::from_millis(3)));
    }
}
