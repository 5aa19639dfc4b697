//! [`HandshakeLane`]: where TLS handshakes wait for a worker, apart from requests.
//!
//! A handshake costs as much as a dozen requests of a quick handler, and nothing obliges the client
//! that asks for it to send any. So only a few workers are in a handshake at once; and while there
//! is an overload, requests on established connections go first. Handshakes still have a small part
//! of the time of one worker then, so that new clients are not locked out for ever.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// While requests go first, a handshake may begin when this many times its duration has passed
/// since the last one began: a fortieth of the time of one worker.
pub(super) const TRICKLE: u32 = 40;

/// Handshakes that wait, and how many workers are in one.
#[derive(Debug)]
pub(crate) struct HandshakeLane<T> {
    epoch: Instant,
    /// The handshakes, and since when they wait.
    items: Mutex<VecDeque<(Instant, T)>>,
    /// How many there are, to be read without the lock. It is written under the lock.
    count: AtomicUsize,
    capacity: usize,
    /// The most workers that are in a handshake at once.
    most: usize,
    at_work: AtomicUsize,
    /// When the last handshake began, in nanoseconds since the epoch.
    last: AtomicU64,
}

impl<T> HandshakeLane<T> {
    pub(super) fn new(capacity: usize, most: usize, epoch: Instant) -> Self {
        Self {
            epoch,
            items: Mutex::default(),
            count: AtomicUsize::new(0),
            capacity,
            most: most.max(1),
            at_work: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// How many handshakes wait.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The most workers that are in a handshake at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether a handshake waits that a worker may begin now.
    ///
    /// The count is written after the handshake was pushed, and the number at work before a worker
    /// looks for work again: a worker that finds nothing here and sleeps is woken by the push, or
    /// another worker is about to look.
    pub(super) fn is_open(&self) -> bool {
        self.len() > 0 && self.at_work.load(Ordering::SeqCst) < self.most
    }

    /// # Errors
    /// The handshake, if there is no room.
    pub(super) fn push(&self, item: T, entered: Instant) -> Result<(), T> {
        let mut items = lock(&self.items);
        if items.len() >= self.capacity {
            return Err(item);
        }
        items.push_back((entered, item));
        self.count.store(items.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Takes the handshake that has waited longest, unless as many workers as may are already in
    /// one. The caller [finishes](Self::finish) it.
    pub(super) fn take(&self, now: Instant) -> Option<T> {
        if !self.is_open() || !self.reserve() {
            return None;
        }
        let item = self.remove(|_| true);
        match item {
            Some(_) => self.note_begun(now),
            // Another worker was faster.
            None => self.finish(),
        }
        item
    }

    /// Counts one more worker that begins a handshake. `false`: there are as many as may.
    pub(super) fn try_begin(&self, now: Instant) -> bool {
        let begun = self.reserve();
        if begun {
            self.note_begun(now);
        }
        begun
    }

    fn reserve(&self) -> bool {
        let reserved = self.at_work.fetch_add(1, Ordering::SeqCst) < self.most;
        if !reserved {
            self.finish();
        }
        reserved
    }

    fn note_begun(&self, now: Instant) {
        self.last.store(self.since_epoch(now), Ordering::Relaxed);
    }

    /// A worker has ended its step of a handshake.
    pub(super) fn finish(&self) {
        self.at_work.fetch_sub(1, Ordering::SeqCst);
    }

    /// Takes the handshake that has waited longest if it is `wanted`, not to be done.
    pub(super) fn remove(&self, wanted: impl Fn(Instant) -> bool) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let mut items = lock(&self.items);
        let (entered, _) = items.front()?;
        if !wanted(*entered) {
            return None;
        }
        let item = items.pop_front().map(|(_, item)| item);
        self.count.store(items.len(), Ordering::SeqCst);
        item
    }

    /// How long the first one has waited; zero if there is none.
    pub(super) fn oldest(&self, now: Instant) -> Duration {
        if self.len() == 0 {
            return Duration::ZERO;
        }
        let items = lock(&self.items);
        items.front().map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since))
    }

    /// Whether handshakes had so little of the time lately that one may go before requests. `each`:
    /// how long one takes.
    pub(super) fn is_starved(&self, now: Instant, each: Duration) -> bool {
        let last = Duration::from_nanos(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.epoch).saturating_sub(last) >= each * TRICKLE
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    #[test]
    fn no_more_are_taken_than_may_be_at_work_and_none_is_lost() {
        let now = Instant::now();
        let lane = HandshakeLane::new(3, 2, now);
        (0..3).for_each(|n| lane.push(n, now).unwrap());
        assert_eq!(lane.push(3, now), Err(3), "it is full");
        assert_eq!((lane.take(now), lane.take(now), lane.take(now)), (Some(0), Some(1), None));
        assert!(!lane.is_open() && lane.len() == 1);
        lane.finish();
        assert!(lane.is_open());
        assert_eq!(lane.take(now), Some(2));
        assert_eq!(lane.take(now), None);
        lane.finish();
        lane.finish();
        assert!(lane.try_begin(now) && lane.try_begin(now) && !lane.try_begin(now));
    }

    #[test]
    fn a_fortieth_of_the_time_of_one_worker_is_theirs_in_any_case() {
        let epoch = Instant::now();
        let lane = HandshakeLane::<()>::new(1, 1, epoch);
        let begin = epoch + 100 * MILLIS;
        assert!(lane.is_starved(begin, MILLIS));
        assert!(lane.try_begin(begin));
        assert!(!lane.is_starved(begin + 39 * MILLIS, MILLIS));
        assert!(lane.is_starved(begin + 40 * MILLIS, MILLIS));
    }

    #[test]
    fn only_the_first_is_removed_and_only_if_it_is_wanted() {
        let epoch = Instant::now();
        let lane = HandshakeLane::new(2, 1, epoch);
        lane.push('a', epoch).unwrap();
        lane.push('b', epoch + 5 * MILLIS).unwrap();
        assert_eq!(lane.oldest(epoch + 7 * MILLIS), 7 * MILLIS);
        let is_old = |entered: Instant| entered < epoch + MILLIS;
        assert_eq!((lane.remove(is_old), lane.remove(is_old)), (Some('a'), None));
        assert_eq!(lane.remove(|_| true), Some('b'));
        assert_eq!(lane.oldest(epoch), Duration::ZERO);
    }
}
