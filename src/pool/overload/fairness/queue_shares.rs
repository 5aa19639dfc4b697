//! [`QueueShares`]: how much of the queue each client has, and which clients ask for more than
//! their share of it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::client::{Bucket, counters};
use super::client_counts::ClientCounts;

/// The bit of an entry of `attempts` that records: in the last interval, the client asked for more
/// than its share.
const WAS_OVER_SHARE: u32 = 1 << 31;

/// Counters by client. All of them are relaxed: a race may admit one piece of work more, and its
/// effect is gone with the next interval.
#[derive(Debug)]
pub(crate) struct QueueShares {
    /// Work in the queue.
    pub(crate) waiting: ClientCounts,
    /// Attempts to enter the queue since the interval began, by bucket, and the bit
    /// [`WAS_OVER_SHARE`].
    attempts: Box<[AtomicU32]>,
    /// Attempts in an interval up to which a client asks for no more than its share.
    share: AtomicU32,
}

impl QueueShares {
    pub(super) fn new() -> Self {
        Self { waiting: ClientCounts::new(), attempts: counters(), share: AtomicU32::new(0) }
    }

    /// Counts `count` attempts to enter the queue. A request that takes as long to serve as several
    /// others counts as several attempts.
    pub(crate) fn count_attempts(&self, bucket: Bucket, count: u32) {
        let entry = &self.attempts[bucket.index()];
        let before = entry.load(Relaxed);
        let most = WAS_OVER_SHARE - 1 - (before & !WAS_OVER_SHARE);
        entry.store(before + count.min(most), Relaxed);
    }

    /// Whether the client attempted to enter the queue in this interval, or asked for more than its
    /// share in the last one.
    pub(super) fn has_attempts(&self, bucket: Bucket) -> bool {
        self.attempts[bucket.index()].load(Relaxed) != 0
    }

    /// Whether the client asks for more than its share in this interval, or did so in the last one.
    pub(crate) fn is_over_share(&self, bucket: Bucket) -> bool {
        // The bit of the last interval is higher than any share.
        self.attempts[bucket.index()].load(Relaxed) > self.share.load(Relaxed)
    }

    /// Begins an interval that has room for `room` pieces of work.
    pub(crate) fn begin_interval(&self, room: u32) {
        let counts = self.attempts.iter().map(|entry| entry.load(Relaxed) & !WAS_OVER_SHARE);
        let mut active: Vec<u32> = counts.filter(|count| *count > 0).collect();
        let share = max_min_share(&mut active, room).min(WAS_OVER_SHARE - 1);
        self.share.store(share, Relaxed);
        for entry in &self.attempts {
            let before = entry.load(Relaxed);
            if before > 0 {
                let was_over = before & !WAS_OVER_SHARE > share;
                entry.store(if was_over { WAS_OVER_SHARE } else { 0 }, Relaxed);
            }
        }
    }
}

/// The max-min fair share: clients that ask for less than an equal part get what they ask for, and
/// the others share the rest equally. The result is the part of each of these others.
fn max_min_share(demands: &mut [u32], mut room: u32) -> u32 {
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
    // There was room for all demands: a client that adds all the rest to the highest demand asks
    // for too much.
    most.saturating_add(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_over_its_share_past_what_the_others_leave_unused() {
        let shares = QueueShares::new();
        let (heavy, light) = (Bucket(1), Bucket(2));
        (0..20).for_each(|_| shares.count_attempts(heavy, 1));
        (0..5).for_each(|_| shares.count_attempts(light, 1));
        shares.begin_interval(20);
        assert!(shares.is_over_share(heavy), "the last interval still counts");
        (0..15).for_each(|_| shares.count_attempts(light, 1));
        assert!(!shares.is_over_share(light));
        shares.count_attempts(light, 1);
        assert!(shares.is_over_share(light));
        shares.begin_interval(20);
        assert!(!shares.is_over_share(heavy) && !shares.is_over_share(light), "16 fit into 20");
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
            assert_eq!(max_min_share(&mut demands, room), expected, "{demands:?} of {room}");
        }
    }
}
