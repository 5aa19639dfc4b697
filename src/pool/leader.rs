//! Who waits where: leader and followers.
//!
//! Handing a request to another thread costs more than serving it: a futex(2) wake and a context
//! switch are several microseconds. So an idle worker *leads*: it waits on epoll itself, serves
//! what it finds, and wakes another only when that pays:
//!
//! - handlers are slow (an eighth of the last requests or more took longer than [`SLOW`]; a mean
//!   would do worse, as one preempted thread moves it): a worker for each piece of work, and one to
//!   lead;
//! - handlers are quick, but several requests came at once and fewer workers than cores are awake:
//!   one more.
//!
//! In every other case nobody is woken, and the lead lies on the ground while its last holder
//! serves. The monitor (see [`monitor`](super::monitor)) looks every millisecond whether somebody
//! should pick it up, so that a handler that blocks unexpectedly holds up others for no longer than
//! that.
//!
//! No wake-up is lost: whoever goes to wait announces it first and looks for work afterwards;
//! whoever brings work puts it down first and looks for waiters afterwards. Both with sequentially
//! consistent operations, so that at least one of the two sees the other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crate::sync::lock;

/// The service time above which a request is worth a thread of its own at once. Well above the cost
/// of a hand-off (about 10 µs of CPU for both sides), well below the millisecond that the monitor
/// takes.
const SLOW: Duration = Duration::from_micros(100);

/// How much work is worth handing a part of it to another worker.
const HAND_OFF: Duration = Duration::from_micros(50);

/// One request's weight in the share of slow ones: one part in 2^SHIFT.
const SHIFT: u32 = 6;
/// All requests are slow.
const ALL: u32 = 1 << 16;
/// From this share on, workers are woken eagerly.
const SLOW_SHARE: u32 = ALL / 8;

/// How many quick requests at once are worth waking another worker for.
pub(crate) const WORTH: usize = 4;

/// Nobody leads.
const NOBODY: u8 = 0;
/// A worker waits on epoll.
const WORKER: u8 = 1;
/// The monitor waits on epoll, as every worker is busy.
const MONITOR: u8 = 2;

/// Where the workers and the monitor wait.
#[derive(Debug)]
pub(crate) struct Leader {
    cores: usize,
    workers: usize,
    lead: AtomicU8,
    /// How often anybody has looked at epoll.
    looks: AtomicU64,
    /// The followers that wait; the last one to lie down is warm, and is woken first.
    idle: Mutex<Vec<usize>>,
    idle_count: AtomicUsize,
    sleepers: Box<[Sleeper]>,
    /// The share of slow requests of late, of [`ALL`].
    slow: AtomicU32,
    monitor: Sleeper,
    monitor_asleep: AtomicBool,
    /// The worker that takes urgent work only, if there is one.
    urgent: Sleeper,
    urgent_asleep: AtomicBool,
}

/// The lead, which is put down when this is dropped, also by a panic.
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
            lead: AtomicU8::new(NOBODY),
            looks: AtomicU64::new(0),
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

    /// The worker for urgent work sleeps until woken, unless `look_again` finds a reason not to.
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

    /// Urgent work was put into the queue. `true`: the worker for it was asleep, and is woken.
    pub(crate) fn wake_urgent(&self) -> bool {
        fence(Ordering::SeqCst);
        let asleep = self.urgent_asleep.load(Ordering::SeqCst)
            && self.urgent_asleep.swap(false, Ordering::SeqCst);
        if asleep {
            self.urgent.wake();
        }
        asleep
    }

    /// A request took so long.
    pub(crate) fn served(&self, service: Duration) {
        let before = self.slow.load(Ordering::Relaxed);
        let target = if service > SLOW { ALL } else { 0 };
        // A race between two workers loses one sample.
        let after = before - (before >> SHIFT) + (target >> SHIFT);
        if after != before {
            self.slow.store(after, Ordering::Relaxed);
        }
    }

    /// Whether handlers are so slow of late that each piece of work is worth waking a worker for.
    pub(crate) fn handlers_are_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) > SLOW_SHARE
    }

    /// Whether none of the last hundred or so requests was slow.
    pub(crate) fn handlers_are_fast(&self) -> bool {
        self.slow.load(Ordering::Relaxed) < ALL / 256
    }

    /// Takes the lead, if nobody has it.
    pub(crate) fn try_lead(&self) -> bool {
        self.try_lead_as(WORKER)
    }

    pub(crate) fn try_lead_as_monitor(&self) -> bool {
        self.try_lead_as(MONITOR)
    }

    fn try_lead_as(&self, who: u8) -> bool {
        // The plain load first spares the others' caches.
        self.lead.load(Ordering::SeqCst) == NOBODY
            && self.lead.compare_exchange(NOBODY, who, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Puts the lead down. The monitor sees to it that somebody picks it up.
    pub(crate) fn resign(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.lead.store(NOBODY, Ordering::SeqCst);
        self.wake_monitor();
    }

    pub(crate) fn is_led(&self) -> bool {
        self.lead.load(Ordering::SeqCst) != NOBODY
    }

    /// Whether a worker leads, or would do so at a call.
    pub(crate) fn has_leader(&self) -> bool {
        match self.lead.load(Ordering::SeqCst) {
            WORKER => true,
            MONITOR => false,
            _ => self.idle() > 0,
        }
    }

    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle_count.load(Ordering::SeqCst)
    }

    /// Lies down until woken, unless `look_again` finds a reason not to.
    pub(crate) fn sleep(&self, worker: usize, look_again: impl Fn() -> bool) {
        let sleeper = &self.sleepers[worker];
        sleeper.woken.store(false, Ordering::SeqCst);
        {
            let mut idle = lock(&self.idle);
            idle.push(worker);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        if look_again() && self.get_up(worker) {
            return;
        }
        while !sleeper.woken.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// Takes a worker off the list of those who wait. `false`: somebody has just woken it.
    fn get_up(&self, worker: usize) -> bool {
        let mut idle = lock(&self.idle);
        let Some(place) = idle.iter().rposition(|other| *other == worker) else { return false };
        idle.remove(place);
        self.idle_count.store(idle.len(), Ordering::SeqCst);
        true
    }

    /// Wakes one follower. `false`: none waits.
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

    /// Work was put into the queue by somebody who will not serve it. `true`: whoever leads has to
    /// be woken. A worker that leads, as nobody else could be woken; the monitor, as it waits with
    /// nothing in the queue to look after.
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

    /// Wakes somebody for work that nobody has taken for a while. `true`: only the leader is left,
    /// who has to be woken.
    #[must_use]
    pub(crate) fn wake_again(&self) -> bool {
        !self.wake_one() && self.lead.load(Ordering::SeqCst) == WORKER
    }

    /// The leader has found `count` connections, keeps the first and has put the others into the
    /// queue: wakes whom that calls for.
    pub(crate) fn share(&self, count: usize) {
        if self.handlers_are_slow() {
            // One for each of the others, and one to lead.
            for _ in 0..count {
                if !self.wake_one() {
                    break;
                }
            }
        } else if count > WORTH && self.awake() < self.cores {
            self.wake_one();
        }
    }

    /// The leader has put so much work into the queue, and begins with it.
    pub(crate) fn share_work(&self, work: Duration) {
        if work > HAND_OFF && self.awake() < self.cores {
            self.wake_one();
        }
    }

    /// Workers that neither lead nor sleep, give or take one: it is a guess that only tunes.
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

    /// Whether the monitor waits on epoll.
    pub(crate) fn monitor_leads(&self) -> bool {
        self.lead.load(Ordering::SeqCst) == MONITOR
    }

    /// The monitor sleeps until woken, or for `until_due`, unless `look_again` finds a reason not
    /// to. Both are asked once its sleep is announced: whoever brings a nearer deadline or work
    /// afterwards wakes it.
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
                // A spurious return is one look too many, no more.
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.monitor_asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes everybody who sleeps, to see that the server stops. The leader has to be woken.
    pub(crate) fn wake_all(&self) {
        // Each once: those who find nothing to do lie down again at once.
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
    fn the_lead_has_one_holder() {
        let leader = Leader::new(2);
        assert!(leader.try_lead());
        assert!(!leader.try_lead());
        assert!(!leader.try_lead_as_monitor());
        leader.resign();
        assert!(leader.try_lead_as_monitor());
        assert!(leader.monitor_leads());
    }

    #[test]
    fn a_deadline_that_comes_as_the_monitor_goes_to_sleep_ends_its_sleep() {
        let leader = Leader::new(1);
        leader.register_monitor();
        // Were its wait known before it is announced, nobody would rouse it, and it would sleep for
        // ever.
        let nearer = || {
            leader.wake_monitor();
            None
        };
        leader.sleep_monitor(nearer, || false);
        assert!(!leader.monitor_asleep.load(Ordering::SeqCst));
    }

    #[test]
    fn a_follower_that_finds_work_does_not_lie_down() {
        let leader = Leader::new(1);
        leader.register_worker(0);
        leader.sleep(0, || true);
        assert_eq!(leader.idle(), 0);
    }

    #[test]
    fn no_wake_up_is_lost_between_looking_for_work_and_lying_down() {
        // One worker takes what another thread brings, piece by piece, and sleeps in between. A
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
