//! [`QueuePolicy`]: what decides which work is served.

use std::time::{Duration, Instant};

use super::arrivals::Arrival;
use crate::config::Config;
use crate::pool::overload::controller::{Controller, Verdict};
use crate::pool::overload::fairness::{Bucket, InService};
use crate::pool::queue::{Queue, QueueItem};

/// One attempt of a client. Times are in nanoseconds from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) arrival: Arrival,
    pub(super) at: u64,
    pub(super) tries_left: u8,
    pub(super) bucket: Bucket,
}

impl QueueItem for Attempt {
    fn bucket(&self) -> Bucket {
        self.bucket
    }
}

/// Decides which work is served: millpond's own policy, or a control that has to do worse.
pub(super) trait QueuePolicy {
    /// Enqueues the work. Returns `false` if it is refused.
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool;

    /// The next work, and whether it is served.
    fn take(&mut self, now: Instant) -> Option<(Attempt, bool)>;

    /// A worker begins to serve.
    fn begin(&mut self, _worker: usize, _attempt: &Attempt, _now: Instant) {}

    /// A worker is done with it after `service`.
    fn served(&mut self, _worker: usize, _attempt: &Attempt, _service: Duration, _now: Instant) {}
}

/// millpond's own policy: the real queue and controller, and what the workers serve.
pub(super) struct MillpondPolicy {
    queue: Queue<Attempt>,
    in_service: Vec<Option<InService>>,
}

impl MillpondPolicy {
    /// A queue with the default settings for `workers` workers, at an epoch.
    pub(super) fn new(workers: usize, epoch: Instant) -> Self {
        let config = Config::default();
        let capacity = config.pool.queue_capacity();
        let controller = Controller::new(&config.overload, workers, capacity, epoch);
        let in_service = (0..workers).map(|_| None).collect();
        Self { queue: Queue::new(capacity, controller), in_service }
    }
}

impl QueuePolicy for MillpondPolicy {
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        self.queue.push(attempt, now).is_ok()
    }

    fn take(&mut self, now: Instant) -> Option<(Attempt, bool)> {
        let (queued, refusal) = self.queue.take(|| now)?;
        let verdict = self.queue.check_wait(&queued, now);
        Some((queued.work, verdict == Verdict::Keep && refusal.is_none()))
    }

    fn begin(&mut self, worker: usize, attempt: &Attempt, now: Instant) {
        let controller = &self.queue.controller;
        self.in_service[worker] = Some(controller.begin_service(attempt.bucket, now));
    }

    fn served(&mut self, worker: usize, attempt: &Attempt, service: Duration, now: Instant) {
        let controller = &self.queue.controller;
        if let Some(in_service) = self.in_service[worker].take() {
            controller.end_service(in_service, now, Some(service));
        }
        controller.served(attempt.bucket, service, 1);
    }
}
