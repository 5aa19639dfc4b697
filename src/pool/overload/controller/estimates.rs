//! The waits and the capacity that follow from the settings and from what was measured.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::state::Controller;

/// When a piece of work leaves the queue within this time after the one before it, serving costs
/// less than refusing (20 to 50 µs of CPU time), and even a long queue is served soon. In
/// nanoseconds.
pub(super) const CHEAP_GAP: f64 = 30_000.0;

impl Controller {
    /// Whether more work is offered than can be done, so that some is refused.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.learned.wait_limit.load(Relaxed) != u64::MAX
    }

    /// Whether serving costs less than refusing. If so, work that a full queue has no room for had
    /// better wait in the kernel than be refused.
    pub(crate) fn serving_is_cheap(&self) -> bool {
        self.departure_gap() <= CHEAP_GAP
    }

    /// The recent mean service time.
    pub(crate) fn service_estimate(&self) -> Duration {
        Duration::from_nanos(self.service.mean() as u64)
    }

    /// How many pieces of work the workers can do in a second; zero before the first was served.
    pub(crate) fn capacity_estimate(&self) -> f64 {
        let gap = self.departure_gap();
        if gap > 0.0 { 1e9 / gap } else { 0.0 }
    }

    /// How often the load is measured.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_length())
    }

    /// The wait in the queue that the controller aims at.
    pub(crate) fn wait_target(&self) -> Duration {
        Duration::from_nanos(self.target())
    }

    /// The work offered recently, over what could have been done.
    pub(crate) fn offered_load(&self) -> f64 {
        f64::from_bits(self.learned.load.load(Relaxed))
    }

    /// The wait in the queue that is allowed at present.
    pub(crate) fn wait_limit(&self) -> Duration {
        Duration::from_nanos(self.learned.wait_limit.load(Relaxed).min(self.burst_wait()))
    }

    /// Nanoseconds between two pieces of work leaving the queue while all workers are busy.
    pub(super) fn departure_gap(&self) -> f64 {
        let measured = f64::from_bits(self.learned.departure_gap.load(Relaxed));
        if measured > 0.0 {
            return measured;
        }
        (self.service.mean() / self.settings.workers).max(self.least_departure_gap())
    }

    /// The least time between two pieces of work leaving the queue that the cores allow.
    pub(super) fn least_departure_gap(&self) -> f64 {
        self.computing.mean() / self.settings.cores
    }

    /// The target of the settings, and at least half a service: with slow handlers few pieces of
    /// work can wait within the target, too few to keep the workers busy. An eighth of the deadline
    /// at most, so that no estimate of the service can make an interval longer than a deadline.
    pub(super) fn target(&self) -> u64 {
        let most = self.settings.deadline.load(Relaxed) / 8;
        let half_service = (self.service.mean() / 2.0) as u64;
        self.settings.target.load(Relaxed).max(half_service.min(most))
    }

    /// How long the load is measured before a decision is based on it: long enough for every worker
    /// to have served a few requests.
    pub(super) fn interval_length(&self) -> u64 {
        self.settings.interval.load(Relaxed).max(8 * self.target())
    }

    /// The wait allowed while not overloaded: that of a burst. At least two services, so that a few
    /// requests at once for each worker are no overload.
    pub(super) fn burst_wait(&self) -> u64 {
        self.settings.interval.load(Relaxed).max(4 * self.target())
    }

    /// The longest wait after which a request of the usual length meets the server's deadline; zero
    /// if none does, so that only free workers take work.
    pub(super) fn longest_wait(&self) -> u64 {
        let service = self.service.median() as u64;
        self.settings.deadline.load(Relaxed).saturating_sub(service)
    }
}
