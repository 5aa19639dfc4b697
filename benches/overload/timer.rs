//! A timer in epoll, since epoll's own timeout counts in milliseconds and arrivals do not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// See timerfd_create(2). Registered edge-triggered, each expiry is told once and nobody has to
/// read it away.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: OwnedFd,
    due: u64,
}

impl Timer {
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?, due: 0 })
    }

    /// Expires at `due`, or at once if that is over; both in nanoseconds from any one moment.
    pub(crate) fn set(&mut self, due: u64, now: u64) -> Result<(), Errno> {
        if due == self.due && due > now {
            return Ok(());
        }
        self.due = due;
        let wait = due.saturating_sub(now).max(1);
        let (seconds, nanos) = ((wait / 1_000_000_000) as i64, (wait % 1_000_000_000) as i64);
        let it_value = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once).map(drop)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
