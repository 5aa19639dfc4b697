//! Who holds how much of the queue and of the workers: counters by client, in a table of fixed
//! size.
//!
//! Clients are told apart by a [`ClientKey`], hashed with a secret drawn at start into one of 1024
//! [`Bucket`]s. Two clients may share a bucket, and then share its part of the queue too; nobody
//! can choose whom to share with, and no number of clients makes the table grow.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many buckets there are.
pub(crate) const CLIENT_BUCKETS: usize = 1024;
/// The bit of an entry of `attempts` that says: it asked for more than its share in the last
/// interval.
const GREEDY: u32 = 1 << 31;

/// What tells clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    /// An IPv4 address, also one mapped into IPv6.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: what one subscriber usually has to choose from
    /// (RFC 6177 §2).
    V6Prefix([u8; 8]),
    /// The user behind a Unix socket.
    Uid(u32),
    /// Nothing is known; all such clients count as one.
    None,
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6Prefix([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The place of a client in the table. It travels with the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// Its place in a table of [`CLIENT_BUCKETS`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The table. All counts are relaxed: a race may let one more in, and is gone with the next
/// interval.
#[derive(Debug)]
pub(crate) struct Fairness {
    secret: RandomState,
    /// Work in the queue, by bucket.
    in_queue: Box<[AtomicU32]>,
    /// How many buckets have work in the queue.
    waiting: AtomicU32,
    /// Attempts to enter since the interval began, by bucket, and the bit [`GREEDY`].
    attempts: Box<[AtomicU32]>,
    /// Attempts in an interval up to which a client asks for no more than its share.
    share: AtomicU32,
    /// Workers that serve a client, by bucket.
    in_service: Box<[AtomicU32]>,
    /// When a bucket's last quick and its last slow service ended, by bucket, in ticks; zero:
    /// never.
    quick: Box<[AtomicU32]>,
    slow: Box<[AtomicU32]>,
    /// Workers in service, and from bit 32 on how many buckets they serve: one word, as each
    /// request changes both.
    busy: AtomicU64,
    /// Workers that serve clients whose services are slow.
    busy_slow: AtomicU32,
    /// The bucket that was served last, and the tick at which that was last another one.
    last: AtomicU32,
    mixed: AtomicU32,
    /// The tick at which the first of all was served.
    began: AtomicU32,
}

/// One bucket, in the word that counts workers and buckets in service.
const ONE_BUCKET: u64 = 1 << 32;

/// A tick of the clock by which clients are remembered.
const TICK: Duration = Duration::from_millis(100);
/// For how many ticks a client counts as slow after a slow service, and as known after a quick one.
const SLOW_FOR: u32 = 100;
const KNOWN_FOR: u32 = 600;
/// For how many ticks after the last change of clients there are several.
const MIXED_FOR: u32 = 100;

/// A moment in [ticks](TICK) since an epoch, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// The tick at which `since_epoch` falls.
    pub(crate) fn at(since_epoch: Duration) -> Self {
        let ticks = since_epoch.as_millis() / TICK.as_millis();
        Self(u32::try_from(ticks).unwrap_or(u32::MAX - 1) + 1)
    }

    /// Whether `then`, unless it is zero, was at most so many ticks ago.
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

impl Fairness {
    pub(crate) fn new() -> Self {
        let table = || (0..CLIENT_BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            secret: RandomState::new(),
            in_queue: table(),
            waiting: AtomicU32::new(0),
            attempts: table(),
            share: AtomicU32::new(0),
            in_service: table(),
            quick: table(),
            slow: table(),
            busy: AtomicU64::new(0),
            busy_slow: AtomicU32::new(0),
            last: AtomicU32::new(u32::MAX),
            mixed: AtomicU32::new(0),
            began: AtomicU32::new(0),
        }
    }

    /// A worker begins to serve this client.
    pub(crate) fn begin_service(&self, bucket: Bucket, now: Tick) -> InService {
        let index = usize::from(bucket.0);
        let first = self.in_service[index].fetch_add(1, Relaxed) == 0;
        self.busy.fetch_add(if first { ONE_BUCKET | 1 } else { 1 }, Relaxed);
        let last = self.last.load(Relaxed);
        if last != u32::from(bucket.0) {
            self.last.store(bucket.0.into(), Relaxed);
            let mixed = if last == u32::MAX { &self.began } else { &self.mixed };
            mixed.store(now.0, Relaxed);
        }
        let slow = now.is_within(self.slow[index].load(Relaxed), SLOW_FOR);
        if slow {
            self.busy_slow.fetch_add(1, Relaxed);
        }
        InService { bucket, slow }
    }

    /// It has ended; `quick`: whether it took no longer than requests usually do, `None` if nothing
    /// was served.
    pub(crate) fn end_service(&self, service: InService, now: Tick, quick: Option<bool>) {
        let index = usize::from(service.bucket.0);
        let last = self.in_service[index].fetch_sub(1, Relaxed) == 1;
        self.busy.fetch_sub(if last { ONE_BUCKET | 1 } else { 1 }, Relaxed);
        if service.slow {
            self.busy_slow.fetch_sub(1, Relaxed);
        }
        let Some(quick) = quick else { return };
        let record = if quick { &self.quick[index] } else { &self.slow[index] };
        if record.load(Relaxed) != now.0 {
            record.store(now.0, Relaxed);
        }
    }

    /// Workers in service.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.load(Relaxed) as u32
    }

    /// Whether the client has nothing in the queue and nothing in service.
    pub(crate) fn asks_for_nothing(&self, bucket: Bucket) -> bool {
        let index = usize::from(bucket.0);
        self.in_queue[index].load(Relaxed) == 0 && self.in_service[index].load(Relaxed) == 0
    }

    /// Whether one more of `workers` may serve this client now.
    ///
    /// Some workers are kept from clients whose services are slow, and from each client alone of
    /// which nothing is known yet: no one can tell how long the next service will take, and clients
    /// that come a moment later must not wait for its end.
    ///
    /// `patient`: the work has waited for a moment. Other clients have had their first worker then,
    /// so that one more does them no harm as long as some are kept back.
    pub(crate) fn may_serve(&self, bucket: Bucket, workers: u32, now: Tick, patient: bool) -> bool {
        let index = usize::from(bucket.0);
        let mine = self.in_service[index].load(Relaxed);
        let all_slow = self.busy_slow.load(Relaxed);
        if mine == 0 && all_slow == 0 {
            return true;
        }
        let most = workers - self.kept_back(workers, now);
        let slow = now.is_within(self.slow[index].load(Relaxed), SLOW_FOR);
        if slow {
            return all_slow.max(mine) < most;
        }
        if now.is_within(self.quick[index].load(Relaxed), KNOWN_FOR) {
            return true;
        }
        // Several clients of which nothing is known could hold all workers together.
        let few = if self.is_mixed(now) { most.min((workers / 4).max(1)) } else { most };
        mine < few || (patient && mine < most && self.busy() < most)
    }

    /// Whether there were several clients lately.
    fn is_mixed(&self, now: Tick) -> bool {
        now.is_within(self.mixed.load(Relaxed), MIXED_FOR)
    }

    /// Whether the client holds an equal part of `workers`, or more, so that the work of others
    /// comes first.
    pub(crate) fn holds_its_workers(&self, bucket: Bucket, workers: u32) -> bool {
        let index = usize::from(bucket.0);
        let mine = self.in_service[index].load(Relaxed);
        if mine == 0 {
            return false;
        }
        let me = u32::from(self.in_queue[index].load(Relaxed) > 0);
        let others = self.waiting.load(Relaxed).saturating_sub(me);
        // Who is in service and who waits may be the same clients: then the part is too small,
        // which does no harm, as what is put aside is served where nothing else is there to be
        // served.
        let served = (self.busy.load(Relaxed) >> 32) as u32;
        others > 0 && mine >= workers.div_ceil(served.max(others + 1))
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

    /// The bucket of a client.
    pub(crate) fn bucket(&self, key: ClientKey) -> Bucket {
        Bucket((self.secret.hash_one(key) % CLIENT_BUCKETS as u64) as u16)
    }

    pub(crate) fn enter(&self, bucket: Bucket) {
        if self.in_queue[usize::from(bucket.0)].fetch_add(1, Relaxed) == 0 {
            self.waiting.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn leave(&self, bucket: Bucket) {
        if self.in_queue[usize::from(bucket.0)].fetch_sub(1, Relaxed) == 1 {
            self.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// Counts an attempt to enter, or `count` attempts: a service that takes as long as several
    /// counts as several.
    pub(crate) fn attempt(&self, bucket: Bucket, count: u32) {
        let entry = &self.attempts[usize::from(bucket.0)];
        let seen = entry.load(Relaxed);
        let most = GREEDY - 1 - (seen & !GREEDY);
        entry.store(seen + count.min(most), Relaxed);
    }

    /// Whether the client asks for more than its share, or did so in the last interval.
    pub(crate) fn is_greedy(&self, bucket: Bucket) -> bool {
        self.attempts[usize::from(bucket.0)].load(Relaxed) > self.share.load(Relaxed)
    }

    /// Whether the client already holds its part of a queue of `room`, shared by those who wait.
    pub(crate) fn holds_its_part(&self, bucket: Bucket, room: u64) -> bool {
        let mine = self.in_queue[usize::from(bucket.0)].load(Relaxed);
        let others = u64::from(self.waiting.load(Relaxed)).saturating_sub(u64::from(mine > 0));
        u64::from(mine) >= (room / (others + 1)).max(1)
    }

    /// Begins an interval which has room for `room` pieces of work.
    pub(crate) fn begin(&self, room: u32) {
        let counts = self.attempts.iter().map(|entry| entry.load(Relaxed) & !GREEDY);
        let mut active: Vec<u32> = counts.filter(|count| *count > 0).collect();
        let share = share(&mut active, room).min(GREEDY - 1);
        self.share.store(share, Relaxed);
        for entry in &self.attempts {
            let seen = entry.load(Relaxed);
            if seen > 0 {
                entry.store(if seen & !GREEDY > share { GREEDY } else { 0 }, Relaxed);
            }
        }
    }
}

/// The max-min fair share: what those who ask for more than an equal part are each left with, once
/// those who ask for less have got what they asked for.
fn share(demands: &mut [u32], mut room: u32) -> u32 {
    demands.sort_unstable();
    let (mut most, mut others) = (0, demands.len() as u32);
    for &mut demand in demands {
        if demand > room / others {
            return room / others;
        }
        room -= demand;
        others -= 1;
        most = demand;
    }
    // There was room for all that was asked; who asks for all that was left over asks for too much.
    most.saturating_add(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_prefix_of_64_bits() {
        let key = |text: &str| ClientKey::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:127.0.0.1"), key("127.0.0.1"));
    }

    #[test]
    fn a_bucket_is_stable_and_within_the_table() {
        let fairness = Fairness::new();
        for n in 0..10_000_u32 {
            let bucket = fairness.bucket(ClientKey::Uid(n));
            assert_eq!(bucket, fairness.bucket(ClientKey::Uid(n)));
            assert!(usize::from(bucket.0) < CLIENT_BUCKETS);
        }
    }

    #[test]
    fn one_who_waits_alone_may_hold_the_whole_room_and_two_half_of_it() {
        let fairness = Fairness::new();
        let (a, b) = (Bucket(1), Bucket(2));
        for _ in 0..4 {
            assert!(!fairness.holds_its_part(a, 5));
            fairness.enter(a);
        }
        assert!(!fairness.holds_its_part(a, 5) && fairness.holds_its_part(a, 4));
        fairness.enter(b);
        assert!(fairness.holds_its_part(a, 8) && !fairness.holds_its_part(b, 4));
        (0..4).for_each(|_| fairness.leave(a));
        fairness.leave(b);
        assert!(!fairness.holds_its_part(a, 1));
    }

    #[test]
    fn greedy_is_who_attempts_more_than_what_the_modest_leave_over() {
        let fairness = Fairness::new();
        let (heavy, light) = (Bucket(1), Bucket(2));
        (0..20).for_each(|_| fairness.attempt(heavy, 1));
        (0..5).for_each(|_| fairness.attempt(light, 1));
        fairness.begin(20);
        assert!(fairness.is_greedy(heavy), "what it did in the last interval is not forgotten");
        (0..15).for_each(|_| fairness.attempt(light, 1));
        assert!(!fairness.is_greedy(light));
        fairness.attempt(light, 1);
        assert!(fairness.is_greedy(light));
        fairness.begin(20);
        assert!(!fairness.is_greedy(heavy) && !fairness.is_greedy(light), "16 of 20 is no greed");
    }

    fn known(fairness: &Fairness, bucket: Bucket, quick: bool, now: Tick) {
        let service = fairness.begin_service(bucket, now);
        fairness.end_service(service, now, Some(quick));
    }

    fn serve(fairness: &Fairness, bucket: Bucket, count: usize, now: Tick) -> Vec<InService> {
        (0..count).map(|_| fairness.begin_service(bucket, now)).collect()
    }

    #[test]
    fn a_client_of_quick_requests_may_hold_all_workers_and_an_unknown_one_all_but_one() {
        let (a, now) = (Bucket(1), Tick(10));
        let fairness = Fairness::new();
        known(&fairness, Bucket(3), true, now);
        let held = serve(&fairness, a, 3, now);
        assert!(!fairness.may_serve(a, 4, now, false), "nothing is known of it");
        assert!(fairness.may_serve(Bucket(2), 4, now, false));
        held.into_iter().for_each(|it| fairness.end_service(it, now, None));
        known(&fairness, a, true, now);
        let _held = serve(&fairness, a, 3, now);
        assert!(fairness.may_serve(a, 4, now, false));
        known(&fairness, Bucket(3), true, Tick(10 + KNOWN_FOR));
        assert!(!fairness.may_serve(a, 4, Tick(10 + KNOWN_FOR + 1), false), "that was long ago");
    }

    #[test]
    fn an_unknown_client_beside_others_gets_free_workers_after_a_moment() {
        let (a, now) = (Bucket(1), Tick(10));
        let fairness = Fairness::new();
        known(&fairness, Bucket(2), true, now);
        let mut held = serve(&fairness, a, 1, now);
        assert!(!fairness.may_serve(a, 4, now, false), "a quarter of the workers");
        assert!(fairness.may_serve(a, 4, now, true));
        held.extend(serve(&fairness, a, 2, now));
        assert!(!fairness.may_serve(a, 4, now, true), "one is kept back");
        held.pop().into_iter().for_each(|it| fairness.end_service(it, now, None));
        let _other = serve(&fairness, Bucket(2), 1, now);
        assert!(!fairness.may_serve(a, 4, now, true), "as many are busy as may be");
    }

    #[test]
    fn clients_of_slow_requests_may_not_hold_all_workers_together() {
        let (a, b, now) = (Bucket(1), Bucket(2), Tick(10));
        let fairness = Fairness::new();
        known(&fairness, a, false, now);
        known(&fairness, b, false, now);
        let _a = serve(&fairness, a, 2, now);
        assert!(fairness.may_serve(b, 4, now, false));
        let _b = serve(&fairness, b, 1, now);
        assert!(!fairness.may_serve(a, 4, now, false) && !fairness.may_serve(b, 4, now, false));
        assert!(fairness.may_serve(Bucket(3), 4, now, false));
        assert!(fairness.may_serve(b, 4, Tick(10 + SLOW_FOR + 1), false), "that was long ago");
    }

    #[test]
    fn workers_are_kept_back_only_where_there_may_be_several_clients() {
        let (a, now) = (Bucket(1), Tick(10));
        for (workers, alone) in [(1, true), (2, true), (3, true), (4, false)] {
            let fairness = Fairness::new();
            let _held = serve(&fairness, a, workers as usize - 1, now);
            assert_eq!(fairness.may_serve(a, workers, now, false), alone, "{workers}");
            let later = Tick(10 + MIXED_FOR + 1);
            assert!(fairness.may_serve(a, workers, later, false), "{workers}: it has been alone");
            known(&fairness, Bucket(2), true, now);
            assert_eq!(fairness.may_serve(a, workers, now, false), workers == 1, "{workers}");
        }
    }

    #[test]
    fn while_others_wait_a_client_holds_no_more_than_its_part_of_the_workers() {
        let (a, b, now) = (Bucket(1), Bucket(2), Tick(10));
        let fairness = Fairness::new();
        known(&fairness, a, true, now);
        let _held = serve(&fairness, a, 2, now);
        fairness.enter(a);
        assert!(!fairness.holds_its_workers(a, 4), "only its own work waits");
        fairness.enter(b);
        assert!(fairness.holds_its_workers(a, 4), "half of the workers, shared by two");
        assert!(!fairness.holds_its_workers(a, 5) && !fairness.holds_its_workers(b, 4));
        fairness.leave(b);
        assert!(!fairness.holds_its_workers(a, 4));
    }

    #[test]
    fn shares_are_max_min_fair() {
        let table: [(&[u32], u32, u32); 7] = [
            (&[], 80, 80),
            (&[100], 80, 80),
            (&[50; 16], 80, 5),
            (&[4, 4, 4, 720], 80, 68),
            (&[10, 30, 50], 60, 25),
            (&[1, 2, 3], 10, 7),
            (&[1; 100], 50, 0),
        ];
        for (demands, room, expected) in table {
            let mut demands = demands.to_vec();
            demands.reverse();
            assert_eq!(share(&mut demands, room), expected, "{demands:?} of {room}");
        }
    }
}
