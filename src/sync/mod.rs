//! The ground floor: what threads need to wait for each other and to speak in the log. It imports
//! nothing of the crate.

mod completion;
mod log_throttle;
mod waker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use completion::Completion;
pub(crate) use log_throttle::LogThrottle;
pub(crate) use waker::Waker;

/// Nothing that runs under these locks panics half-way, so that a poisoned one is still sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `wait` after `at`; if that is beyond what the clock can say, some decades after it. A setting
/// may be any duration, and no sum of times may panic.
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
