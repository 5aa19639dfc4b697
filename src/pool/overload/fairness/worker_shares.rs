//! [`WorkerShares`]: how many workers serve each client, and how many may.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::client::{Bucket, counters};

/// One bucket, in the word that counts workers and buckets in service.
const ONE_BUCKET: u64 = 1 << 32;

/// The unit of time in which clients are remembered.
const TICK: Duration = Duration::from_millis(100);
/// For how many ticks after a slow service a client counts as slow.
const SLOW_FOR: u32 = 100;
/// For how many ticks after a quick service a client counts as known.
const KNOWN_FOR: u32 = 600;
/// For how many ticks after the last change from one client to another there are several clients.
const MIXED_FOR: u32 = 100;

/// A moment in ticks of 100 ms since an epoch, counted from one: zero means "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// The tick at which `since_epoch` falls.
    pub(crate) fn at(since_epoch: Duration) -> Self {
        let ticks = since_epoch.as_millis() / TICK.as_millis();
        Self(u32::try_from(ticks).unwrap_or(u32::MAX - 1) + 1)
    }

    /// Whether `then` was at most `ticks` ago. Never, if it is zero.
    fn is_within(self, then: u32, ticks: u32) -> bool {
        then > 0 && self.0.saturating_sub(then) <= ticks
    }
}

/// A client's work in service: which bucket it counts for, and whether as slow work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InService {
    bucket: Bucket,
    slow: bool,
}

impl InService {
    /// The client that it counts for.
    pub(crate) fn bucket(self) -> Bucket {
        self.bucket
    }
}

/// Counters by client. All of them are relaxed: a race may let one worker more serve a client.
#[derive(Debug)]
pub(crate) struct WorkerShares {
    /// Workers that serve a client, by bucket.
    in_service: Box<[AtomicU32]>,
    /// When a bucket's last quick service ended, in ticks.
    quick: Box<[AtomicU32]>,
    /// When a bucket's last slow service ended, in ticks.
    slow: Box<[AtomicU32]>,
    /// Workers in service, and from bit 32 on how many buckets they serve: one word, as most
    /// requests change both, and two words would be two contended additions.
    busy: AtomicU64,
    /// Workers that serve clients whose services are slow.
    busy_slow: AtomicU32,
    /// The bucket that was served last; `u32::MAX` before the first service.
    last: AtomicU32,
    /// The tick at which `last` changed from one bucket to another.
    mixed: AtomicU32,
    /// The tick of the first service of all.
    began: AtomicU32,
}

impl WorkerShares {
    pub(super) fn new() -> Self {
        Self {
            in_service: counters(),
            quick: counters(),
            slow: counters(),
            busy: AtomicU64::new(0),
            busy_slow: AtomicU32::new(0),
            last: AtomicU32::new(u32::MAX),
            mixed: AtomicU32::new(0),
            began: AtomicU32::new(0),
        }
    }

    /// A worker begins to serve this client.
    pub(crate) fn begin_service(&self, bucket: Bucket, now: Tick) -> InService {
        let index = bucket.index();
        let first = self.in_service[index].fetch_add(1, Relaxed) == 0;
        self.busy.fetch_add(if first { ONE_BUCKET | 1 } else { 1 }, Relaxed);
        let last = self.last.load(Relaxed);
        if last != u32::from(bucket.0) {
            self.last.store(bucket.0.into(), Relaxed);
            let mixed = if last == u32::MAX { &self.began } else { &self.mixed };
            mixed.store(now.0, Relaxed);
        }
        let slow = self.is_slow(bucket, now);
        if slow {
            self.busy_slow.fetch_add(1, Relaxed);
        }
        InService { bucket, slow }
    }

    /// The service has ended. `quick`: whether it took no longer than requests usually do; `None`
    /// if no request was served.
    pub(crate) fn end_service(&self, service: InService, now: Tick, quick: Option<bool>) {
        let index = service.bucket.index();
        let last = self.in_service[index].fetch_sub(1, Relaxed) == 1;
        self.busy.fetch_sub(if last { ONE_BUCKET | 1 } else { 1 }, Relaxed);
        if service.slow {
            self.busy_slow.fetch_sub(1, Relaxed);
        }
        let Some(quick) = quick else { return };
        let record = if quick { &self.quick[index] } else { &self.slow[index] };
        // Most services end in the same tick as the one before: a load leaves the cache line
        // shared.
        if record.load(Relaxed) != now.0 {
            record.store(now.0, Relaxed);
        }
    }

    /// Workers in service.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.load(Relaxed) as u32
    }

    /// How many clients are in service.
    pub(super) fn clients(&self) -> u32 {
        (self.busy.load(Relaxed) >> 32) as u32
    }

    /// How many workers serve this client.
    pub(super) fn of(&self, bucket: Bucket) -> u32 {
        self.in_service[bucket.index()].load(Relaxed)
    }

    /// Whether one more of `workers` may serve this client now.
    ///
    /// Some workers are kept from clients whose services are slow, and from each single client that
    /// is not known yet: the duration of the next service cannot be predicted, and clients that
    /// come a moment later must not wait for its end.
    ///
    /// `patient`: the work has waited for a moment. By then other clients have had their first
    /// worker, so that one more for this client does them no harm as long as some are kept back.
    pub(crate) fn may_serve(&self, bucket: Bucket, workers: u32, now: Tick, patient: bool) -> bool {
        let own = self.of(bucket);
        let all_slow = self.busy_slow.load(Relaxed);
        if own == 0 && all_slow == 0 {
            return true;
        }
        let most = workers - self.kept_back(workers, now);
        if self.is_slow(bucket, now) {
            return all_slow.max(own) < most;
        }
        if now.is_within(self.quick[bucket.index()].load(Relaxed), KNOWN_FOR) {
            return true;
        }
        // Several unknown clients could occupy all workers together.
        let few = if self.is_mixed(now) { most.min((workers / 4).max(1)) } else { most };
        own < few || (patient && own < most && self.busy() < most)
    }

    /// Another client has this bucket from now on.
    pub(super) fn forget(&self, bucket: Bucket) {
        for record in [&self.quick, &self.slow] {
            record[bucket.index()].store(0, Relaxed);
        }
    }

    /// Whether a service of this client was slow recently.
    pub(super) fn is_slow(&self, bucket: Bucket, now: Tick) -> bool {
        now.is_within(self.slow[bucket.index()].load(Relaxed), SLOW_FOR)
    }

    /// Whether there were several clients recently.
    fn is_mixed(&self, now: Tick) -> bool {
        now.is_within(self.mixed.load(Relaxed), MIXED_FOR)
    }

    /// How many of the workers are kept back from slow clients: none where all work has come from
    /// one client for a while, as it does behind a proxy. Of two or three workers one is a large
    /// part: it is kept back only once there was another client.
    fn kept_back(&self, workers: u32, now: Tick) -> u32 {
        let mixed = self.is_mixed(now);
        let new = now.is_within(self.began.load(Relaxed), MIXED_FOR);
        match workers {
            0 | 1 => 0,
            2 | 3 => u32::from(mixed),
            _ if mixed || new => (workers / 8).max(1),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve_once(shares: &WorkerShares, bucket: Bucket, quick: bool, now: Tick) {
        let service = shares.begin_service(bucket, now);
        shares.end_service(service, now, Some(quick));
    }

    fn serve(shares: &WorkerShares, bucket: Bucket, count: usize, now: Tick) -> Vec<InService> {
        (0..count).map(|_| shares.begin_service(bucket, now)).collect()
    }

    #[test]
    fn a_client_of_quick_requests_may_have_all_workers_and_an_unknown_one_all_but_one() {
        let (a, now) = (Bucket(1), Tick(10));
        let shares = WorkerShares::new();
        serve_once(&shares, Bucket(3), true, now);
        let services = serve(&shares, a, 3, now);
        assert!(!shares.may_serve(a, 4, now, false), "nothing is known of it");
        assert!(shares.may_serve(Bucket(2), 4, now, false));
        services.into_iter().for_each(|it| shares.end_service(it, now, None));
        serve_once(&shares, a, true, now);
        serve(&shares, a, 3, now);
        assert!(shares.may_serve(a, 4, now, false));
        serve_once(&shares, Bucket(3), true, Tick(10 + KNOWN_FOR));
        assert!(!shares.may_serve(a, 4, Tick(10 + KNOWN_FOR + 1), false), "too long ago");
    }

    #[test]
    fn an_unknown_client_beside_others_gets_free_workers_after_a_moment() {
        let (a, now) = (Bucket(1), Tick(10));
        let shares = WorkerShares::new();
        serve_once(&shares, Bucket(2), true, now);
        let mut services = serve(&shares, a, 1, now);
        assert!(!shares.may_serve(a, 4, now, false), "a quarter of the workers");
        assert!(shares.may_serve(a, 4, now, true));
        services.extend(serve(&shares, a, 2, now));
        assert!(!shares.may_serve(a, 4, now, true), "one is kept back");
        services.pop().into_iter().for_each(|it| shares.end_service(it, now, None));
        serve(&shares, Bucket(2), 1, now);
        assert!(!shares.may_serve(a, 4, now, true), "as many are busy as may be");
    }

    #[test]
    fn clients_of_slow_requests_may_not_have_all_workers_together() {
        let (a, b, now) = (Bucket(1), Bucket(2), Tick(10));
        let shares = WorkerShares::new();
        serve_once(&shares, a, false, now);
        serve_once(&shares, b, false, now);
        serve(&shares, a, 2, now);
        assert!(shares.may_serve(b, 4, now, false));
        serve(&shares, b, 1, now);
        assert!(!shares.may_serve(a, 4, now, false) && !shares.may_serve(b, 4, now, false));
        assert!(shares.may_serve(Bucket(3), 4, now, false));
        assert!(shares.may_serve(b, 4, Tick(10 + SLOW_FOR + 1), false), "too long ago");
    }

    #[test]
    fn workers_are_kept_back_only_where_there_may_be_several_clients() {
        let (a, now) = (Bucket(1), Tick(10));
        for (workers, alone) in [(1, true), (2, true), (3, true), (4, false)] {
            let shares = WorkerShares::new();
            serve(&shares, a, workers as usize - 1, now);
            assert_eq!(shares.may_serve(a, workers, now, false), alone, "{workers}");
            let later = Tick(10 + MIXED_FOR + 1);
            assert!(shares.may_serve(a, workers, later, false), "{workers}: alone for a while");
            serve_once(&shares, Bucket(2), true, now);
            assert_eq!(shares.may_serve(a, workers, now, false), workers == 1, "{workers}");
        }
    }
}
