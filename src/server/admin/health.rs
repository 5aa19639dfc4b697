//! [`Health`]: whether the acceptor and the queue make progress.

use std::time::{Duration, Instant};

/// The time in which the acceptor makes a round once it was woken. A round takes milliseconds.
const ACCEPTOR_PATIENCE: Duration = Duration::from_secs(5);
/// The time in which something becomes of queued work, in addition to the deadline at which the
/// monitor refuses it.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// What is observed of the server at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    /// The rounds of the acceptor. Observing wakes it, so that it makes another one.
    pub(super) rounds: u64,
    /// Work in the queue.
    pub(super) queued: usize,
    /// Requests served or refused, and connections closed.
    pub(super) done: u64,
    /// The deadline of the settings, at which queued work is refused.
    pub(super) deadline: Duration,
    /// Whether the server accepts connections: otherwise the acceptor has no rounds.
    pub(super) accepts: bool,
}

/// Compares what is observed with what was observed before. It does not wait: a thread is found
/// stuck by the second of two looks that are some seconds apart.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The acceptor's rounds, and since when they have not changed although it was woken.
    acceptor: Option<(u64, Instant)>,
    /// What was done when the queue had work, and since when that has not changed.
    queue: Option<(u64, Instant)>,
}

impl Health {
    /// # Errors
    /// What makes no progress, and for how long.
    pub(super) fn observe(&mut self, seen: Observed, now: Instant) -> Result<(), String> {
        if !seen.accepts {
            *self = Self::default();
            return Ok(());
        }
        let stalled = unchanged(&mut self.acceptor, Some(seen.rounds), now);
        if stalled >= ACCEPTOR_PATIENCE {
            let seconds = stalled.as_secs_f64();
            return Err(format!("the acceptor has made no round for {seconds:.1} s"));
        }
        let waiting = (seen.queued > 0).then_some(seen.done);
        let stalled = unchanged(&mut self.queue, waiting, now);
        if stalled >= seen.deadline.saturating_add(QUEUE_PATIENCE) {
            let (queued, seconds) = (seen.queued, stalled.as_secs_f64());
            return Err(format!(
                "{queued} requests wait in the queue, and none was served or refused for \
                 {seconds:.1} s"
            ));
        }
        Ok(())
    }
}

/// For how long a value has been the same; zero without one.
fn unchanged(before: &mut Option<(u64, Instant)>, value: Option<u64>, now: Instant) -> Duration {
    match (*before, value) {
        (Some((old, since)), Some(new)) if old == new => now.saturating_duration_since(since),
        _ => {
            *before = value.map(|value| (value, now));
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rounds: u64, queued: usize, done: u64) -> Observed {
        let deadline = Duration::from_secs(5);
        Observed { rounds, queued, done, deadline, accepts: true }
    }

    #[test]
    fn what_makes_no_progress_is_named_by_the_second_look() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (looks, expected) in [
            (&[(0, seen(1, 0, 0)), (60, seen(2, 0, 0))][..], None),
            (&[(0, seen(1, 0, 0)), (4, seen(1, 0, 0))], None),
            (&[(0, seen(1, 0, 0)), (5, seen(1, 0, 0))], Some("acceptor")),
            (&[(0, seen(1, 7, 3)), (9, seen(2, 7, 3))], None),
            (&[(0, seen(1, 7, 3)), (10, seen(2, 7, 3))], Some("7 requests wait")),
            (&[(0, seen(1, 7, 3)), (10, seen(2, 7, 4))], None),
            (&[(0, seen(1, 7, 3)), (5, seen(2, 0, 3)), (10, seen(3, 7, 3))], None),
            (&[(0, seen(1, 0, 0)), (5, Observed { accepts: false, ..seen(1, 0, 0) })], None),
        ] {
            let mut health = Health::default();
            let last = looks.iter().map(|(second, seen)| health.observe(*seen, at(*second))).last();
            match (last.unwrap(), expected) {
                (Ok(()), None) => {}
                (Err(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (result, expected) => panic!("{looks:?}: {result:?}, not {expected:?}"),
            }
        }
    }
}
