//! Waits for the socket and for the reader of standard output, which may close it meanwhile.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::socket::ClientSocket;

/// The result of a wait for the socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// The socket has bytes or an error.
    Ready,
    /// Nothing arrived in time.
    TimedOut,
    /// The reader of standard output has closed it: nothing more can be printed.
    StdoutClosed,
}

/// Waits until the socket can be received from, or standard output is closed.
pub(super) fn wait(socket: &ClientSocket, timeout: Duration) -> io::Result<Waited> {
    if socket.has_input() {
        return Ok(Waited::Ready);
    }
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN), watch(&stdout)];
    if !poll_until(&mut fds, Some(Instant::now() + timeout))? {
        return Ok(Waited::TimedOut);
    }
    Ok(if is_closed(&fds[1]) { Waited::StdoutClosed } else { Waited::Ready })
}

/// Standard output for poll(2), without events: errors are always reported.
pub(super) fn watch(stdout: &io::Stdout) -> PollFd<'_> {
    PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())
}

/// Whether poll(2) reported that the reader of standard output has closed it: `POLLERR` on a pipe,
/// `POLLHUP` on a socket or a terminal.
pub(super) fn is_closed(stdout: &PollFd<'_>) -> bool {
    stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Calls poll(2), again after each interrupting signal. Returns `false` if the deadline passed.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("a time up to a year fits into a timespec")
        });
        match poll(fds, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
