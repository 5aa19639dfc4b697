//! A worker's state and peer, which other threads read without a lock.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use super::model;

/// `pool::stats::worker_state::ActivityCell` with two words for a peer. State 0: it is being
/// changed.
#[derive(Default)]
struct ActivityCell {
    state: AtomicU64,
    peer: [AtomicU64; 2],
}

impl ActivityCell {
    /// `ActivityCell::serve`. No two states are equal, because a state contains the time.
    fn serve(&self, peer: u64) {
        self.state.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        self.peer[0].store(peer, Ordering::Relaxed);
        self.peer[1].store(peer, Ordering::Relaxed);
        self.state.store(peer, Ordering::Release);
    }

    /// One attempt of `ActivityCell::read`.
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
