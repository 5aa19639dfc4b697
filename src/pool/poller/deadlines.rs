//! [`Deadlines`]: when each parked connection's phase ends.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// The deadlines of slots, at most one for each. Times are milliseconds since the epoch.
#[derive(Debug)]
pub(super) struct Deadlines {
    epoch: Instant,
    /// (deadline, slot).
    set: Mutex<BTreeSet<(u64, u32)>>,
    /// The earliest of `set`, or [`NEVER`]: read without the lock.
    earliest: AtomicU64,
}

impl Deadlines {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, set: Mutex::default(), earliest: AtomicU64::new(NEVER) }
    }

    /// The first whole millisecond at which `at` has passed.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        self.passed(at) + 1
    }

    /// The milliseconds that have passed at `now`.
    pub(super) fn passed(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// Moves a slot's entry from `before`, or inserts one if that is [`NEVER`]. `true`: its
    /// deadline is the earliest now.
    pub(super) fn schedule(&self, slot: u32, before: u64, deadline: u64) -> bool {
        let mut set = lock(&self.set);
        if before != NEVER {
            set.remove(&(before, slot));
        }
        set.insert((deadline, slot));
        let earliest_before = self.earliest.load(Ordering::Relaxed);
        self.publish(&set);
        deadline < earliest_before
    }

    /// Removes a slot's entry. The earliest deadline is corrected once it has passed, as most slots
    /// are freed long before their deadline.
    pub(super) fn remove(&self, deadline: u64, slot: u32) {
        lock(&self.set).remove(&(deadline, slot));
    }

    /// Removes the first entry, if the earliest deadline has passed at `now`. After a
    /// [removal](Self::remove) the entry may be due later: the caller checks.
    pub(super) fn pop_due(&self, now: u64) -> Option<(u64, u32)> {
        if self.earliest.load(Ordering::Relaxed) > now {
            return None;
        }
        let mut set = lock(&self.set);
        let first = set.pop_first();
        self.publish(&set);
        first
    }

    /// The time until the earliest deadline; `None` if there is none.
    pub(super) fn until_earliest(&self, now: Instant) -> Option<Duration> {
        match self.earliest.load(Ordering::SeqCst) {
            NEVER => None,
            earliest => {
                let at = self.epoch + Duration::from_millis(earliest);
                Some(at.saturating_duration_since(now))
            }
        }
    }

    /// Stores the earliest deadline. The monitor announces its sleep before it loads it, and a
    /// thread that stores an earlier one looks for a sleeping monitor afterwards: sequentially
    /// consistent, as in `pool::leader`.
    fn publish(&self, set: &BTreeSet<(u64, u32)>) {
        let first = set.first().map_or(NEVER, |(due, _)| *due);
        self.earliest.store(first, Ordering::SeqCst);
    }
}
