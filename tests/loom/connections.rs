//! The count of connections: a thread that waits for one to close is woken.

use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Event, model, ordered};

/// `pool::connections::Connections` with one reason to close, and its `sync::Completion`.
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

    /// `Permit::drop`, `Connections::note_change`, `Completion::notify`.
    fn close(&self) {
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

    /// `Connections::await_change` and the poll(2) after it, until fewer than `limit` connections
    /// are live.
    fn await_room(&self, limit: usize) {
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

    fn closing(connections: &Arc<Self>) -> thread::JoinHandle<()> {
        let connections = Arc::clone(connections);
        thread::spawn(move || connections.close())
    }
}

#[test]
fn a_closed_connection_makes_room_for_the_acceptor() {
    model(|| {
        let connections = Arc::new(Connections::default());
        connections.enter();
        connections.enter();
        let ends = [Connections::closing(&connections), Connections::closing(&connections)];
        connections.await_room(1);
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
        let ends = [Connections::closing(&connections), Connections::closing(&connections)];
        connections.await_last();
        ends.into_iter().for_each(|end| end.join().unwrap());
        assert_eq!(
            connections.accepted.load(Ordering::Relaxed),
            connections.closed.load(Ordering::Relaxed)
        );
    });
}
