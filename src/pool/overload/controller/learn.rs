//! The end of an interval: what it teaches about the load.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::estimates::CHEAP_GAP;
use super::state::Controller;
use crate::pool::overload::interval::IntervalCounts;

/// The share of their time for which workers may lack work while more is offered than they can do.
const IDLE_SHARE: f64 = 0.05;
/// From this load on, an interval in which all work had to wait is no passing burst.
const STANDING_LOAD: f64 = 1.25;
/// From this load on it is a flood: what had entered the queue before is refused as well.
const FLOOD_LOAD: f64 = 3.0;
/// In a flood, work that was taken is refused past this many times the wait that is allowed.
const STALE_FACTOR: u64 = 3;

impl Controller {
    /// Updates the state when no work does so: an overload is over when no work waits and none was
    /// taken for an interval.
    pub(crate) fn refresh(&self, now: Instant, length: usize) {
        // With work waiting and none taken, the workers are stuck, which teaches nothing.
        if length == 0 || self.interval.has_taken() {
            self.end_interval_if_over(self.since_epoch(now));
        }
    }

    /// Ends the interval if it is over, and learns from it.
    pub(super) fn end_interval_if_over(&self, now: u64) {
        if let Some(counts) = self.interval.end(now, self.interval_length()) {
            self.learn(counts, now);
        }
    }

    /// Ends the interval before its time if as much was refused in it as it has room for.
    pub(super) fn end_interval_early(&self, now: Instant) {
        let length = self.interval_length();
        let now = self.since_epoch(now);
        if f64::from(self.interval.refused_so_far()) * self.departure_gap() >= length as f64
            && let Some(counts) = self.interval.end(now, length / 20)
        {
            self.learn(counts, now);
        }
    }

    #[cold]
    fn learn(&self, counts: IntervalCounts, now: u64) {
        let learned = &self.learned;
        let gap = self.departure_gap_of(counts);
        let saturated = is_saturated(counts, self.target());
        let load = self.update_load(counts, gap, saturated);
        let smooth = f64::from_bits(learned.load.load(Relaxed));
        let limit = wait_limit(load.min(smooth), gap, self.target(), self.burst_wait());
        // Without an overload the estimate by the service time follows a change sooner.
        let gap = if limit == u64::MAX && !saturated { 0.0 } else { gap };
        learned.departure_gap.store(gap.to_bits(), Relaxed);
        let flood = limit != u64::MAX && load >= FLOOD_LOAD;
        let stale = if flood { limit * STALE_FACTOR } else { u64::MAX };
        if learned.stale_after.swap(stale, Relaxed) == u64::MAX && flood {
            learned.flood_noticed.store(now, Relaxed);
        }
        learned.wait_limit.store(limit, Relaxed);
        let length = self.interval_length() as f64;
        let room = f64::from(counts.kept) * length / counts.elapsed.max(1) as f64;
        self.fairness.queue.begin_interval(room as u32);
    }

    /// The load of the interval. The mean over the last intervals is updated with it: it rises
    /// slowly, so that a burst is no overload, and falls fast, so that the end of an overload is
    /// noticed soon.
    fn update_load(&self, counts: IntervalCounts, gap: f64, saturated: bool) -> f64 {
        let offered = f64::from(counts.enqueued) + f64::from(counts.refused);
        let mut load = offered * gap / counts.elapsed as f64;
        if !saturated && counts.refused == 0 {
            // The workers could do all there was, whatever the estimates say.
            load = load.min(1.0);
        }
        let before = f64::from_bits(self.learned.load.load(Relaxed));
        let shortest = counts.shortest_wait;
        let standing = shortest != u64::MAX && shortest > self.target() && load > STANDING_LOAD;
        let refused = f64::from(counts.refused) * gap >= counts.elapsed as f64;
        let weight = match load > before {
            // More was refused than could have been done: no burst is like that.
            true if load >= FLOOD_LOAD && refused => 1.0,
            true if !standing => 0.25,
            _ => 0.5,
        };
        let smooth = before + (load - before) * weight;
        self.learned.load.store(smooth.to_bits(), Relaxed);
        load
    }

    /// The time between two pieces of work leaving the queue, as this interval measured it. If the
    /// workers had work all the time: the time over what left. Otherwise: how long each took a
    /// worker, over the workers.
    fn departure_gap_of(&self, counts: IntervalCounts) -> f64 {
        if counts.kept == 0 {
            return self.departure_gap();
        }
        let kept = f64::from(counts.kept);
        if is_saturated(counts, self.target()) {
            let measured = counts.elapsed as f64 / kept;
            let before = f64::from_bits(self.learned.departure_gap.load(Relaxed));
            return if before > 0.0 { before + (measured - before) / 4.0 } else { measured };
        }
        (counts.busy as f64 / (self.settings.workers * kept)).max(self.least_departure_gap())
    }
}

/// Whether all work that was taken had waited for longer than it takes to wake a worker, and took
/// half of the interval to serve, or more. Otherwise a single request in an interval, for which the
/// system was slow to wake a worker, would pass for all that the workers can do.
fn is_saturated(counts: IntervalCounts, target: u64) -> bool {
    counts.kept > 0 && counts.shortest_wait > target / 4 && counts.busy >= counts.elapsed / 2
}

/// The wait to allow at this load. A queue of `n` runs empty for about a share of `load` to the
/// power of `-n` of the time, and that share is to be [`IDLE_SHARE`].
fn wait_limit(load: f64, gap: f64, target: u64, burst_wait: u64) -> u64 {
    if load <= 1.0 || gap <= CHEAP_GAP {
        return u64::MAX;
    }
    let length = -IDLE_SHARE.ln() / load.ln();
    let limit = ((length * gap) as u64).max(target);
    if limit < burst_wait { limit } else { u64::MAX }
}
