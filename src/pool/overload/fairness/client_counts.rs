//! [`ClientCounts`]: how much work of each client waits.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::client::{Bucket, counters};

/// Work that waits, by bucket.
#[derive(Debug)]
pub(crate) struct ClientCounts {
    waiting: Box<[AtomicU32]>,
    /// How many buckets have work that waits.
    clients: AtomicU32,
}

impl ClientCounts {
    pub(super) fn new() -> Self {
        Self { waiting: counters(), clients: AtomicU32::new(0) }
    }

    /// One more piece of work of this client waits.
    pub(crate) fn add(&self, bucket: Bucket) {
        if self.waiting[bucket.index()].fetch_add(1, Relaxed) == 0 {
            self.clients.fetch_add(1, Relaxed);
        }
    }

    /// One piece of this client's work stopped waiting.
    pub(crate) fn remove(&self, bucket: Bucket) {
        if self.waiting[bucket.index()].fetch_sub(1, Relaxed) == 1 {
            self.clients.fetch_sub(1, Relaxed);
        }
    }

    /// How much work of this client waits.
    pub(super) fn of(&self, bucket: Bucket) -> u32 {
        self.waiting[bucket.index()].load(Relaxed)
    }

    /// How many other clients have work that waits.
    pub(super) fn others(&self, bucket: Bucket) -> u32 {
        let own = u32::from(self.of(bucket) > 0);
        self.clients.load(Relaxed).saturating_sub(own)
    }

    /// Whether the client already has its equal part of `room` pieces of work, shared among the
    /// clients that wait.
    pub(crate) fn has_equal_part(&self, bucket: Bucket, room: u64) -> bool {
        let others = u64::from(self.others(bucket));
        u64::from(self.of(bucket)) >= (room / (others + 1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_alone_may_have_the_whole_room_and_each_of_two_a_half() {
        let counts = ClientCounts::new();
        let (a, b) = (Bucket(1), Bucket(2));
        for _ in 0..4 {
            assert!(!counts.has_equal_part(a, 5));
            counts.add(a);
        }
        assert!(!counts.has_equal_part(a, 5) && counts.has_equal_part(a, 4));
        counts.add(b);
        assert!(counts.has_equal_part(a, 8) && !counts.has_equal_part(b, 4));
        (0..4).for_each(|_| counts.remove(a));
        counts.remove(b);
        assert!(!counts.has_equal_part(a, 1));
    }
}
