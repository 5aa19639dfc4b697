//! Datagram sockets that the acceptor lends to the leader: one thread receives at a time.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Event, model};

/// `pool::datagram::lend::LentSockets`.
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

    /// `Shared::lend_sockets`.
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

    /// `Shared::receive_from_lent`.
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
