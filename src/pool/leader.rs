//! [`Leader`]: which thread polls, and which thread is woken (the leader/follower pattern).
//!
//! Handing a request to another thread costs more than serving it: a futex(2) wake and a context
//! switch take several microseconds. So an idle worker *leads*: it waits on epoll itself, serves
//! what it finds, and wakes another worker only when that pays:
//!
//! - Handlers are slow: an eighth of the recent requests or more took longer than [`SLOW`]. (A mean
//!   would do worse, as one preempted thread moves it.) Each piece of work gets a worker, and one
//!   more worker leads.
//! - Handlers are fast, but several requests came at once and fewer workers than cores are awake:
//!   one more worker is woken.
//!
//! Otherwise no thread is woken, and no thread polls while the former leader serves its request.
//! The first worker to finish becomes the leader. The monitor (see [`monitor`](super::monitor))
//! checks once a millisecond whether a thread polls, so that a handler which blocks unexpectedly
//! delays other connections by a millisecond at most.
//!
//! No wake-up is lost. A thread that goes to sleep announces that first and looks for work
//! afterwards; a thread that enqueues work does so first and looks for sleeping threads afterwards.
//! Each side stores, then loads: with sequentially consistent operations at least one of the two
//! sees the other's store. (With acquire and release alone, both loads could come before both
//! stores. tests/loom has a model of it.) The work itself is in a channel with orderings of its
//! own, so a fence separates the store from the load on each side.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crate::sync::lock;

/// The service time above which a request is worth a thread of its own: well above the cost of a
/// hand-off (about 10 µs of CPU time for both threads), well below the millisecond between two
/// checks of the monitor.
const SLOW: Duration = Duration::from_micros(100);

/// The amount of work that is worth sharing with another worker.
const HAND_OFF: Duration = Duration::from_micros(50);

/// The weight of one request in the share of slow ones: one part in 2^SHIFT.
const SHIFT: u32 = 6;
/// All requests are slow.
const ALL: u32 = 1 << 16;
/// From this share of slow requests on, each piece of work wakes a worker.
const MANY_SLOW: u32 = ALL / 8;

/// The number of fast requests at once that is worth waking another worker for.
pub(crate) const WORTH_SHARING: usize = 4;

/// No thread polls.
const NO_LEADER: u8 = 0;
/// A worker polls.
const WORKER: u8 = 1;
/// The monitor polls, as every worker is busy.
const MONITOR: u8 = 2;

/// Which thread polls, and which threads sleep.
#[derive(Debug)]
pub(crate) struct Leader {
    cores: usize,
    workers: usize,
    lead: AtomicU8,
    /// How often any thread has polled.
    polls: AtomicU64,
    /// The workers that sleep. The last one to fall asleep has the warmest caches, and is woken
    /// first.
    idle: Mutex<Vec<usize>>,
    idle_count: AtomicUsize,
    sleepers: Box<[Sleeper]>,
    /// The share of slow requests among the recent ones, of [`ALL`].
    slow: AtomicU32,
    monitor: Sleeper,
    monitor_asleep: AtomicBool,
    /// The worker for urgent work, if there is one.
    urgent: Sleeper,
    urgent_asleep: AtomicBool,
}

/// The lead. Dropping it, also by a panic, lets another thread take it.
#[derive(Debug)]
pub(crate) struct Lead<'a>(pub(crate) &'a Leader);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.resign();
    }
}

/// A thread that can be woken.
#[derive(Debug, Default)]
struct Sleeper {
    thread: OnceLock<Thread>,
    woken: AtomicBool,
}

impl Sleeper {
    fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Leader {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            cores: num_cpus::get().max(1),
            workers,
            lead: AtomicU8::new(NO_LEADER),
            polls: AtomicU64::new(0),
            idle: Mutex::new(Vec::with_capacity(workers)),
            idle_count: AtomicUsize::new(0),
            slow: AtomicU32::new(0),
            sleepers: (0..workers).map(|_| Sleeper::default()).collect(),
            monitor: Sleeper::default(),
            monitor_asleep: AtomicBool::new(false),
            urgent: Sleeper::default(),
            urgent_asleep: AtomicBool::new(false),
        }
    }

    /// The calling thread is this worker.
    pub(crate) fn register_worker(&self, worker: usize) {
        let _ = self.sleepers[worker].thread.set(std::thread::current());
    }

    /// The calling thread is the monitor.
    pub(crate) fn register_monitor(&self) {
        let _ = self.monitor.thread.set(std::thread::current());
    }

    /// The calling thread takes urgent work only.
    pub(crate) fn register_urgent(&self) {
        let _ = self.urgent.thread.set(std::thread::current());
    }

    /// The worker for urgent work sleeps until woken, unless `look_again` returns true.
    pub(crate) fn sleep_urgent(&self, look_again: impl Fn() -> bool) {
        self.urgent.woken.store(false, Ordering::SeqCst);
        self.urgent_asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !look_again() {
            while !self.urgent.woken.load(Ordering::SeqCst) {
                std::thread::park();
            }
        }
        self.urgent_asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes the worker for urgent work after such work was enqueued. `false`: it was awake.
    pub(crate) fn wake_urgent(&self) -> bool {
        fence(Ordering::SeqCst);
        let asleep = self.urgent_asleep.load(Ordering::SeqCst)
            && self.urgent_asleep.swap(false, Ordering::SeqCst);
        if asleep {
            self.urgent.wake();
        }
        asleep
    }

    /// Records the service time of a request.
    pub(crate) fn served(&self, service: Duration) {
        let before = self.slow.load(Ordering::Relaxed);
        let target = if service > SLOW { ALL } else { 0 };
        // A race between two workers loses one sample.
        let after = before - (before >> SHIFT) + (target >> SHIFT);
        if after != before {
            self.slow.store(after, Ordering::Relaxed);
        }
    }

    /// Whether recent handlers were so slow that each piece of work is worth a worker.
    pub(crate) fn handlers_are_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) > MANY_SLOW
    }

    /// Whether none of the last hundred or so requests was slow.
    pub(crate) fn handlers_are_fast(&self) -> bool {
        self.slow.load(Ordering::Relaxed) < ALL / 256
    }

    /// Takes the lead, unless another thread has it.
    pub(crate) fn try_lead(&self) -> bool {
        self.try_lead_as(WORKER)
    }

    pub(crate) fn try_lead_as_monitor(&self) -> bool {
        self.try_lead_as(MONITOR)
    }

    fn try_lead_as(&self, leader: u8) -> bool {
        // A plain load first: a failed compare-and-exchange would take the cache line from other
        // cores.
        self.lead.load(Ordering::SeqCst) == NO_LEADER
            && self
                .lead
                .compare_exchange(NO_LEADER, leader, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
    }

    /// Gives up the lead. The monitor is woken to check that another thread takes it.
    pub(crate) fn resign(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.lead.store(NO_LEADER, Ordering::SeqCst);
        self.wake_monitor();
    }

    pub(crate) fn is_led(&self) -> bool {
        self.lead.load(Ordering::SeqCst) != NO_LEADER
    }

    /// Whether a worker leads, or a sleeping one would do so when woken.
    pub(crate) fn has_leader(&self) -> bool {
        match self.lead.load(Ordering::SeqCst) {
            WORKER => true,
            MONITOR => false,
            _ => self.idle() > 0,
        }
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle_count.load(Ordering::SeqCst)
    }

    /// Sleeps until woken, unless `look_again` returns true.
    pub(crate) fn sleep(&self, worker: usize, look_again: impl Fn() -> bool) {
        let sleeper = &self.sleepers[worker];
        sleeper.woken.store(false, Ordering::SeqCst);
        {
            let mut idle = lock(&self.idle);
            idle.push(worker);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        if look_again() && self.stop_sleeping(worker) {
            return;
        }
        // Also if there is work, but another thread has just taken this worker off the list: its
        // wake-up must not come during the next sleep, as it would end that sleep while the worker
        // is still listed as idle.
        while !sleeper.woken.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// Takes a worker off the list of sleeping ones. `false`: another thread has just woken it.
    fn stop_sleeping(&self, worker: usize) -> bool {
        let mut idle = lock(&self.idle);
        let Some(index) = idle.iter().rposition(|other| *other == worker) else { return false };
        idle.remove(index);
        self.idle_count.store(idle.len(), Ordering::SeqCst);
        true
    }

    /// Wakes one sleeping worker. `false`: there is none.
    pub(crate) fn wake_one(&self) -> bool {
        if self.idle() == 0 {
            return false;
        }
        let worker = {
            let mut idle = lock(&self.idle);
            let worker = idle.pop();
            self.idle_count.store(idle.len(), Ordering::SeqCst);
            worker
        };
        match worker {
            Some(worker) => self.sleepers[worker].wake(),
            None => return false,
        }
        true
    }

    /// Wakes a thread for work that the caller enqueued and will not serve. `true`: the caller has
    /// to wake the poller, because the leading worker is the only one that is left, or because the
    /// monitor leads and began to poll while the queue was empty.
    #[must_use]
    pub(crate) fn wake_worker(&self) -> bool {
        fence(Ordering::SeqCst);
        let wanted = self.handlers_are_slow() || self.awake() < self.cores;
        if wanted && !self.wake_one() && self.lead.load(Ordering::SeqCst) == WORKER {
            return true;
        }
        self.wake_monitor();
        self.monitor_leads()
    }

    /// Wakes a worker for work that has waited for a while. `true`: only the leading worker is
    /// left, and the caller has to wake the poller.
    #[must_use]
    pub(crate) fn wake_again(&self) -> bool {
        !self.wake_one() && self.lead.load(Ordering::SeqCst) == WORKER
    }

    /// Wakes workers after the leader found `count` connections, of which it serves the first and
    /// has enqueued the others.
    pub(crate) fn share(&self, count: usize) {
        if self.handlers_are_slow() {
            // One for each enqueued connection, and one to lead.
            for _ in 0..count {
                if !self.wake_one() {
                    break;
                }
            }
        } else if count > WORTH_SHARING && self.awake() < self.cores {
            self.wake_one();
        }
    }

    /// Wakes a worker after the leader enqueued work of this length, which it starts to serve
    /// itself.
    pub(crate) fn share_work(&self, work: Duration) {
        if work > HAND_OFF && self.awake() < self.cores {
            self.wake_one();
        }
    }

    /// The number of workers that neither lead nor sleep. It may be off by one, as it only tunes.
    pub(crate) fn awake(&self) -> usize {
        let leads = usize::from(self.lead.load(Ordering::SeqCst) == WORKER);
        self.workers.saturating_sub(self.idle() + leads)
    }

    /// Wakes the monitor if it sleeps.
    pub(crate) fn wake_monitor(&self) {
        if self.monitor_asleep.load(Ordering::SeqCst)
            && self.monitor_asleep.swap(false, Ordering::SeqCst)
        {
            self.monitor.wake();
        }
    }

    /// Whether the monitor polls.
    pub(crate) fn monitor_leads(&self) -> bool {
        self.lead.load(Ordering::SeqCst) == MONITOR
    }

    /// The monitor sleeps until woken, or for `until_due`, unless `look_again` returns true. Both
    /// are called after the sleep was announced, so that a thread which enqueues work or sets an
    /// earlier deadline afterwards wakes the monitor.
    pub(crate) fn sleep_monitor(
        &self,
        until_due: impl Fn() -> Option<Duration>,
        look_again: impl Fn() -> bool,
    ) {
        self.monitor.woken.store(false, Ordering::SeqCst);
        self.monitor_asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !look_again() {
            match until_due() {
                // A spurious return only costs one check.
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.monitor_asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes all sleeping threads when the server stops. The caller wakes the poller.
    pub(crate) fn wake_all(&self) {
        // Each once: a worker that finds nothing to do sleeps again at once.
        let idle = {
            let mut idle = lock(&self.idle);
            self.idle_count.store(0, Ordering::SeqCst);
            std::mem::take(&mut *idle)
        };
        for worker in idle {
            self.sleepers[worker].wake();
        }
        self.monitor_asleep.store(false, Ordering::SeqCst);
        self.monitor.wake();
        self.urgent_asleep.store(false, Ordering::SeqCst);
        self.urgent.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn only_one_thread_leads() {
        let leader = Leader::new(2);
        assert!(leader.try_lead());
        assert!(!leader.try_lead());
        assert!(!leader.try_lead_as_monitor());
        leader.resign();
        assert!(leader.try_lead_as_monitor());
        assert!(leader.monitor_leads());
    }

    #[test]
    fn a_deadline_that_comes_while_the_monitor_falls_asleep_ends_its_sleep() {
        let leader = Leader::new(1);
        leader.register_monitor();
        // If the length of the sleep were computed before the announcement, no thread would wake
        // the monitor, and it would sleep for ever.
        let nearer = || {
            leader.wake_monitor();
            None
        };
        leader.sleep_monitor(nearer, || false);
        assert!(!leader.monitor_asleep.load(Ordering::SeqCst));
    }

    #[test]
    fn a_worker_that_finds_work_does_not_sleep() {
        let leader = Leader::new(1);
        leader.register_worker(0);
        leader.sleep(0, || true);
        assert_eq!(leader.idle(), 0);
    }

    #[test]
    fn no_wake_up_is_lost_between_looking_for_work_and_sleeping() {
        // One worker takes what another thread enqueues, piece by piece, and sleeps in between. A
        // lost wake-up would hang the test.
        const PIECES: u64 = 20_000;
        let leader = Arc::new(Leader::new(1));
        let work = Arc::new(AtomicU64::new(0));
        let worker = std::thread::spawn({
            let (leader, work) = (Arc::clone(&leader), Arc::clone(&work));
            move || {
                leader.register_worker(0);
                let mut done = 0;
                while done < PIECES {
                    let there = work.load(Ordering::SeqCst);
                    if there > done {
                        done = there;
                    } else {
                        leader.sleep(0, || work.load(Ordering::SeqCst) > done);
                    }
                }
            }
        });
        for _ in 0..PIECES {
            work.fetch_add(1, Ordering::SeqCst);
            let _ = leader.wake_worker();
        }
        worker.join().unwrap();
    }
}
