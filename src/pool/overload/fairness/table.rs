//! [`Fairness`]: the tables of all clients, and the decisions that need both of them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::client::{Bucket, ClientKey};
use super::client_counts::ClientCounts;
use super::held::HeldConnections;
use super::places::{Place, Places};
use super::queue_shares::QueueShares;
use super::worker_shares::WorkerShares;

/// The tables.
#[derive(Debug)]
pub(crate) struct Fairness {
    secret: RandomState,
    places: Places,
    /// Which client has how many connections open.
    pub(crate) held: HeldConnections,
    /// Which client has how much of the queue.
    pub(crate) queue: QueueShares,
    /// Which client has how many handshakes that wait. No request is deferred for them.
    pub(crate) handshakes: ClientCounts,
    /// Which client has how many workers.
    pub(crate) workers: WorkerShares,
}

impl Fairness {
    pub(crate) fn new() -> Self {
        Self {
            secret: RandomState::new(),
            places: Places::new(),
            held: HeldConnections::new(),
            queue: QueueShares::new(),
            handshakes: ClientCounts::new(),
            workers: WorkerShares::new(),
        }
    }

    /// The bucket of a client. It may be another one once the client has had neither a connection
    /// nor work for a while.
    pub(crate) fn bucket(&self, key: ClientKey) -> Bucket {
        let is_idle = |bucket| {
            let is_gone = self.held.of(bucket) == 0 && self.has_no_work(bucket);
            is_gone && !self.queue.has_attempts(bucket)
        };
        match self.places.find(self.secret.hash_one(key), is_idle) {
            Place::Owned(bucket) | Place::Shared(bucket) => bucket,
            Place::Taken(bucket) => {
                self.workers.forget(bucket);
                bucket
            }
        }
    }

    /// Whether the client has work neither in the queue nor in service.
    pub(crate) fn has_no_work(&self, bucket: Bucket) -> bool {
        self.queue.waiting.of(bucket) == 0 && self.workers.of(bucket) == 0
    }

    /// Whether the client has an equal part of `workers`, or more, while other clients wait: then
    /// their work comes first.
    pub(crate) fn must_defer(&self, bucket: Bucket, workers: u32) -> bool {
        let own = self.workers.of(bucket);
        if own == 0 {
            return false;
        }
        let others = self.queue.waiting.others(bucket);
        // Some clients may both wait and be in service, and be counted only once here. Then the
        // part is too small, which does no harm: deferred work is served as soon as there is no
        // other work to serve.
        others > 0 && own >= workers.div_ceil(self.workers.clients().max(others + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::client::CLIENT_BUCKETS;
    use super::super::worker_shares::Tick;
    use super::*;

    #[test]
    fn a_bucket_is_stable_and_within_the_table() {
        let fairness = Fairness::new();
        for n in 0..10_000_u32 {
            let bucket = fairness.bucket(ClientKey::Uid(n));
            assert_eq!(bucket, fairness.bucket(ClientKey::Uid(n)));
            assert!(bucket.index() < CLIENT_BUCKETS);
        }
    }

    #[test]
    fn active_clients_share_no_bucket_however_many_have_come_before() {
        // A table whose secret gives more than eight of the hundred one set: 1 of 100,000.
        let fairness = Fairness::new();
        (0..10_000).for_each(|n| _ = fairness.bucket(ClientKey::Uid(n)));
        let mut buckets: Vec<Bucket> = (0..100)
            .map(|n| {
                let bucket = fairness.bucket(ClientKey::Uid(n));
                match n % 4 {
                    0 => fairness.queue.waiting.add(bucket),
                    1 => fairness.queue.count_attempts(bucket, 1),
                    2 => fairness.held.add(bucket),
                    _ => _ = fairness.workers.begin_service(bucket, Tick::at(Duration::ZERO)),
                }
                bucket
            })
            .collect();
        buckets.sort_unstable();
        buckets.dedup();
        assert_eq!(buckets.len(), 100);
    }

    #[test]
    fn a_client_keeps_its_bucket_while_a_connection_is_open() {
        let fairness = Fairness::new();
        let kept = fairness.bucket(ClientKey::Uid(0));
        fairness.held.add(kept);
        let mut others = (1..10_000).map(ClientKey::Uid);
        assert!(!others.any(|other| fairness.bucket(other) == kept));
        assert_eq!(fairness.bucket(ClientKey::Uid(0)), kept);
    }

    #[test]
    fn the_next_owner_of_a_bucket_is_not_known_for_the_last_one_s_services() {
        let (fairness, now) = (Fairness::new(), Tick::at(Duration::from_secs(1)));
        let slow = fairness.bucket(ClientKey::Uid(0));
        let service = fairness.workers.begin_service(slow, now);
        fairness.workers.end_service(service, now, Some(false));
        let is_slow = || fairness.workers.is_slow(slow, now);
        assert!(is_slow());
        let mut others = (1..).map(ClientKey::Uid);
        let next = others.find(|other| fairness.bucket(*other) == slow);
        assert!(next.is_some() && !is_slow());
    }

    #[test]
    fn while_others_wait_a_client_has_no_more_than_its_part_of_the_workers() {
        let (a, b, now) = (Bucket(1), Bucket(2), Tick::at(Duration::from_secs(1)));
        let fairness = Fairness::new();
        for _ in 0..2 {
            fairness.workers.begin_service(a, now);
        }
        fairness.queue.waiting.add(a);
        assert!(!fairness.must_defer(a, 4), "only its own work waits");
        fairness.handshakes.add(b);
        assert!(!fairness.must_defer(a, 4), "a handshake is no request");
        fairness.queue.waiting.add(b);
        assert!(fairness.must_defer(a, 4), "half of the workers, shared by two");
        assert!(!fairness.must_defer(a, 5) && !fairness.must_defer(b, 4));
        fairness.queue.waiting.remove(b);
        assert!(!fairness.must_defer(a, 4));
    }
}
