//! [`ClientWaits`]: how many workers may wait for slow clients at once.
//!
//! A handler that reads a request body while it arrives, and a response that is produced while it
//! is sent, occupy their worker for as long as the client takes. Without a limit, as many slow
//! clients as there are workers would stop the server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::config::Timeouts;
use crate::net::{Interest, Stream};

/// How long an exchange may wait without a permit in one direction, all its waits together. A fast
/// client makes a worker wait for less, so it is not refused because others are slow.
const UNPERMITTED: Duration = Duration::from_millis(20);

/// The limit on workers that wait for clients.
#[derive(Debug)]
pub(crate) struct ClientWaits {
    workers: usize,
    most: AtomicUsize,
    waiting: AtomicUsize,
}

/// How long one direction of an exchange has made a worker wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Bytes that were read, or that were sent.
    pub(crate) bytes: u64,
    /// How long a worker has waited for them.
    pub(crate) waited: Duration,
    /// How much of that was without a permit.
    unpermitted: Duration,
}

/// The result of waiting for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The socket is ready.
    Ready,
    /// The client was slower than the minimum rate, or the timeout has passed.
    TooSlow,
    /// The limit on waiting workers is reached.
    NoRoom,
}

impl ClientWaits {
    /// A limit of `most` of the `workers`; `None`: half of them.
    pub(crate) fn new(workers: usize, most: Option<usize>) -> Arc<Self> {
        let waits = Self { workers, most: AtomicUsize::new(0), waiting: AtomicUsize::new(0) };
        waits.set_most(most);
        Arc::new(waits)
    }

    /// Changes the limit.
    pub(crate) fn set_most(&self, most: Option<usize>) {
        let most = most.unwrap_or(self.workers / 2).max(1);
        self.most.store(most, Ordering::Relaxed);
    }

    fn try_acquire(&self) -> Option<WaitPermit<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        // A permit beyond the limit is released by dropping it.
        let permit = WaitPermit(self);
        (before < self.most.load(Ordering::Relaxed)).then_some(permit)
    }

    /// Blocks the worker until the socket is ready, for at most `timeout` and for no longer than
    /// the minimum rate for workers allows. The time is added to the pace of this direction.
    ///
    /// # Errors
    /// Those of poll(2).
    pub(crate) fn wait(
        &self,
        (stream, interest): (&Stream, Interest),
        timeout: Duration,
        timeouts: &Timeouts,
        pace: &mut Pace,
    ) -> io::Result<Waited> {
        let began = Instant::now();
        loop {
            let left = timeout.saturating_sub(began.elapsed()).min(pace.allowance(timeouts));
            if left.is_zero() {
                return Ok(Waited::TooSlow);
            }
            let permit = self.try_acquire();
            let most = match permit {
                Some(_) => left,
                None => UNPERMITTED.saturating_sub(pace.unpermitted).min(left),
            };
            if most.is_zero() {
                return Ok(Waited::NoRoom);
            }
            let from = Instant::now();
            let ready = stream.wait(interest, from.checked_add(most))?;
            let lasted = from.elapsed();
            pace.waited += lasted;
            if permit.is_none() {
                pace.unpermitted += lasted;
            }
            if ready {
                return Ok(Waited::Ready);
            }
        }
    }
}

impl Pace {
    /// How much longer the minimum rate allows a worker to wait.
    fn allowance(&self, timeouts: &Timeouts) -> Duration {
        let rate = timeouts.min_rate_on_worker;
        if rate == 0 {
            return Duration::MAX;
        }
        let earned = Duration::from_secs_f64(self.bytes as f64 / f64::from(rate));
        earned.max(timeouts.rate_grace).saturating_sub(self.waited)
    }
}

/// A worker's permit to wait; released by `Drop`.
struct WaitPermit<'a>(&'a ClientWaits);

impl Drop for WaitPermit<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn timeouts() -> Timeouts {
        let mut timeouts = Timeouts { min_rate_on_worker: 1000, ..Timeouts::default() };
        timeouts.rate_grace = Duration::from_millis(30);
        timeouts
    }

    #[test]
    fn without_a_permit_a_worker_waits_for_a_client_for_a_moment_and_once() {
        let flags = SocketFlags::empty();
        let (one, _other) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let stream = Stream::from(one);
        let waits = ClientWaits::new(8, Some(1));
        let hour = Duration::from_secs(3600);
        let wait_within = |pace: &mut Pace, rate_grace: Duration| {
            let timeouts = Timeouts { rate_grace, ..timeouts() };
            waits.wait((&stream, Interest::Read), hour, &timeouts, pace).unwrap()
        };
        let grace = timeouts().rate_grace;
        assert_eq!(wait_within(&mut Pace::default(), grace), Waited::TooSlow);
        // On a busy machine the thread may sleep for longer than the grace.
        let wait = |pace: &mut Pace| wait_within(pace, hour);
        let held = waits.try_acquire().unwrap();
        let mut pace = Pace::default();
        assert_eq!(wait(&mut pace), Waited::NoRoom);
        assert!(pace.unpermitted >= UNPERMITTED && pace.waited == pace.unpermitted);
        assert_eq!(wait(&mut pace), Waited::NoRoom);
        drop(held);
        let grace = pace.waited + grace;
        let waited = wait_within(&mut pace, grace);
        assert_eq!(waited, Waited::TooSlow, "it may wait again, for as long as is left");
        assert_eq!(waits.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn half_of_the_workers_may_wait_and_at_least_one() {
        for (workers, most, expected) in [(8, None, 4), (1, None, 1), (3, None, 1), (8, Some(6), 6)]
        {
            let waits = ClientWaits::new(workers, most);
            assert_eq!(waits.most.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn bytes_earn_time_at_the_minimum_rate() {
        let mut pace = Pace { bytes: 0, waited: Duration::from_millis(10), ..Pace::default() };
        assert_eq!(pace.allowance(&timeouts()), Duration::from_millis(20));
        pace.bytes = 1000;
        assert_eq!(pace.allowance(&timeouts()), Duration::from_millis(990));
        pace.waited = Duration::from_secs(2);
        assert!(pace.allowance(&timeouts()).is_zero());
    }
}
