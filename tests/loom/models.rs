//! Models of the pool's lock-free pairs, which loom runs through every order of their steps.
//!
//! A model is the protocol's steps in reduced form, and names the functions that it mirrors: a
//! change of one needs a change of the other. loom treats sequentially consistent operations as
//! acquire and release, but knows the fence; where the server relies on the total order of two
//! operations, a model has [`ordered`] between them.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml
//! ```

#![cfg(test)]

mod cancel;
mod connections;
mod leader;
mod lent_sockets;
mod worker_state;

use loom::sync::atomic::{Ordering, fence};
use loom::sync::{Condvar, Mutex};

/// Replaces the total order of the sequentially consistent operations before and after it.
fn ordered() {
    fence(Ordering::SeqCst);
}

/// Runs `steps` in every order with at most LOOM_MAX_PREEMPTIONS interrupted threads, by default 3:
/// without a bound three threads have too many orders.
fn model(steps: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(steps);
}

/// An eventfd, or the token of a parked thread: once set, it stays set until a thread has waited.
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
