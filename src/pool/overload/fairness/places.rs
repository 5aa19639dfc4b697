//! [`Places`]: which client has which bucket.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::client::{Bucket, CLIENT_BUCKETS};

/// How many places a client may have one of. A client shares a place only if all of them have
/// owners that are connected or have work: of 300 such clients, one does in one table of twelve.
const WAYS: usize = 8;
const SETS: usize = CLIENT_BUCKETS / WAYS;

/// The bits of an owner's word that hold its stamp. The others hold a part of its hash.
const STAMP: u64 = (1 << 24) - 1;

/// The owners of the buckets: a set-associative table, as caches of CPUs are. Each word is the
/// owner of one bucket, or zero. All words are relaxed: a race may give one client two buckets, or
/// a bucket two clients, until one of them is found first or has no work.
#[derive(Debug)]
pub(super) struct Places {
    sets: Box<[Set]>,
    /// How many places were taken so far. The stamp of an owner is this count when the owner was
    /// looked up last, so that the owner with the oldest stamp loses its place first.
    taken: AtomicU32,
}

/// The places that a client may have one of, in one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The client's own.
    Owned(Bucket),
    /// The client's own from now on.
    Taken(Bucket),
    /// The bucket of another client: both share it.
    Shared(Bucket),
}

impl Places {
    pub(super) fn new() -> Self {
        Self { sets: (0..SETS).map(|_| Set::default()).collect(), taken: AtomicU32::new(0) }
    }

    /// Looks a client up by its hash. A client without a place takes a free one, or that of a
    /// client without connections and work (`is_idle`).
    pub(super) fn find(&self, hash: u64, is_idle: impl Fn(Bucket) -> bool) -> Place {
        let index = hash as usize % SETS;
        let Set(set) = &self.sets[index];
        let bucket = |way: usize| Bucket((index * WAYS + way) as u16);
        // Never zero: that is a place without an owner.
        let owner = (hash & !STAMP) | (STAMP + 1);
        loop {
            let now = u64::from(self.taken.load(Relaxed)) & STAMP;
            let words = set.each_ref().map(|word| word.load(Relaxed));
            if let Some(way) = words.iter().position(|word| word & !STAMP == owner) {
                if words[way] != owner | now {
                    // Not a store: another client may just have taken it.
                    let _ = set[way].compare_exchange(words[way], owner | now, Relaxed, Relaxed);
                }
                return Place::Owned(bucket(way));
            }
            let idle = (0..WAYS).filter(|way| words[*way] == 0 || is_idle(bucket(*way)));
            let Some(way) = idle.max_by_key(|way| age(words[*way], now)) else {
                return Place::Shared(bucket((hash >> 8) as usize % WAYS));
            };
            let stamp = u64::from(self.taken.fetch_add(1, Relaxed).wrapping_add(1)) & STAMP;
            if set[way].compare_exchange(words[way], owner | stamp, Relaxed, Relaxed).is_ok() {
                return Place::Taken(bucket(way));
            }
        }
    }
}

/// How many places were taken since an owner was looked up last: at most, if it has none.
fn age(word: u64, now: u64) -> u64 {
    if word == 0 {
        return u64::MAX;
    }
    let age = now.wrapping_sub(word) & STAMP;
    // Another thread may have looked it up since `now` was read: then it is the youngest.
    if age > STAMP / 2 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of a client of the first set.
    fn hash(client: u64) -> u64 {
        client << 32
    }

    #[test]
    fn clients_of_one_set_have_places_of_their_own_until_all_are_active() {
        let places = Places::new();
        let find = |client, active: &dyn Fn(Bucket) -> bool| {
            places.find(hash(client), |bucket| !active(bucket))
        };
        let taken: Vec<Place> = (0..8).map(|client| find(client, &|_| true)).collect();
        let mut indexes: Vec<usize> = taken
            .iter()
            .map(|place| match place {
                Place::Taken(bucket) => bucket.index(),
                other => panic!("{other:?}"),
            })
            .collect();
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 5, 6, 7]);
        for (client, place) in (0..8).zip(&taken) {
            let Place::Taken(bucket) = *place else { unreachable!() };
            assert_eq!(find(client, &|_| false), Place::Owned(bucket));
        }
        assert!(matches!(find(8, &|_| true), Place::Shared(_)));
    }

    #[test]
    fn the_idle_owner_that_was_looked_up_longest_ago_loses_its_place() {
        let places = Places::new();
        let find = |client| places.find(hash(client), |_| true);
        let mut owned: Vec<Place> = (0..8).map(find).collect();
        // The first one is seen again, after another client took a place elsewhere.
        places.find(hash(9) + 1, |_| true);
        find(0);
        for client in 8..15 {
            let place = find(client);
            assert_eq!(place, owned.remove(1), "in the order of the lookups");
        }
        assert!(matches!(find(0), Place::Owned(_)));
        // The one that is active keeps it, however long ago it was looked up.
        let Place::Owned(oldest) = find(8) else { panic!() };
        (16..24).for_each(|client| {
            let place = places.find(hash(client), |bucket| bucket != oldest);
            assert!(matches!(place, Place::Taken(bucket) if bucket != oldest), "{place:?}");
        });
        assert_eq!(find(8), Place::Owned(oldest));
    }

    #[test]
    fn stamps_may_wrap_around() {
        assert_eq!(age(7, 7), 0);
        assert_eq!(age(7, 6), 0, "looked up by another thread meanwhile");
        assert_eq!(age(STAMP - 1, 2), 4);
        assert_eq!(age(0, 7), u64::MAX);
        let places = Places::new();
        places.taken.store(STAMP as u32 - 3, Relaxed);
        let find = |client| places.find(hash(client), |_| true);
        let owned: Vec<Place> = (0..8).map(find).collect();
        let next: Vec<Place> = (8..16).map(find).collect();
        assert_eq!(next, owned);
    }
}
