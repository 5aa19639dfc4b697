//! Cancellation: the check that the monitor plans, and the end of a request.

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Event, model, ordered};

/// No check is planned.
const NEVER: u64 = u64::MAX;

/// `pool::cancel::Cancellations`, with one slot.
struct Cancellations {
    slot: Mutex<bool>,
    due: AtomicU64,
    monitor_asleep: AtomicBool,
    monitor: Event,
}

impl Cancellations {
    /// `Cancellations::register`, and then `Shared::wake_for_deadline`.
    fn register(&self) {
        *self.slot.lock().unwrap() = true;
        let planned =
            || self.due.compare_exchange(NEVER, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if self.due.load(Ordering::SeqCst) == NEVER && planned() {
            ordered();
            if self.monitor_asleep.load(Ordering::SeqCst)
                && self.monitor_asleep.swap(false, Ordering::SeqCst)
            {
                self.monitor.set();
            }
        }
    }

    /// `Cancellations::check`. Returns whether it found the request.
    fn check(&self) -> bool {
        self.due.store(NEVER, Ordering::SeqCst);
        let found = *self.slot.lock().unwrap();
        if found {
            self.due.fetch_min(1, Ordering::SeqCst);
        }
        found
    }
}

#[test]
fn the_monitor_finds_a_registered_request() {
    model(|| {
        let cancellations = Arc::new(Cancellations {
            slot: Mutex::new(false),
            // A check that was planned for an earlier request.
            due: AtomicU64::new(1),
            monitor_asleep: AtomicBool::new(false),
            monitor: Event::default(),
        });
        let worker = {
            let cancellations = Arc::clone(&cancellations);
            thread::spawn(move || cancellations.register())
        };
        // `Monitor::watch` and `Leader::sleep_monitor`: it sleeps without end if no check is due.
        while !cancellations.check() {
            cancellations.monitor_asleep.store(true, Ordering::SeqCst);
            ordered();
            if cancellations.due.load(Ordering::SeqCst) == NEVER {
                cancellations.monitor.wait();
            }
            cancellations.monitor_asleep.store(false, Ordering::SeqCst);
        }
        worker.join().unwrap();
    });
}

/// `pool::cancel::handle::CancelState`.
#[derive(Default)]
struct Cancel {
    is_set: AtomicBool,
    callbacks: Mutex<Callbacks>,
    returned: Condvar,
    /// Whether the request has ended, as its handler sees it.
    over: AtomicBool,
}

#[derive(Default)]
struct Callbacks {
    waiting: usize,
    running: usize,
    ended: bool,
}

impl Cancel {
    fn callback(&self) {
        assert!(!self.over.load(Ordering::Relaxed), "a callback runs after the end");
        thread::yield_now();
        assert!(!self.over.load(Ordering::Relaxed), "a callback runs beyond the end");
        self.callbacks.lock().unwrap().running -= 1;
        self.returned.notify_all();
    }

    /// `Cancel::on`. Returns whether the callback ran at once.
    fn on(&self) -> bool {
        let mut callbacks = self.callbacks.lock().unwrap();
        if callbacks.ended {
            return false;
        }
        let is_set = self.is_set.load(Ordering::Acquire);
        if is_set {
            callbacks.running += 1;
            drop(callbacks);
            self.callback();
        } else {
            callbacks.waiting += 1;
        }
        is_set
    }

    /// `Cancel::set`, and then `Cancel::run_callbacks`. Returns how many ran.
    fn set(&self) -> usize {
        self.is_set.store(true, Ordering::Release);
        let mut ran = 0;
        loop {
            let mut callbacks = self.callbacks.lock().unwrap();
            if callbacks.waiting == 0 {
                return ran;
            }
            callbacks.waiting -= 1;
            callbacks.running += 1;
            drop(callbacks);
            self.callback();
            ran += 1;
        }
    }

    /// `Cancel::end`.
    fn end(&self) {
        let mut callbacks = self.callbacks.lock().unwrap();
        callbacks.ended = true;
        callbacks.waiting = 0;
        while callbacks.running > 0 {
            callbacks = self.returned.wait(callbacks).unwrap();
        }
        drop(callbacks);
        self.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_callback_runs_before_the_end_of_its_request_or_never() {
    model(|| {
        let cancel = Arc::new(Cancel::default());
        let canceller = {
            let cancel = Arc::clone(&cancel);
            thread::spawn(move || cancel.set())
        };
        let helper = {
            let cancel = Arc::clone(&cancel);
            thread::spawn(move || cancel.on())
        };
        cancel.on();
        cancel.end();
        let ran = canceller.join().unwrap();
        let _ = helper.join().unwrap();
        assert!(ran <= 2);
    });
}

#[test]
fn a_callback_that_is_added_while_the_request_is_cancelled_runs_once() {
    model(|| {
        let cancel = Arc::new(Cancel::default());
        let canceller = {
            let cancel = Arc::clone(&cancel);
            thread::spawn(move || cancel.set())
        };
        let at_once = cancel.on();
        assert_eq!(canceller.join().unwrap() + usize::from(at_once), 1);
        cancel.end();
    });
}
