//! The decisions.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::state::{Controller, nanos};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;

/// The wait after which work of a client that is not known yet may have one of the free workers.
const UNKNOWN_CLIENT_WAIT: Duration = Duration::from_millis(50);
/// The longest time, in nanoseconds, until one request may again be let through against the
/// estimate.
const PROBE_GAP_MAX: u64 = 1_000_000_000;

/// What to do with a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Refuse(Refusal),
}

impl Controller {
    /// Decides about work that is to enter a queue which has `length` pieces of work now.
    ///
    /// The time since `arrived`, when it began to wait elsewhere, is a part of its wait. `urgent`
    /// work is refused only by the length and by the deadline. The caller reports what is kept by
    /// [`count_enqueued`](Self::count_enqueued), or by [`count_refused`](Self::count_refused) if
    /// the queue has no room for it after all.
    pub(crate) fn admit(
        &self,
        now: Instant,
        arrived: Instant,
        length: usize,
        bucket: Bucket,
        urgent: bool,
    ) -> Verdict {
        self.refresh(now, length);
        self.note_attempt(now, bucket);
        let waited = nanos(now.saturating_duration_since(arrived));
        self.note_refusal(now, self.refusal_on_entry(waited, length, bucket, urgent))
    }

    /// As [`admit`](Self::admit), for work whose turn it is while `length` pieces of work are in
    /// the queue. Nothing is left to predict: [`check_wait`](Self::check_wait) judges its wait.
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn admit_in_turn(&self, now: Instant, length: usize, bucket: Bucket) -> Verdict {
        self.note_attempt(now, bucket);
        let is_over_share = self.sheds()
            && length >= self.free_workers()
            && self.is_over_share(bucket)
            && self.has_equal_part(bucket, self.learned.wait_limit.load(Relaxed));
        self.note_refusal(now, is_over_share.then_some(Refusal::OverFairShare))
    }

    /// Counts an attempt to enter the queue, during an overload.
    fn note_attempt(&self, now: Instant, bucket: Bucket) {
        if self.is_overloaded() {
            self.interval.note_attempt(self.since_epoch(now));
            if self.is_fair() {
                self.fairness.queue.count_attempts(bucket, 1);
            }
        }
    }

    /// Counts the refusal, if there is one, and returns the verdict.
    fn note_refusal(&self, now: Instant, refusal: Option<Refusal>) -> Verdict {
        let Some(refusal) = refusal else { return Verdict::Keep };
        self.count_refused();
        if !self.is_overloaded() && self.sheds() {
            self.end_interval_early(now);
        }
        Verdict::Refuse(refusal)
    }

    fn refusal_on_entry(
        &self,
        waited: u64,
        length: usize,
        bucket: Bucket,
        urgent: bool,
    ) -> Option<Refusal> {
        if length >= self.settings.capacity {
            return Some(Refusal::QueueFull);
        }
        if !self.sheds() {
            return None;
        }
        let gap = self.departure_gap();
        let ahead = (length as f64 * gap) as u64;
        let wait = waited + ahead;
        // A free worker takes the work at once, whatever the estimates predict. They are averages
        // over all clients: for a client with little work its real wait decides, once a worker has
        // taken the work.
        if length < self.free_workers() && waited <= self.longest_wait() {
            return None;
        }
        let is_first_of_client = self.is_fair()
            && (length as f64) < self.settings.workers
            && self.fairness.has_no_work(bucket);
        if is_first_of_client && wait <= self.burst_wait() {
            return None;
        }
        if wait > self.longest_wait() {
            return Some(Refusal::Deadline);
        }
        if urgent {
            return None;
        }
        self.refusal_by_wait(wait, ahead, bucket)
    }

    /// Whether the client already has its equal part of a queue whose wait is `limit`.
    fn has_equal_part(&self, bucket: Bucket, limit: u64) -> bool {
        // The gap is zero before anything was learned.
        let room = (limit as f64 / self.departure_gap().max(1.0)) as u64;
        self.fairness.queue.waiting.has_equal_part(bucket, room.saturating_add(1))
    }

    /// How many workers serve nobody.
    fn free_workers(&self) -> usize {
        let workers = self.settings.workers as usize;
        workers.saturating_sub(self.fairness.workers.busy() as usize)
    }

    /// The limits on the predicted wait: one for clients that are over their share, and a higher
    /// one for the others.
    fn refusal_by_wait(&self, wait: u64, ahead: u64, bucket: Bucket) -> Option<Refusal> {
        let limit = self.learned.wait_limit.load(Relaxed);
        let overloaded = limit != u64::MAX;
        // Work that has waited elsewhere without an overload had to wait for something else, such
        // as descriptors: one more reason not to refuse it now.
        let wait = if overloaded { wait } else { ahead };
        // Of the room for a burst, a fifth is kept for clients that ask for little.
        let (usual, modest) = match (overloaded, self.burst_wait()) {
            (true, _) => (limit, 3 * limit),
            (false, burst) => (burst / 5 * 4, burst),
        };
        if !self.is_fair() {
            let most = if overloaded { usual } else { modest };
            return (wait > most).then_some(Refusal::WaitTooLong);
        }
        let queue = &self.fairness.queue;
        let has_equal_part = || self.has_equal_part(bucket, usual);
        if wait > usual {
            let asks_for_little = match overloaded {
                true => !queue.is_over_share(bucket),
                false => !has_equal_part(),
            };
            return (wait > modest || !asks_for_little).then_some(Refusal::WaitTooLong);
        }
        let over_share = overloaded && queue.is_over_share(bucket) && has_equal_part();
        over_share.then_some(Refusal::OverFairShare)
    }

    /// Decides about work that a worker has taken, by the wait that it had since `entered`, and
    /// counts it as taken.
    pub(crate) fn check_wait(&self, now: Instant, entered: Instant, bucket: Bucket) -> Verdict {
        self.fairness.queue.waiting.remove(bucket);
        let waited = nanos(now.saturating_duration_since(entered));
        self.interval.count_taken(waited);
        self.end_interval_if_over(self.since_epoch(now));
        if self.sheds() {
            if waited > self.longest_wait().max(self.target()) {
                return Verdict::Refuse(Refusal::Deadline);
            }
            let entered = self.since_epoch(entered);
            if self.is_stale(waited, entered, bucket) && self.has_fresh_work(now) {
                return Verdict::Refuse(Refusal::Stale);
            }
        }
        self.interval.count_kept();
        Verdict::Keep
    }

    /// Whether work that has `waited` can no longer be done within the server's deadline.
    pub(crate) fn is_overdue(&self, waited: Duration) -> bool {
        self.sheds() && nanos(waited) > self.longest_wait().max(self.target())
    }

    /// Whether the response to a request that has `waited` can be ready before the client's
    /// `timeout`.
    ///
    /// The estimate may be wrong for requests of this kind. So once an interval one request is let
    /// through against it: if all were refused, none would be served that could correct it.
    pub(crate) fn can_meet_timeout(
        &self,
        now: Instant,
        waited: Duration,
        timeout: Duration,
    ) -> bool {
        if !self.sheds() {
            return true;
        }
        let timeout = nanos(timeout).min(self.settings.deadline.load(Relaxed));
        let left = timeout.saturating_sub(nanos(waited));
        if left == 0 {
            return false;
        }
        self.service.median() as u64 <= left || self.may_probe(self.since_epoch(now))
    }

    fn may_probe(&self, now: u64) -> bool {
        let probed = &self.learned.probed;
        let before = probed.load(Relaxed);
        let interval = self.settings.interval.load(Relaxed);
        let gap = interval.max(10 * self.service.median() as u64).min(interval.max(PROBE_GAP_MAX));
        // Of several threads that find the gap over, the exchange lets one through.
        now.saturating_sub(before) >= gap
            && probed.compare_exchange(before, now, Relaxed, Relaxed).is_ok()
    }

    /// Whether a worker may serve this client now, whose work has `waited`: see
    /// `WorkerShares::may_serve`.
    pub(crate) fn may_serve(&self, bucket: Bucket, waited: Duration, now: Instant) -> bool {
        let workers = self.settings.workers as u32;
        let patient = waited >= UNKNOWN_CLIENT_WAIT;
        !self.is_fair() || self.fairness.workers.may_serve(bucket, workers, self.tick(now), patient)
    }

    /// Whether there is an overload and the client asks for more than its share.
    pub(crate) fn is_over_share(&self, bucket: Bucket) -> bool {
        self.is_fair() && self.is_overloaded() && self.fairness.queue.is_over_share(bucket)
    }

    /// Whether the work of other clients, if there is any, comes before this client's.
    pub(crate) fn must_defer(&self, bucket: Bucket) -> bool {
        self.is_fair() && self.fairness.must_defer(bucket, self.settings.workers as u32)
    }

    /// Whether work has waited for longer than is allowed in a flood. Clients within their share
    /// were admitted behind a longer queue and may wait for longer. So may all that entered after
    /// the flood was noticed, as it was admitted by the limit in force.
    fn is_stale(&self, waited: u64, entered: u64, bucket: Bucket) -> bool {
        let stale = self.learned.stale_after.load(Relaxed);
        let noticed = self.learned.flood_noticed.load(Relaxed);
        let within_share = || self.is_fair() && !self.fairness.queue.is_over_share(bucket);
        let most = match entered > noticed {
            true => stale.saturating_mul(4),
            false if within_share() => stale.saturating_mul(2),
            false => stale,
        };
        waited > most
    }

    /// Whether work arrived recently that can take the place of what has waited for too long.
    fn has_fresh_work(&self, now: Instant) -> bool {
        let age = self.since_epoch(now).saturating_sub(self.interval.last_attempt());
        age <= 2 * self.learned.wait_limit.load(Relaxed).min(self.burst_wait())
    }
}
