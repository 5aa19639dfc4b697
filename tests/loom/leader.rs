//! Which worker polls, which ones sleep, and how work wakes them.

use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Event, model, ordered};

const NO_LEADER: u8 = 0;
const WORKER: u8 = 1;

/// `pool::leader::Leader` with two workers and slow handlers, `pool::queue::Queue`, and the
/// descriptor by which `pool::poller::Poller::wake` ends the leader's epoll_wait(2).
#[derive(Default)]
struct Pool {
    /// The length of the queue. As with crossbeam's channel, only the fences around its operations
    /// order anything.
    queue: AtomicUsize,
    lead: AtomicU8,
    idle: Mutex<Vec<usize>>,
    idle_count: AtomicUsize,
    woken: [Event; 2],
    poller_woken: Event,
    stopped: AtomicBool,
    monitor_asleep: AtomicBool,
    monitor: Event,
}

impl Pool {
    /// `Worker::run`, until a worker has taken the only piece of work.
    fn work(&self, worker: usize) {
        while !self.stopped.load(Ordering::SeqCst) {
            if self.queue.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return self.stop();
            }
            if self.try_lead() {
                self.lead();
            } else {
                self.sleep(worker, || {
                    !self.queue_is_empty() || !self.is_led() || self.stopped.load(Ordering::SeqCst)
                });
            }
        }
    }

    fn queue_is_empty(&self) -> bool {
        self.queue.load(Ordering::Acquire) == 0
    }

    /// `Leader::try_lead`.
    fn try_lead(&self) -> bool {
        let (before, after) = (Ordering::SeqCst, Ordering::SeqCst);
        let taken = self.lead.compare_exchange(NO_LEADER, WORKER, before, after).is_ok();
        ordered();
        taken
    }

    /// `Worker::lead`.
    fn lead(&self) {
        if self.queue_is_empty() && !self.stopped.load(Ordering::SeqCst) {
            self.poller_woken.wait();
        }
        self.resign();
    }

    /// `Leader::resign`.
    fn resign(&self) {
        self.lead.store(NO_LEADER, Ordering::SeqCst);
        ordered();
        self.wake_monitor();
    }

    fn is_led(&self) -> bool {
        self.lead.load(Ordering::SeqCst) != NO_LEADER
    }

    /// `Leader::sleep`, `Leader::stop_sleeping`.
    fn sleep(&self, worker: usize, look_again: impl Fn() -> bool) {
        {
            let mut idle = self.idle.lock().unwrap();
            idle.push(worker);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        if look_again() {
            let mut idle = self.idle.lock().unwrap();
            if let Some(place) = idle.iter().rposition(|other| *other == worker) {
                idle.remove(place);
                self.idle_count.store(idle.len(), Ordering::SeqCst);
                return;
            }
        }
        self.woken[worker].wait();
    }

    /// `Leader::wake_one`.
    fn wake_one(&self) -> bool {
        if self.idle_count.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let worker = {
            let mut idle = self.idle.lock().unwrap();
            let worker = idle.pop();
            self.idle_count.store(idle.len(), Ordering::SeqCst);
            worker
        };
        worker.inspect(|worker| self.woken[*worker].set()).is_some()
    }

    /// `Shared::enqueue_or_refuse`, `Shared::wake_worker`, `Leader::wake_worker`.
    fn enqueue_or_refuse(&self) {
        self.queue.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
        if !self.wake_one() && self.lead.load(Ordering::SeqCst) == WORKER {
            self.poller_woken.set();
        } else {
            self.wake_monitor();
        }
    }

    /// `Shared::stop`, `Leader::wake_all`.
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        ordered();
        let idle = {
            let mut idle = self.idle.lock().unwrap();
            self.idle_count.store(0, Ordering::SeqCst);
            std::mem::take(&mut *idle)
        };
        idle.into_iter().for_each(|worker| self.woken[worker].set());
        self.poller_woken.set();
    }

    /// `Leader::wake_monitor`.
    fn wake_monitor(&self) {
        if self.monitor_asleep.load(Ordering::SeqCst)
            && self.monitor_asleep.swap(false, Ordering::SeqCst)
        {
            self.monitor.set();
        }
    }

    /// `Monitor::run`, until the pool is no longer steady: `Leader::sleep_monitor`,
    /// `Monitor::is_steady`.
    fn watch(&self) {
        let is_steady = || self.is_led() && self.queue_is_empty();
        while is_steady() {
            self.monitor_asleep.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if is_steady() {
                self.monitor.wait();
            }
            self.monitor_asleep.store(false, Ordering::SeqCst);
        }
    }
}

// A lost wake-up leaves a thread waiting for ever, which loom reports as a deadlock.

fn work_is_taken(workers: usize) {
    model(move || {
        let pool = Arc::new(Pool::default());
        let work = |worker| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work(worker))
        };
        let workers: Vec<_> = (0..workers).map(work).collect();
        pool.enqueue_or_refuse();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(pool.queue_is_empty());
    });
}

#[test]
fn work_is_taken_by_the_only_worker_though_it_leads() {
    work_is_taken(1);
}

#[test]
fn work_is_taken_whether_workers_lead_or_sleep() {
    work_is_taken(2);
}

#[test]
fn one_worker_leads_at_a_time() {
    model(|| {
        let pool = Arc::new(Pool::default());
        let leaders = Arc::new(AtomicUsize::new(0));
        let lead = |pool: &Pool, leaders: &AtomicUsize| {
            if pool.try_lead() {
                assert_eq!(leaders.fetch_add(1, Ordering::Relaxed), 0);
                leaders.fetch_sub(1, Ordering::Relaxed);
                pool.resign();
            }
        };
        let other = {
            let (pool, leaders) = (Arc::clone(&pool), Arc::clone(&leaders));
            thread::spawn(move || lead(&pool, &leaders))
        };
        lead(&pool, &leaders);
        other.join().unwrap();
        assert!(!pool.is_led());
    });
}

#[test]
fn the_monitor_notices_when_no_thread_leads() {
    model(|| {
        let pool = Arc::new(Pool::default());
        assert!(pool.try_lead());
        let monitor = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.watch())
        };
        pool.resign();
        monitor.join().unwrap();
    });
}
