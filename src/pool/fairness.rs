//! Who holds how much of the queue: counters by client, in a table of fixed size.
//!
//! Clients are told apart by a [`ClientKey`], hashed with a secret drawn at start into one of 1024
//! [`Bucket`]s. Two clients may share a bucket, and then share its part of the queue too; nobody can
//! choose whom to share with, and no number of clients makes the table grow.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many buckets there are.
const BUCKETS: usize = 1024;
/// The bit of an entry of `attempts` that says: it asked for more than its share in the last interval.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket(u16);

/// The table. All counts are relaxed: a race may let one more in, and is gone with the next interval.
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
}

impl Fairness {
    pub(crate) fn new() -> Self {
        let table = || (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            secret: RandomState::new(),
            in_queue: table(),
            waiting: AtomicU32::new(0),
            attempts: table(),
            share: AtomicU32::new(0),
        }
    }

    /// The bucket of a client.
    pub(crate) fn bucket(&self, key: ClientKey) -> Bucket {
        Bucket((self.secret.hash_one(key) % BUCKETS as u64) as u16)
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

    /// Counts an attempt to enter.
    pub(crate) fn attempt(&self, bucket: Bucket) {
        let entry = &self.attempts[usize::from(bucket.0)];
        let seen = entry.load(Relaxed);
        if seen & !GREEDY < GREEDY - 1 {
            entry.store(seen + 1, Relaxed);
        }
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
            assert!(usize::from(bucket.0) < BUCKETS);
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
        (0..20).for_each(|_| fairness.attempt(heavy));
        (0..5).for_each(|_| fairness.attempt(light));
        fairness.begin(20);
        assert!(fairness.is_greedy(heavy), "what it did in the last interval is not forgotten");
        (0..15).for_each(|_| fairness.attempt(light));
        assert!(!fairness.is_greedy(light));
        fairness.attempt(light);
        assert!(fairness.is_greedy(light));
        fairness.begin(20);
        assert!(!fairness.is_greedy(heavy) && !fairness.is_greedy(light), "16 of 20 is no greed");
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
