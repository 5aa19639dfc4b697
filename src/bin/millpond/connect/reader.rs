//! Whether standard output is still read. A program that only waits for the other side would not
//! learn it from writing.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::connect::socket::Line;

/// What a wait for the socket came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There is something to receive, or an error.
    Ready,
    /// Nothing came in time.
    TimedOut,
    /// The reader of standard output has closed it: nothing more can be printed.
    Unread,
}

/// Waits until there is something to receive, unless standard output is closed meanwhile.
pub(super) fn wait(line: &Line, timeout: Duration) -> io::Result<Waited> {
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(line.as_fd(), PollFlags::IN), watch(&stdout)];
    if !poll_until(&mut fds, Some(Instant::now() + timeout))? {
        return Ok(Waited::TimedOut);
    }
    Ok(if has_gone(&fds[1]) { Waited::Unread } else { Waited::Ready })
}

/// Standard output in a set for poll(2): it asks for nothing, as errors are reported unasked.
pub(super) fn watch(stdout: &io::Stdout) -> PollFd<'_> {
    PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())
}

/// Whether poll(2) found that the reader of standard output has closed it: `POLLERR` on a pipe, and
/// `POLLHUP` on a socket or a terminal.
pub(super) fn has_gone(stdout: &PollFd<'_>) -> bool {
    stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Calls poll(2) again when a signal interrupts it. `false`: nothing happened by the deadline.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(fds, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
