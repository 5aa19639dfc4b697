//! [`HashLimit`]: how many workers may compute the hash of a password at once.
//!
//! By design, a hash takes tens of milliseconds of CPU time, and every client can cause one. So
//! each server has a few permits for it. A worker that gets none refuses the request at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config::default_workers;
use crate::pool::overload::fairness::ClientKey;
use crate::sync::lock;

/// The highest number of permits, however many workers there are.
const PERMITS_MAX: usize = 8;
/// For how long a wrong guess and the refusal of another client are remembered. The refused client
/// is asked to wait for a shorter time (`Retry-After: 1`), so it finds a permit when it tries
/// again.
const REMEMBER_FOR: Duration = Duration::from_secs(3);
/// How many clients with wrong guesses are remembered.
const GUESSERS_MAX: usize = 64;

/// The permits of one server.
#[derive(Debug)]
pub(crate) struct HashLimit {
    permits: usize,
    state: Mutex<HashLimitState>,
}

#[derive(Debug, Default)]
struct HashLimitState {
    /// The clients for which a hash is being computed: no more than there are permits.
    clients: Vec<ClientKey>,
    /// Clients that guessed wrong recently, and when, in the order of time.
    guessers: VecDeque<(ClientKey, Instant)>,
    /// When a client without a wrong guess was last refused.
    refused: Option<Instant>,
}

/// A permit to compute one hash, released by `Drop`.
#[derive(Debug)]
pub(crate) struct HashPermit<'a> {
    limit: &'a HashLimit,
    client: ClientKey,
}

thread_local! {
    /// The limit of the server that this worker thread belongs to.
    static OWN: RefCell<Option<Arc<HashLimit>>> = const { RefCell::new(None) };
}

impl HashLimit {
    /// A limit of a quarter of the workers, at least one and at most eight.
    pub(crate) fn new(workers: usize) -> Self {
        Self { permits: (workers / 4).clamp(1, PERMITS_MAX), state: Mutex::default() }
    }

    /// Makes this the limit of the calling thread, a worker of the server.
    pub(crate) fn set_for_this_thread(self: &Arc<Self>) {
        OWN.with(|own| *own.borrow_mut() = Some(Arc::clone(self)));
    }

    /// The limit of the server that the calling worker belongs to. A thread that is not a worker
    /// gets a limit of its own.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        OWN.with(|own| {
            let mut own = own.borrow_mut();
            Arc::clone(own.get_or_insert_with(|| Arc::new(Self::new(default_workers()))))
        })
    }

    /// A permit for a hash on behalf of this client, if one is free.
    ///
    /// No client gets more than half of the permits. A client that guessed wrong does not get the
    /// last free one for a while after another client was refused, so that this other client finds
    /// a permit at its next attempt.
    pub(crate) fn try_acquire(&self, client: ClientKey, now: Instant) -> Option<HashPermit<'_>> {
        let mut state = lock(&self.state);
        let recent = |at: Instant| now.saturating_duration_since(at) < REMEMBER_FOR;
        let guesser = state.guessers.iter().any(|(other, at)| *other == client && recent(*at));
        let free = self.permits - state.clients.len();
        let own = state.clients.iter().filter(|other| **other == client).count();
        let is_kept = free == 1 && guesser && state.refused.is_some_and(recent);
        if free == 0 || own >= (self.permits / 2).max(1) || is_kept {
            if !guesser && own == 0 {
                state.refused = Some(now);
            }
            return None;
        }
        state.clients.push(client);
        Some(HashPermit { limit: self, client })
    }
}

impl HashPermit<'_> {
    /// Remembers that the client's guess was wrong.
    pub(crate) fn was_wrong(&self, now: Instant) {
        let mut state = lock(&self.limit.state);
        state.guessers.retain(|(client, _)| *client != self.client);
        if state.guessers.len() == GUESSERS_MAX {
            state.guessers.pop_front();
        }
        state.guessers.push_back((self.client, now));
    }
}

impl Drop for HashPermit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.limit.state);
        if let Some(place) = state.clients.iter().position(|client| *client == self.client) {
            state.clients.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> ClientKey {
        ClientKey::V4([192, 0, 2, n])
    }

    #[test]
    fn a_quarter_of_the_workers_may_hash_and_no_client_takes_all_permits() {
        for (workers, permits) in [(1, 1_usize), (4, 1), (8, 2), (16, 4), (32, 8), (10_000, 8)] {
            let limit = HashLimit::new(workers);
            let now = Instant::now();
            let each = (permits / 2).max(1);
            let mut held = Vec::new();
            for n in 0..permits.div_ceil(each) {
                let got = (0..9).filter_map(|_| limit.try_acquire(client(n as u8), now));
                held.extend(got);
                assert_eq!(held.len(), each * (n + 1), "{workers}");
            }
            assert_eq!(held.len(), permits);
            assert!(limit.try_acquire(client(99), now).is_none());
            held.pop();
            assert!(limit.try_acquire(client(99), now).is_some());
        }
    }

    #[test]
    fn a_client_that_was_refused_finds_a_permit_at_its_next_attempt() {
        let limit = HashLimit::new(4);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let guess = |now| limit.try_acquire(client(1), now).map(|permit| permit.was_wrong(now));
        // Alone, a client may guess one password after the other.
        assert!((0..5).all(|n| guess(at(n)).is_some()));
        let permit = limit.try_acquire(client(1), at(10)).unwrap();
        assert!(limit.try_acquire(client(2), at(11)).is_none());
        permit.was_wrong(at(12));
        drop(permit);
        assert!(guess(at(13)).is_none());
        assert!(limit.try_acquire(client(2), at(1000)).is_some());
        // The refusal is forgotten, and so are the guesses.
        assert!(guess(at(4000)).is_some());
        assert!(guess(at(4001)).is_some());
    }

    #[test]
    fn the_number_of_remembered_guesses_is_bounded() {
        let limit = HashLimit::new(1);
        let now = Instant::now();
        for n in 0..200 {
            limit.try_acquire(client(n), now).unwrap().was_wrong(now);
        }
        assert_eq!(lock(&limit.state).guessers.len(), GUESSERS_MAX);
    }

    #[test]
    fn a_worker_has_the_limit_of_its_server() {
        let limit = Arc::new(HashLimit::new(8));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                limit.set_for_this_thread();
                assert!(Arc::ptr_eq(&HashLimit::of_this_thread(), &limit));
            });
        });
        assert!(!Arc::ptr_eq(&HashLimit::of_this_thread(), &limit));
    }
}
