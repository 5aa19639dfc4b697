//! The decision to keep work or to refuse it: pure, given the time, the queue's length and the
//! wait.
//!
//! Work is judged twice: where it enters the queue ([`Controller::admit`]), by the wait that the
//! queue's length foretells; and where a worker takes it ([`Controller::check_wait`]), by the wait that
//! it had. As long as the load is within the capacity, only a wait of a whole interval refuses.
//! Past that, the wait allowed shrinks to what keeps the workers busy at the load measured, and to
//! no less than the target: the higher the load, the shorter the queue that is needed for always
//! having work.
//!
//! Once an interval the load is measured anew; and sooner, when the entrance has turned away as
//! much as an interval has room for. What a flood has put into the queue by then would make all
//! that comes later wait for it, and is refused too, as long as fresh work comes to take its place.
//!
//! Invariant: no socket, no thread, no lock, and no clock. Instants come in as arguments.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::fairness::{Bucket, ClientKey, Fairness, InService, Tick};
use super::load::{Interval, IntervalCounts, ServiceEstimate};
use super::refusal::Refusal;
use crate::config::Overload;

/// The share of their time for which workers may lack work while more is offered than they can do.
const IDLE: f64 = 0.05;
/// When a piece of work leaves the queue so soon after the one before it, serving is cheaper than
/// refusing (which costs 20 to 50 µs of CPU time), and a long queue is short. In nanoseconds.
const CHEAP: f64 = 30_000.0;
/// From this load on an interval in which all work had waited is no burst that will pass.
const STANDING: f64 = 1.25;
/// From this load on it is a flood: what had entered the queue before is refused as well.
const FLOOD: f64 = 3.0;
/// In a flood, work already taken is refused past so many times the wait that is allowed.
const STALE: u64 = 3;
/// From this many nanoseconds on a service is slow: others would notice waiting for its end. And it
/// has to take so many times as long as services usually do.
const SLOW: u64 = 100_000_000;
const OUTLYING: f64 = 8.0;
/// The wait after which work of a client that is not known yet may have one of the free workers.
const PATIENT: Duration = Duration::from_millis(50);
/// The longest, in nanoseconds, until one request may again try against the estimate.
const TRY_AGAIN: u64 = 1_000_000_000;
/// From so many mean services on, a request counts as several.
const LONG: f64 = 8.0;

/// What is to be done with work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Refuse(Refusal),
}

/// Decides what is kept and what is refused. Shared by all threads; see the module.
#[derive(Debug)]
pub(crate) struct Controller {
    config: Settings,
    epoch: Instant,
    fairness: Fairness,
    service: ServiceEstimate,
    /// The CPU time of a service.
    computing: ServiceEstimate,
    interval: Interval,
    state: Learned,
}

/// The settings, times in nanoseconds. What is atomic can be changed while running.
#[derive(Debug)]
struct Settings {
    shed: AtomicBool,
    fairness: AtomicBool,
    target: AtomicU64,
    interval: AtomicU64,
    deadline: AtomicU64,
    workers: f64,
    cores: f64,
    capacity: usize,
}

/// What the last interval has taught; written once an interval, read by everyone.
#[derive(Debug)]
#[repr(align(128))]
struct Learned {
    /// The wait allowed while overloaded, in nanoseconds; `u64::MAX` while not.
    limit: AtomicU64,
    /// The wait past which work that was taken is refused, in nanoseconds; `u64::MAX` but in a
    /// flood.
    stale: AtomicU64,
    /// When the flood was first known, in nanoseconds since the epoch.
    flooded: AtomicU64,
    /// The time between two pieces of work leaving the queue, measured while the workers were never
    /// without work. Nanoseconds as the bits of an `f64`; zero: not measured.
    drain: AtomicU64,
    /// The load over the last intervals: what was offered over what could have been done. The bits
    /// of an `f64`.
    load: AtomicU64,
    /// When a client's request was last let through although the estimate says that it will be
    /// late, in nanoseconds since the epoch.
    tried: AtomicU64,
}

impl Controller {
    /// A controller for `workers` workers behind a queue of `capacity`. Times are kept as distances
    /// from `epoch`, which must not lie after any instant given later.
    pub(crate) fn new(config: &Overload, workers: usize, capacity: usize, epoch: Instant) -> Self {
        let config = Settings {
            shed: AtomicBool::new(config.shed),
            fairness: AtomicBool::new(config.fairness),
            target: AtomicU64::new(nanos(config.target)),
            interval: AtomicU64::new(nanos(config.interval)),
            deadline: AtomicU64::new(nanos(config.deadline)),
            workers: workers.max(1) as f64,
            cores: workers.max(1) as f64,
            capacity,
        };
        let state = Learned {
            limit: AtomicU64::new(u64::MAX),
            stale: AtomicU64::new(u64::MAX),
            flooded: AtomicU64::new(0),
            drain: AtomicU64::new(0),
            load: AtomicU64::new(0),
            tried: AtomicU64::new(0),
        };
        Self {
            config,
            epoch,
            fairness: Fairness::new(),
            service: ServiceEstimate::default(),
            computing: ServiceEstimate::default(),
            interval: Interval::default(),
            state,
        }
    }

    /// The workers share so many cores: with handlers that compute, more of them can do no more
    /// work.
    pub(crate) fn with_cores(mut self, cores: usize) -> Self {
        self.config.cores = self.config.workers.min(cores.max(1) as f64);
        self
    }

    /// Goes by other settings from now on; what was learned of the load stays.
    pub(crate) fn reconfigure(&self, config: &Overload) {
        let settings = &self.config;
        settings.shed.store(config.shed, Relaxed);
        settings.fairness.store(config.fairness, Relaxed);
        settings.target.store(nanos(config.target), Relaxed);
        settings.interval.store(nanos(config.interval), Relaxed);
        settings.deadline.store(nanos(config.deadline), Relaxed);
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.config.workers as usize
    }

    /// The bucket of a client, to be kept with its work.
    pub(crate) fn bucket(&self, key: ClientKey) -> Bucket {
        self.fairness.bucket(key)
    }

    /// Judges work where it enters a queue that now has `length` pieces of work.
    ///
    /// What it has waited elsewhere since `arrived` is a part of its wait. `urgent` work is refused
    /// by the length and by the deadline only. What is kept is reported by
    /// [`count_enqueued`](Self::count_enqueued), or by [`count_refused`](Self::count_refused) if the queue would not take it
    /// after all.
    pub(crate) fn admit(
        &self,
        now: Instant,
        arrived: Instant,
        length: usize,
        bucket: Bucket,
        urgent: bool,
    ) -> Verdict {
        self.refresh(now, length);
        if self.is_overloaded() {
            self.interval.attempt(self.since_epoch(now));
            if self.is_fair() {
                self.fairness.attempt(bucket, 1);
            }
        }
        let waited = nanos(now.saturating_duration_since(arrived));
        let Some(refusal) = self.reason(waited, length, bucket, urgent) else {
            return Verdict::Keep;
        };
        self.count_refused();
        if !self.is_overloaded() && self.sheds() {
            self.hasten(now);
        }
        Verdict::Refuse(refusal)
    }

    fn reason(&self, waited: u64, length: usize, bucket: Bucket, urgent: bool) -> Option<Refusal> {
        if length >= self.config.capacity {
            return Some(Refusal::QueueFull);
        }
        if !self.sheds() {
            return None;
        }
        let drain = self.drain();
        let ahead = (length as f64 * drain) as u64;
        let wait = waited + ahead;
        // A worker that is free takes it at once, whatever the estimates say. They are of all
        // clients together: one that asks for little is judged by its real wait, where a worker
        // takes it.
        let free = (self.config.workers as usize).saturating_sub(self.fairness.busy() as usize);
        if length < free && waited <= self.longest_wait() {
            return None;
        }
        let little = self.is_fair()
            && (length as f64) < self.config.workers
            && self.fairness.asks_for_nothing(bucket);
        if little && wait <= self.burst_wait() {
            return None;
        }
        if wait > self.longest_wait() {
            return Some(Refusal::Deadline);
        }
        if urgent {
            return None;
        }
        let limit = self.state.limit.load(Relaxed);
        let overloaded = limit != u64::MAX;
        // What has waited elsewhere although there is no overload had to wait for something else,
        // such as descriptors, and all the more should not be refused now.
        let wait = if overloaded { wait } else { ahead };
        // For clients that ask for little there is more room: of that for a burst a fifth is
        // theirs.
        let (usual, modest) = match (overloaded, self.burst_wait()) {
            (true, _) => (limit, 3 * limit),
            (false, burst) => (burst / 5 * 4, burst),
        };
        if !self.is_fair() {
            let most = if overloaded { usual } else { modest };
            return (wait > most).then_some(Refusal::WaitTooLong);
        }
        let holds_its_part =
            || self.fairness.holds_its_part(bucket, (usual as f64 / drain) as u64 + 1);
        if wait > usual {
            let asks_for_little = match overloaded {
                true => !self.fairness.is_greedy(bucket),
                false => !holds_its_part(),
            };
            return (wait > modest || !asks_for_little).then_some(Refusal::WaitTooLong);
        }
        let unfair = overloaded && self.fairness.is_greedy(bucket) && holds_its_part();
        unfair.then_some(Refusal::OverFairShare)
    }

    /// The queue took what was kept.
    pub(crate) fn count_enqueued(&self, bucket: Bucket) {
        self.interval.entered();
        self.fairness.enter(bucket);
    }

    /// The rest of what was admitted before enters again: it is no new work.
    pub(crate) fn count_continued(&self, bucket: Bucket) {
        self.fairness.enter(bucket);
    }

    /// The queue did not take it after all.
    pub(crate) fn count_removed(&self, bucket: Bucket) {
        self.fairness.leave(bucket);
    }

    /// Work was refused, or is about to be, because the queue was full.
    pub(crate) fn count_refused(&self) {
        self.interval.refused();
    }

    /// Judges work where a worker takes it, `entered` being when it entered the queue.
    pub(crate) fn check_wait(&self, now: Instant, entered: Instant, bucket: Bucket) -> Verdict {
        self.fairness.leave(bucket);
        let waited = nanos(now.saturating_duration_since(entered));
        self.interval.taken(waited);
        self.roll(self.since_epoch(now));
        if self.sheds() {
            if waited > self.longest_wait().max(self.target()) {
                return Verdict::Refuse(Refusal::Deadline);
            }
            if self.is_stale(waited, self.since_epoch(entered), bucket) && self.comes_fresh(now) {
                return Verdict::Refuse(Refusal::Stale);
            }
        }
        self.interval.kept();
        Verdict::Keep
    }

    /// Whether work that has waited so long can no longer be done within the server's deadline.
    pub(crate) fn is_overdue(&self, waited: Duration) -> bool {
        self.sheds() && nanos(waited) > self.longest_wait().max(self.target())
    }

    /// Whether a request that has `waited` can be answered before its client's `patience` is over.
    ///
    /// The estimate may be wrong for requests of this kind. So once an interval one is let through
    /// against it: were all turned away, nothing would be served that could correct it.
    pub(crate) fn can_meet_timeout(
        &self,
        now: Instant,
        waited: Duration,
        patience: Duration,
    ) -> bool {
        if !self.sheds() {
            return true;
        }
        let patience = nanos(patience).min(self.config.deadline.load(Relaxed));
        let left = patience.saturating_sub(nanos(waited));
        if left == 0 {
            return false;
        }
        self.service.median() as u64 <= left || self.may_try(self.since_epoch(now))
    }

    fn may_try(&self, now: u64) -> bool {
        let tried = &self.state.tried;
        let before = tried.load(Relaxed);
        let interval = self.config.interval.load(Relaxed);
        let gap = interval.max(10 * self.service.median() as u64).min(interval.max(TRY_AGAIN));
        now.saturating_sub(before) >= gap
            && tried.compare_exchange(before, now, Relaxed, Relaxed).is_ok()
    }

    /// Whether a worker may serve this client now, whose work has `waited`: see
    /// [`Fairness::may_serve`].
    pub(crate) fn may_serve(&self, bucket: Bucket, waited: Duration, now: Instant) -> bool {
        let workers = self.config.workers as u32;
        let patient = waited >= PATIENT;
        !self.is_fair() || self.fairness.may_serve(bucket, workers, self.tick(now), patient)
    }

    /// Whether the client asks for more than its share.
    pub(crate) fn is_over_share(&self, bucket: Bucket) -> bool {
        self.is_fair() && self.is_overloaded() && self.fairness.is_greedy(bucket)
    }

    /// Whether the work of others, if there is any, comes before this client's.
    pub(crate) fn must_defer(&self, bucket: Bucket) -> bool {
        self.is_fair() && self.fairness.holds_its_workers(bucket, self.config.workers as u32)
    }

    /// A worker begins to serve a client.
    pub(crate) fn begin_service(&self, bucket: Bucket, now: Instant) -> InService {
        self.fairness.begin_service(bucket, self.tick(now))
    }

    /// It has ended: `each` of the requests served took so long; `None`: there was none.
    pub(crate) fn end_service(&self, service: InService, now: Instant, each: Option<Duration>) {
        let slow = SLOW.max((OUTLYING * self.service.median()) as u64);
        let quick = each.map(|each| nanos(each) <= slow);
        self.fairness.end_service(service, self.tick(now), quick);
    }

    /// A request took so much CPU time of its worker.
    pub(crate) fn computed(&self, cpu: Duration) {
        self.computing.add(nanos(cpu));
    }

    /// `count` requests of a client were served in one turn, each of which took `service`.
    pub(crate) fn served(&self, bucket: Bucket, service: Duration, count: u32) {
        let nanos = nanos(service);
        if (nanos as f64) < self.service.median() / 2.0 && self.state.tried.load(Relaxed) != 0 {
            // The estimate is too long: the next one may try at once.
            self.state.tried.store(0, Relaxed);
        }
        self.service.add(nanos);
        self.interval.served(nanos.saturating_mul(count.into()), count);
        if self.is_overloaded() && self.is_fair() {
            // What a client asks for is counted in work. One request was counted where it entered;
            // what is left are those behind it in the pipeline, and the length of a long one.
            let weight = (nanos as f64 / self.service.mean()).min(1000.0);
            let each = if weight > LONG { weight as u32 } else { 1 };
            let rest = each.saturating_mul(count).saturating_sub(1);
            if rest > 0 {
                self.fairness.attempt(bucket, rest);
            }
        }
    }

    /// Brings the state up to date where no work does so: an overload is over when nothing waits
    /// and nothing was taken for an interval.
    pub(crate) fn refresh(&self, now: Instant, length: usize) {
        // With work waiting and none taken, the workers are stuck: nothing is learned from that.
        if length == 0 || self.interval.moved() {
            self.roll(self.since_epoch(now));
        }
    }

    /// Whether more is offered than can be done, so that work is refused.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.state.limit.load(Relaxed) != u64::MAX
    }

    /// Whether work that a full queue did not take had better wait where it is (in the kernel) than
    /// be refused: serving it is cheaper.
    pub(crate) fn serving_is_cheap(&self) -> bool {
        self.drain() <= CHEAP
    }

    /// The mean service time of late.
    pub(crate) fn service_estimate(&self) -> Duration {
        Duration::from_nanos(self.service.mean() as u64)
    }

    /// How many pieces of work a second the workers can do; zero before anything was served.
    pub(crate) fn capacity_estimate(&self) -> f64 {
        let drain = self.drain();
        if drain > 0.0 { 1e9 / drain } else { 0.0 }
    }

    /// How often the load is measured anew.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_length())
    }

    /// The wait that is aimed at.
    pub(crate) fn wait_target(&self) -> Duration {
        Duration::from_nanos(self.target())
    }

    /// What was offered of late over what could have been done.
    pub(crate) fn offered_load(&self) -> f64 {
        f64::from_bits(self.state.load.load(Relaxed))
    }

    /// The wait allowed at present.
    pub(crate) fn wait_limit(&self) -> Duration {
        Duration::from_nanos(self.state.limit.load(Relaxed).min(self.burst_wait()))
    }

    /// Nanoseconds between two pieces of work leaving the queue while all workers are busy.
    fn drain(&self) -> f64 {
        let measured = f64::from_bits(self.state.drain.load(Relaxed));
        if measured > 0.0 {
            return measured;
        }
        (self.service.mean() / self.config.workers).max(self.least_drain())
    }

    /// The least time between two pieces of work leaving the queue that the cores allow.
    fn least_drain(&self) -> f64 {
        self.computing.mean() / self.config.cores
    }

    fn sheds(&self) -> bool {
        self.config.shed.load(Relaxed)
    }

    fn is_fair(&self) -> bool {
        self.config.fairness.load(Relaxed)
    }

    /// The target, and at least half a service: with slow handlers few can wait within the target,
    /// too few to keep the workers busy. An eighth of the deadline at most, so that no estimate of
    /// the service can make an interval longer than a deadline.
    fn target(&self) -> u64 {
        let most = self.config.deadline.load(Relaxed) / 8;
        self.config.target.load(Relaxed).max(((self.service.mean() / 2.0) as u64).min(most))
    }

    /// How long the load is measured before it is judged: long enough for every worker to have
    /// served a few requests.
    fn interval_length(&self) -> u64 {
        self.config.interval.load(Relaxed).max(8 * self.target())
    }

    /// The wait allowed while not overloaded: that of a burst. At least two services, so that a few
    /// requests at once for each worker are no overload.
    fn burst_wait(&self) -> u64 {
        self.config.interval.load(Relaxed).max(4 * self.target())
    }

    /// The longest wait after which a request of the usual length meets the server's deadline; zero
    /// if none does, so that only free workers take it.
    fn longest_wait(&self) -> u64 {
        let service = self.service.median() as u64;
        self.config.deadline.load(Relaxed).saturating_sub(service)
    }

    /// Whether work has waited for longer than in a flood it may. Clients that ask for little were
    /// let in behind a longer queue, and may wait for longer; so may what came after the flood was
    /// known, as it was let in by the limit in force.
    fn is_stale(&self, waited: u64, entered: u64, bucket: Bucket) -> bool {
        let stale = self.state.stale.load(Relaxed);
        let known = self.state.flooded.load(Relaxed);
        let most = match entered > known {
            true => stale.saturating_mul(4),
            false if self.is_fair() && !self.fairness.is_greedy(bucket) => stale.saturating_mul(2),
            false => stale,
        };
        waited > most
    }

    /// Whether something has come of late that can take the place of what has waited for too long.
    fn comes_fresh(&self, now: Instant) -> bool {
        let age = self.since_epoch(now).saturating_sub(self.interval.last_attempt());
        age <= 2 * self.state.limit.load(Relaxed).min(self.burst_wait())
    }

    fn tick(&self, now: Instant) -> Tick {
        Tick::at(now.saturating_duration_since(self.epoch))
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// Ends the interval if it is over, and learns from it.
    fn roll(&self, now: u64) {
        if let Some(seen) = self.interval.end(now, self.interval_length()) {
            self.learn(seen, now);
        }
    }

    /// Ends the interval before its time if as much was refused in it as it has room for.
    fn hasten(&self, now: Instant) {
        let length = self.interval_length();
        let now = self.since_epoch(now);
        if f64::from(self.interval.refused_so_far()) * self.drain() >= length as f64
            && let Some(seen) = self.interval.end(now, length / 20)
        {
            self.learn(seen, now);
        }
    }

    #[cold]
    fn learn(&self, seen: IntervalCounts, now: u64) {
        let length = self.interval_length();
        let drain = self.measure(seen);
        let offered = f64::from(seen.entered) + f64::from(seen.refused);
        let mut load = offered * drain / seen.elapsed as f64;
        let saturated = self.is_saturated(seen);
        if !saturated && seen.refused == 0 {
            // The workers could do all there was, whatever the estimates say.
            load = load.min(1.0);
        }
        let before = f64::from_bits(self.state.load.load(Relaxed));
        // Rises slowly, so that a burst is no overload; falls fast, so that the end of one is.
        let standing =
            seen.shortest != u64::MAX && seen.shortest > self.target() && load > STANDING;
        let turned_away = f64::from(seen.refused) * drain >= seen.elapsed as f64;
        let weight = match load > before {
            // More was turned away than could have been done: no burst is like that.
            true if load >= FLOOD && turned_away => 1.0,
            true if !standing => 0.25,
            _ => 0.5,
        };
        let smooth = before + (load - before) * weight;
        self.state.load.store(smooth.to_bits(), Relaxed);
        let limit = limit(load.min(smooth), drain, self.target(), self.burst_wait());
        let drain = if limit == u64::MAX && !saturated { 0.0 } else { drain };
        self.state.drain.store(drain.to_bits(), Relaxed);
        let flood = limit != u64::MAX && load >= FLOOD;
        let stale = if flood { limit * STALE } else { u64::MAX };
        if flood && self.state.stale.swap(stale, Relaxed) == u64::MAX {
            self.state.flooded.store(now, Relaxed);
        }
        if !flood {
            self.state.stale.store(u64::MAX, Relaxed);
        }
        self.state.limit.store(limit, Relaxed);
        let room = f64::from(seen.kept) * length as f64 / seen.elapsed.max(1) as f64;
        self.fairness.begin(room as u32);
    }

    /// The time between two pieces of work leaving the queue, as this interval has it: measured if
    /// the workers were never without work, else how long a worker had one, over the workers.
    fn measure(&self, seen: IntervalCounts) -> f64 {
        if seen.kept == 0 {
            return self.drain();
        }
        let kept = f64::from(seen.kept);
        if self.is_saturated(seen) {
            let measured = seen.elapsed as f64 / kept;
            let before = f64::from_bits(self.state.drain.load(Relaxed));
            return if before > 0.0 { before + (measured - before) / 4.0 } else { measured };
        }
        (seen.busy as f64 / (self.config.workers * kept)).max(self.least_drain())
    }

    /// Whether all work taken had waited, and for longer than it takes to wake a worker; and
    /// whether there was work to speak of. Else one request an interval that the system was slow to
    /// wake a worker for would pass for all that the workers can do.
    fn is_saturated(&self, seen: IntervalCounts) -> bool {
        seen.kept > 0 && seen.shortest > self.target() / 4 && seen.busy >= seen.elapsed / 2
    }
}

/// The wait to allow at this load: a queue of `n` runs empty for about a share of `load` to the
/// power of `-n` of the time, which is to be [`IDLE`].
fn limit(load: f64, drain: f64, target: u64, interval: u64) -> u64 {
    if load <= 1.0 || drain <= CHEAP {
        return u64::MAX;
    }
    let length = -IDLE.ln() / load.ln();
    let limit = ((length * drain) as u64).max(target);
    if limit < interval { limit } else { u64::MAX }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
