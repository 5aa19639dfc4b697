//! [`ThreadTime`]: the CPU time of the calling thread.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A stopwatch for the CPU time of one thread: clock_gettime(2) with `CLOCK_THREAD_CPUTIME_ID`.
#[derive(Debug)]
pub(crate) struct ThreadTime(Timespec);

impl ThreadTime {
    /// Starts it for the calling thread.
    pub(crate) fn start() -> Self {
        Self(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// The CPU time that was used since the start. It must be called on the thread that started it.
    pub(crate) fn elapsed(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = (now.tv_sec - self.0.tv_sec) * 1_000_000_000 + (now.tv_nsec - self.0.tv_nsec);
        Duration::from_nanos(nanos.max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_thread_uses_no_time() {
        let time = ThreadTime::start();
        std::thread::sleep(Duration::from_millis(20));
        assert!(time.elapsed() < Duration::from_millis(15));
    }
}
