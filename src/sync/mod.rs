//! What every module may use: a lock, a waker, a completion, a throttle for log lines, the time,
//! and sums of times that cannot overflow. It imports nothing of the crate.

mod completion;
mod log_throttle;
mod waker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::Timespec;

pub(crate) use completion::Completion;
pub(crate) use log_throttle::LogThrottle;
pub(crate) use waker::Waker;

/// Locks a mutex, poisoned or not: no code that runs under the crate's locks panics half-way, so
/// that the data of a poisoned lock is sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A timeout for poll(2) and epoll_wait(2).
pub(crate) fn timespec(timeout: Duration) -> Timespec {
    let tv_sec = timeout.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() }
}

/// The present time in whole seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The instant `wait` after `at`. A longer wait than about thirty years counts as thirty years: a
/// setting may be any duration, and `at + wait` would panic beyond the range of the clock.
pub(crate) fn later(at: Instant, wait: Duration) -> Instant {
    /// About thirty years.
    const FOR_EVER: Duration = Duration::from_secs(1 << 30);
    at.checked_add(wait.min(FOR_EVER)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_timeout_overflows_the_clock() {
        let now = Instant::now();
        assert_eq!(later(now, SECOND), now + SECOND);
        for wait in [Duration::MAX, Duration::from_secs(1 << 62), Duration::from_secs(1 << 40)] {
            assert!(later(now, wait) > now + Duration::from_secs(1 << 29));
        }
    }
}
