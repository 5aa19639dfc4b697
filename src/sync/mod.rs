//! The ground floor: what threads need to wait for each other and to speak in the log. It imports
//! nothing of the crate.

mod completion;
mod log_throttle;
mod waker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use completion::Completion;
pub(crate) use log_throttle::LogThrottle;
pub(crate) use waker::Waker;

/// Nothing that runs under these locks panics half-way, so that a poisoned one is still sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
