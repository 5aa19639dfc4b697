//! [`Cancellations`]: the requests whose handlers want to know when they are cancelled.
//!
//! A handler that ends quickly must not pay for this. So a worker registers a request in a slot of
//! its own, whose lock no other worker takes, and wakes the monitor only if no check is planned.
//! The monitor makes a check at most about ten times a second, and none while nothing is
//! registered.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::canceller::Canceller;
use super::handle::{Cancel, CancelReason};
use crate::pool::upgrades::Job;
use crate::sync::{later, lock, timespec};

/// The time between two checks.
const PERIOD: Duration = Duration::from_millis(100);

/// A request that was served for less than this is not worth a system call.
const WORTH_POLLING: Duration = Duration::from_millis(50);

/// No check is planned.
const NEVER: u64 = u64::MAX;

/// The connection of a request, as the protocol keeps it.
pub(crate) trait CancelSource: Send + Sync {
    /// The socket of the exchange with this number, which stays open while this is held. `None` if
    /// the exchange is over, or if a thread uses its connection at this moment. Must not block.
    fn try_socket(&self, number: u64) -> Option<Box<dyn AsFd + '_>>;
}

/// A request that is being served.
pub(crate) struct Watched {
    pub(crate) cancel: Cancel,
    pub(crate) deadline: Instant,
    /// When a worker took the request.
    pub(crate) began: Instant,
    pub(crate) source: Weak<dyn CancelSource>,
    /// The number of the request's exchange.
    pub(crate) number: u64,
}

/// Where the requests of one worker are registered, one at a time.
#[derive(Default)]
pub(crate) struct CancelSlot(Mutex<Option<Watched>>);

impl fmt::Debug for CancelSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelSlot").finish_non_exhaustive()
    }
}

impl CancelSlot {
    /// The request has ended, and the monitor forgets it.
    pub(crate) fn clear(&self) {
        // Dropped without the lock.
        let _watched = lock(&self.0).take();
    }
}

/// The requests whose handlers want to know when they are cancelled.
pub(crate) struct Cancellations {
    slots: Mutex<Vec<Weak<CancelSlot>>>,
    epoch: Instant,
    /// When the monitor makes the next check, in nanoseconds since the epoch, or [`NEVER`]. Set by
    /// the first request that is registered after a check, and by each check that leaves requests.
    ///
    /// A worker fills its slot and then looks here; the monitor resets this and then looks into the
    /// slots. If the monitor finds a slot empty, the worker locks it later, and so sees the reset
    /// and plans a check. tests/loom has a model of it.
    due: AtomicU64,
    canceller: Arc<Canceller>,
}

impl Cancellations {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            slots: Mutex::default(),
            epoch,
            due: AtomicU64::new(NEVER),
            canceller: Arc::default(),
        }
    }

    /// Sets how the thread that runs callbacks is made.
    pub(crate) fn spawn_with(&self, spawn: impl Fn(Job) -> io::Result<()> + Send + Sync + 'static) {
        self.canceller.spawn_with(spawn);
    }

    /// How many callbacks have panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.canceller.panics()
    }

    /// A new slot, which is checked until it is dropped.
    pub(crate) fn slot(&self) -> Arc<CancelSlot> {
        let slot = Arc::default();
        lock(&self.slots).push(Arc::downgrade(&slot));
        slot
    }

    /// A cancellation that is not registered.
    pub(crate) fn cancel(&self) -> Cancel {
        Cancel::new(Some(&self.canceller))
    }

    /// Registers a request. `true`: the monitor has to be woken, as it has no check planned.
    #[must_use]
    pub(crate) fn register(&self, slot: &CancelSlot, watched: Watched, now: Instant) -> bool {
        *lock(&slot.0) = Some(watched);
        let due = self.nanos(later(now, PERIOD));
        let planned = || self.due.compare_exchange(NEVER, due, Ordering::SeqCst, Ordering::SeqCst);
        self.due.load(Ordering::SeqCst) == NEVER && planned().is_ok()
    }

    /// The time until the next check; `None`: none is planned.
    pub(crate) fn until_check(&self, now: Instant) -> Option<Duration> {
        let due = self.due.load(Ordering::SeqCst);
        (due != NEVER).then(|| Duration::from_nanos(due.saturating_sub(self.nanos(now))))
    }

    /// Makes the monitor check at once, as the server drains.
    pub(crate) fn check_soon(&self) {
        self.due.store(0, Ordering::SeqCst);
    }

    /// Sets what has to be set. `draining_at`: when everything is cancelled, if the server drains.
    pub(crate) fn check(&self, now: Instant, draining_at: Option<Instant>) {
        self.due.store(NEVER, Ordering::SeqCst);
        let mut next = later(now, PERIOD);
        if let Some(at) = draining_at.filter(|at| *at > now) {
            next = next.min(at);
        }
        let mut slow = Vec::new();
        let mut is_watching = false;
        for slot in self.live_slots() {
            let watched = lock(&slot.0);
            let Some(watched) = watched.as_ref().filter(|watched| !watched.cancel.is_set()) else {
                continue;
            };
            if draining_at.is_some_and(|at| at <= now) {
                watched.cancel.set(CancelReason::Draining);
            } else if watched.deadline <= now {
                watched.cancel.set(CancelReason::DeadlinePassed);
            } else {
                is_watching = true;
                next = next.min(watched.deadline);
                if now.saturating_duration_since(watched.began) >= WORTH_POLLING
                    && let Some(source) = watched.source.upgrade()
                {
                    slow.push((watched.cancel.clone(), source, watched.number));
                }
            }
        }
        set_where_client_is_gone(&slow);
        if is_watching {
            self.due.fetch_min(self.nanos(next), Ordering::SeqCst);
        }
    }

    /// Cancels every request, as the server stops, and ends the thread that runs callbacks.
    pub(crate) fn stop(&self) {
        for slot in self.live_slots() {
            if let Some(watched) = &*lock(&slot.0) {
                watched.cancel.set(CancelReason::Draining);
            }
        }
        self.canceller.stop();
    }

    fn live_slots(&self) -> Vec<Arc<CancelSlot>> {
        let mut slots = lock(&self.slots);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.iter().filter_map(Weak::upgrade).collect()
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(NEVER - 1)
    }
}

/// Sets those whose client has gone, by one poll(2) that does not wait. `POLLRDHUP` counts: all
/// that a client sends when its process is killed is a FIN.
fn set_where_client_is_gone(requests: &[(Cancel, Arc<dyn CancelSource>, u64)]) {
    let sockets: Vec<_> = requests
        .iter()
        .filter_map(|(cancel, source, number)| Some((cancel, source.try_socket(*number)?)))
        .collect();
    if sockets.is_empty() {
        return;
    }
    let mut fds: Vec<_> =
        sockets.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::RDHUP)).collect();
    if poll(&mut fds, Some(&timespec(Duration::ZERO))).is_err() {
        // Interrupted by a signal: the next check finds the same.
        return;
    }
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    for ((cancel, _), fd) in sockets.iter().zip(&fds) {
        if fd.revents().intersects(gone) {
            cancel.set(CancelReason::ClientGone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoSocket;

    impl CancelSource for NoSocket {
        fn try_socket(&self, _: u64) -> Option<Box<dyn AsFd + '_>> {
            None
        }
    }

    fn watched(
        cancellations: &Cancellations,
        now: Instant,
        deadline: Instant,
    ) -> (Cancel, Watched) {
        let cancel = cancellations.cancel();
        let source: Weak<dyn CancelSource> = Weak::<NoSocket>::new();
        (cancel.clone(), Watched { cancel, deadline, began: now, source, number: 1 })
    }

    #[test]
    fn ten_thousand_quick_requests_plan_one_check_a_period_and_leave_nothing() {
        let now = Instant::now();
        let cancellations = Cancellations::new(now);
        let slot = cancellations.slot();
        let mut wakes = 0;
        for _ in 0..10_000 {
            let (_, request) = watched(&cancellations, now, now + PERIOD * 10);
            wakes += u32::from(cancellations.register(&slot, request, now));
            slot.clear();
        }
        assert_eq!(wakes, 1);
        assert_eq!(cancellations.until_check(now), Some(PERIOD));
        cancellations.check(now + PERIOD, None);
        assert_eq!(cancellations.until_check(now), None, "nothing to check");
        assert_eq!(cancellations.live_slots().len(), 1);
        drop(slot);
        cancellations.check(now + PERIOD, None);
        assert!(lock(&cancellations.slots).is_empty());
    }

    #[test]
    fn a_check_comes_no_later_than_the_deadline_or_the_end_of_the_drain() {
        let now = Instant::now();
        let cancellations = Cancellations::new(now);
        let slot = cancellations.slot();
        let ms = Duration::from_millis;
        let (cancel, request) = watched(&cancellations, now, now + ms(130));
        assert!(cancellations.register(&slot, request, now));
        cancellations.check(now + ms(100), None);
        assert_eq!(cancellations.until_check(now + ms(100)), Some(ms(30)));
        assert!(!cancel.is_set());
        cancellations.check(now + ms(130), None);
        assert_eq!(cancel.reason(), Some(CancelReason::DeadlinePassed));
        assert_eq!(cancellations.until_check(now), None, "it is set already");

        let (cancel, request) = watched(&cancellations, now, now + ms(1000));
        assert!(cancellations.register(&slot, request, now));
        let drains_at = Some(now + ms(40));
        cancellations.check(now, drains_at);
        assert_eq!(cancellations.until_check(now), Some(ms(40)));
        cancellations.check(now + ms(40), drains_at);
        assert_eq!(cancel.reason(), Some(CancelReason::Draining));
    }

    #[test]
    fn a_stop_cancels_what_is_registered() {
        let now = Instant::now();
        let cancellations = Cancellations::new(now);
        let slot = cancellations.slot();
        let (cancel, request) = watched(&cancellations, now, now + PERIOD);
        assert!(cancellations.register(&slot, request, now));
        cancellations.stop();
        assert_eq!(cancel.reason(), Some(CancelReason::Draining));
    }
}
