//! What the other threads report to the controller.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::state::{Controller, nanos};
use crate::pool::overload::fairness::{Bucket, InService};

/// A service counts as slow from this many nanoseconds on: other clients would notice waiting for
/// its end.
const SLOW_SERVICE: u64 = 100_000_000;
/// And only from this many times the usual service time on.
const SLOW_FACTOR: f64 = 8.0;
/// A request that takes this many mean service times counts as several.
const LONG_FACTOR: f64 = 8.0;

impl Controller {
    /// The queue took work that was admitted.
    pub(crate) fn count_enqueued(&self, bucket: Bucket) {
        self.interval.count_enqueued();
        self.fairness.queue.waiting.add(bucket);
    }

    /// The queue took the rest of work that was admitted before: it is no new work.
    pub(crate) fn count_continued(&self, bucket: Bucket) {
        self.fairness.queue.waiting.add(bucket);
    }

    /// Work left the queue without a check of its wait, or never got in.
    pub(crate) fn count_removed(&self, bucket: Bucket) {
        self.fairness.queue.waiting.remove(bucket);
    }

    /// A handshake waits for a worker.
    pub(crate) fn count_handshake(&self, bucket: Bucket) {
        self.fairness.handshakes.add(bucket);
    }

    /// A waiting handshake was taken or refused.
    pub(crate) fn count_handshake_removed(&self, bucket: Bucket) {
        self.fairness.handshakes.remove(bucket);
    }

    /// Work was refused on entry, or is about to be, because the queue was full.
    pub(crate) fn count_refused(&self) {
        self.interval.count_refused();
    }

    /// A worker begins to serve a client.
    pub(crate) fn begin_service(&self, bucket: Bucket, now: Instant) -> InService {
        self.fairness.workers.begin_service(bucket, self.tick(now))
    }

    /// The service has ended. `each`: how long each of its requests took; `None`: there was none.
    pub(crate) fn end_service(&self, service: InService, now: Instant, each: Option<Duration>) {
        let slow = SLOW_SERVICE.max((SLOW_FACTOR * self.service.median()) as u64);
        let quick = each.map(|each| nanos(each) <= slow);
        self.fairness.workers.end_service(service, self.tick(now), quick);
    }

    /// A request took `cpu` of its worker's CPU time.
    pub(crate) fn computed(&self, cpu: Duration) {
        self.computing.add(nanos(cpu));
    }

    /// `count` requests of a client were served in one turn, each of which took `service`.
    pub(crate) fn served(&self, bucket: Bucket, service: Duration, count: u32) {
        let nanos = nanos(service);
        let probed = &self.learned.probed;
        if (nanos as f64) < self.service.median() / 2.0 && probed.load(Relaxed) != 0 {
            // The estimate is too long: the next request may be let through against it at once.
            probed.store(0, Relaxed);
        }
        self.service.add(nanos);
        self.interval.count_served(nanos.saturating_mul(count.into()), count);
        if self.is_overloaded() && self.is_fair() {
            // A client's demand is counted in work. One request was counted where it entered. Not
            // counted yet are those behind it in the pipeline, and the length of a long one.
            let weight = (nanos as f64 / self.service.mean()).min(1000.0);
            let each = if weight > LONG_FACTOR { weight as u32 } else { 1 };
            let rest = each.saturating_mul(count).saturating_sub(1);
            if rest > 0 {
                self.fairness.queue.count_attempts(bucket, rest);
            }
        }
    }
}
