//! What all the sockets here have in common: a descriptor and how long its calls wait.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{self, SocketFlags, SocketType, sockopt};

use crate::net::{Addr, unix_path};
use crate::sync::timespec;

/// What to wait for; see [`Stream::wait`](super::Stream::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the peer's end.
    Read,
    /// Room to write.
    Write,
}

/// How much a call received, and whether more of the same datagram or record was lost because the
/// buffer was shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are in the buffer.
    pub len: usize,
    /// Bytes that were sent, as `MSG_TRUNC` tells (recv(2)).
    pub full: usize,
}

impl Received {
    pub(super) fn new(room: usize, full: usize) -> Self {
        Self { len: full.min(room), full }
    }

    /// Whether the end was cut off.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.full > self.len
    }
}

/// A descriptor, and how long its blocking calls wait: `None` for ever, zero not at all. The calls
/// below pass `MSG_DONTWAIT`, so that the file's own flags do not matter.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) timeout: Option<Duration>,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, timeout: None }
    }

    /// Repeats a call that would block until it does not, or until the time is up.
    pub(super) fn patiently<T>(
        &self,
        interest: Interest,
        call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.until(deadline, interest, call)
    }

    /// As [`patiently`](Self::patiently), with a deadline that may span several calls.
    pub(super) fn until<T>(
        &self,
        deadline: Option<Instant>,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.timeout == Some(Duration::ZERO) {
                        return Err(error);
                    }
                }
                result => return result,
            }
            if !wait(&self.fd, interest, deadline)? {
                let timeout = self.timeout.unwrap_or_default();
                let text = format!("timed out after {timeout:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<Addr> {
        Ok(Addr::from(net::getsockname(&self.fd)?).canonical())
    }

    pub(super) fn peer_addr(&self) -> io::Result<Addr> {
        Ok(net::getpeername(&self.fd)?.map_or(Addr::Unnamed, Addr::from).canonical())
    }
}

/// poll(2) until it is ready, `false` if the deadline passed. EINTR is retried.
pub(super) fn wait(
    fd: impl AsFd,
    interest: Interest,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let events = match interest {
        Interest::Read => PollFlags::IN | PollFlags::RDHUP,
        Interest::Write => PollFlags::OUT,
    };
    loop {
        let timeout =
            deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut [PollFd::new(&fd, events)], timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// socket(2), bind(2) if `from` is given, connect(2): the descriptor is non-blocking afterwards.
pub(super) fn connect(
    addr: &Addr,
    kind: SocketType,
    from: Option<&Addr>,
    timeout: Option<Duration>,
) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = net::socket_with(addr.family(), kind, flags, None)?;
    // A path is needed only until the connection stands: its name stays known to the peer.
    let _file = match from {
        Some(from) => unix_path::bind(&fd, from).map_err(|error| error.reason)?,
        None => None,
    };
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    match addr {
        Addr::Ip(_) => connect_ip(&fd, addr, deadline)?,
        _ => connect_unix(&fd, addr, deadline)?,
    }
    if let (Addr::Ip(_), SocketType::STREAM) = (addr, kind) {
        sockopt::set_tcp_nodelay(&fd, true)?;
    }
    Ok(fd)
}

fn connect_ip(fd: &OwnedFd, addr: &Addr, deadline: Option<Instant>) -> io::Result<()> {
    match net::connect(fd, &addr.to_any()?) {
        // Interrupted, it goes on in the background just so.
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        result => return Ok(result?),
    }
    if !wait(fd, Interest::Write, deadline)? {
        return Err(Errno::TIMEDOUT.into());
    }
    Ok(sockopt::socket_error(fd)??)
}

/// A Unix socket whose peer's backlog is full cannot be polled for room: without blocking it is
/// EAGAIN at once, and blocking it waits as long as `SO_SNDTIMEO` (socket(7)).
fn connect_unix(fd: &OwnedFd, addr: &Addr, deadline: Option<Instant>) -> io::Result<()> {
    let any = addr.to_any()?;
    rustix::io::ioctl_fionbio(fd, false)?;
    let result = loop {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean for ever.
            let left = left.max(Duration::from_millis(1));
            sockopt::set_socket_timeout(fd, sockopt::Timeout::Send, Some(left))?;
        }
        match net::connect(fd, &any) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break Err(Errno::TIMEDOUT),
            result => break result,
        }
    };
    rustix::io::ioctl_fionbio(fd, true)?;
    Ok(result?)
}
