//! Models of the pool's lock-free pairs, which loom runs through every order of their steps.
//!
//! A model is the protocol's steps in reduced form, and names the functions that it mirrors:
//! whoever changes one changes the other. loom takes sequentially consistent operations for acquire
//! and release ones, but knows the fence; where the server relies on their total order, a model has
//! [`ordered`] between the two.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml
//! ```

#![cfg(test)]

use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// Stands for the total order of sequentially consistent operations before and after it.
fn ordered() {
    fence(Ordering::SeqCst);
}

/// Runs `steps` in every order in which at most LOOM_MAX_PREEMPTIONS threads are interrupted, 3
/// unless it is set: without a bound the orders of three threads are too many.
fn model(steps: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(steps);
}

/// An eventfd, or the token of a parked thread: once set it stays so until somebody has waited.
#[derive(Default)]
struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !std::mem::take(&mut *set) {
            set = self.changed.wait(set).unwrap();
        }
    }
}

const NOBODY: u8 = 0;
const WORKER: u8 = 1;

/// `pool::leader::Leader` with two workers and eager waking, `pool::queue::Queue`, and the
/// descriptor by which `pool::poller::Poller::wake` ends the leader's epoll_wait(2).
#[derive(Default)]
struct Pool {
    /// How many pieces of work are in the queue. Like those of crossbeam's channel, its operations
    /// order nothing but by the fences around them.
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
    /// `Worker::run`, until the one piece of work that comes has been taken.
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
        let taken = self.lead.compare_exchange(NOBODY, WORKER, before, after).is_ok();
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
        self.lead.store(NOBODY, Ordering::SeqCst);
        ordered();
        self.wake_monitor();
    }

    fn is_led(&self) -> bool {
        self.lead.load(Ordering::SeqCst) != NOBODY
    }

    /// `Leader::sleep`, `Leader::get_up`.
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

    /// `Shared::bring`, `Shared::call`, `Leader::call`.
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

    /// `Monitor::run`, until somebody has to be looked after: `Leader::sleep_monitor`,
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

/// `pool::lent_sockets::LentSockets`.
#[derive(Default)]
struct LentSockets {
    lent: Mutex<bool>,
    hint: AtomicBool,
    draining: AtomicBool,
    acceptor: Event,
    /// How many receive at this moment.
    receivers: AtomicUsize,
}

impl LentSockets {
    fn receive(&self) {
        assert_eq!(self.receivers.fetch_add(1, Ordering::Relaxed), 0, "two receive at once");
        thread::yield_now();
        self.receivers.fetch_sub(1, Ordering::Relaxed);
    }

    /// `Shared::lend`.
    fn lend(&self) {
        let mut lent = self.lent.lock().unwrap();
        if !*lent && !self.draining.load(Ordering::SeqCst) {
            *lent = true;
            self.hint.store(true, Ordering::SeqCst);
        }
    }

    /// `Shared::take_sockets_back`.
    fn take_back(&self) {
        if self.hint.load(Ordering::SeqCst) {
            let mut lent = self.lent.lock().unwrap();
            if std::mem::take(&mut *lent) {
                self.hint.store(false, Ordering::SeqCst);
                self.acceptor.set();
            }
        }
    }

    /// `Shared::borrow`.
    fn borrow(&self) {
        let lent = self.lent.lock().unwrap();
        if *lent && !self.draining.load(Ordering::SeqCst) {
            self.receive();
        }
    }
}

#[test]
fn lent_sockets_have_one_receiver_and_come_back() {
    model(|| {
        let lent_sockets = Arc::new(LentSockets::default());
        lent_sockets.lend();
        let leader = {
            let lent_sockets = Arc::clone(&lent_sockets);
            thread::spawn(move || lent_sockets.borrow())
        };
        let slow = {
            let lent_sockets = Arc::clone(&lent_sockets);
            thread::spawn(move || lent_sockets.take_back())
        };
        // `Acceptor::wait`: the sockets are not polled while they are lent.
        while lent_sockets.hint.load(Ordering::SeqCst) {
            lent_sockets.acceptor.wait();
        }
        lent_sockets.receive();
        leader.join().unwrap();
        slow.join().unwrap();
    });
}

#[test]
fn a_drain_takes_lent_sockets_back_for_good() {
    model(|| {
        let lent_sockets = Arc::new(LentSockets::default());
        lent_sockets.lend();
        let leader = {
            let lent_sockets = Arc::clone(&lent_sockets);
            thread::spawn(move || {
                lent_sockets.borrow();
                lent_sockets.take_back();
            })
        };
        // `Shared::drain`, then `Receiver::finish` and its `Receiver::round`.
        lent_sockets.draining.store(true, Ordering::SeqCst);
        lent_sockets.take_back();
        lent_sockets.receive();
        lent_sockets.lend();
        lent_sockets.receive();
        leader.join().unwrap();
        assert!(!lent_sockets.hint.load(Ordering::SeqCst));
    });
}

/// `pool::connections::Connections` with one reason to close, and its `pool::ending::Completion`.
#[derive(Default)]
struct Connections {
    live: AtomicUsize,
    accepted: AtomicU64,
    closed: AtomicU64,
    awaited: AtomicBool,
    acceptor: Event,
    ending_awaited: AtomicBool,
    guard: Mutex<()>,
    changed: Condvar,
}

impl Connections {
    /// `Connections::enter`.
    fn enter(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// `Permit::drop`, `Completion::tell`.
    fn leave(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_sub(1, Ordering::SeqCst);
        ordered();
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.acceptor.set();
        }
        if self.ending_awaited.load(Ordering::SeqCst) {
            let _guard = self.guard.lock().unwrap();
            self.changed.notify_all();
        }
    }

    /// `Acceptor::pause` and the poll(2) after it, until there is a place for one more than
    /// `limit`.
    fn await_place(&self, limit: usize) {
        let is_full = || self.live.load(Ordering::SeqCst) >= limit;
        while is_full() {
            self.awaited.store(true, Ordering::SeqCst);
            ordered();
            if is_full() {
                self.acceptor.wait();
            }
        }
    }

    /// `Completion::wait`.
    fn await_last(&self) {
        self.ending_awaited.store(true, Ordering::SeqCst);
        ordered();
        let mut guard = self.guard.lock().unwrap();
        while self.live.load(Ordering::SeqCst) > 0 {
            guard = self.changed.wait(guard).unwrap();
        }
    }

    fn leaving(connections: &Arc<Self>) -> thread::JoinHandle<()> {
        let connections = Arc::clone(connections);
        thread::spawn(move || connections.leave())
    }
}

#[test]
fn a_connection_that_ends_gives_its_place_to_the_acceptor() {
    model(|| {
        let connections = Arc::new(Connections::default());
        connections.enter();
        connections.enter();
        let ends = [Connections::leaving(&connections), Connections::leaving(&connections)];
        connections.await_place(1);
        connections.enter();
        ends.into_iter().for_each(|end| end.join().unwrap());
        assert_eq!(connections.live.load(Ordering::SeqCst), 1);
        assert_eq!(connections.accepted.load(Ordering::Relaxed), 3);
        assert_eq!(connections.closed.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn the_last_connection_ends_the_wait_for_it() {
    model(|| {
        let connections = Arc::new(Connections::default());
        connections.enter();
        connections.enter();
        let ends = [Connections::leaving(&connections), Connections::leaving(&connections)];
        connections.await_last();
        ends.into_iter().for_each(|end| end.join().unwrap());
        assert_eq!(
            connections.accepted.load(Ordering::Relaxed),
            connections.closed.load(Ordering::Relaxed)
        );
    });
}

/// `pool::activity::ActivityCell` with two words for a peer; a state of 0 is one that changes.
#[derive(Default)]
struct ActivityCell {
    state: AtomicU64,
    peer: [AtomicU64; 2],
}

impl ActivityCell {
    /// `ActivityCell::serve`. No two have the same state, which has the time.
    fn serve(&self, peer: u64) {
        self.state.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.peer[0].store(peer, Ordering::Relaxed);
        self.peer[1].store(peer, Ordering::Relaxed);
        self.state.store(peer, Ordering::Release);
    }

    /// One look of `ActivityCell::read`.
    fn read(&self) -> Option<[u64; 3]> {
        let state = self.state.load(Ordering::Acquire);
        let peer = [0, 1].map(|word| self.peer[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (state != 0 && self.state.load(Ordering::Relaxed) == state)
            .then_some([state, peer[0], peer[1]])
    }
}

#[test]
fn a_reader_of_worker_state_never_sees_two_peers_mixed() {
    model(|| {
        let activity = Arc::new(ActivityCell::default());
        let worker = {
            let activity = Arc::clone(&activity);
            thread::spawn(move || (1..=2).for_each(|peer| activity.serve(peer)))
        };
        for _ in 0..2 {
            if let Some([state, high, low]) = activity.read() {
                assert_eq!([state, high, low], [state; 3]);
            }
        }
        worker.join().unwrap();
        assert_eq!(activity.read(), Some([2; 3]));
    });
}
