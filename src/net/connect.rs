//! Connecting within a timeout: socket(2), bind(2) and connect(2).

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, SocketType, sockopt};

use crate::error::Error;
use crate::net::attempt::try_each;
use crate::net::socket::{self, Interest};
use crate::net::{Addr, Endpoint, unix_path};

/// Connects to the first address of an endpoint that accepts. Each address gets an equal share of
/// the remaining time, so that one that does not respond leaves time for the others.
pub(super) fn connect_any(
    endpoint: &Endpoint,
    kind: SocketType,
    from: Option<&Addr>,
    timeout: Option<Duration>,
) -> Result<OwnedFd, Error> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    try_each(endpoint, "connect to", |addr, untried| {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let share = left.map(|left| left / untried);
        if share.is_some_and(|share| share.is_zero()) {
            return Err(Errno::TIMEDOUT.into());
        }
        Ok(connect(addr, kind, from, share)?)
    })
}

/// Connects to one address, after bind(2) if `from` is given. The descriptor is non-blocking.
pub(super) fn connect(
    addr: &Addr,
    kind: SocketType,
    from: Option<&Addr>,
    timeout: Option<Duration>,
) -> io::Result<OwnedFd> {
    let fd = socket::open(addr.family(), kind, None)?;
    // The file is needed only until the connection is made: the peer keeps its name.
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
        // After EINTR, too, the kernel continues to connect (connect(2)).
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        result => return Ok(result?),
    }
    if !socket::wait(fd, Interest::Write, deadline)? {
        return Err(Errno::TIMEDOUT.into());
    }
    Ok(sockopt::socket_error(fd)??)
}

/// poll(2) does not report when the backlog of a Unix socket has room again: a non-blocking
/// connect(2) fails with EAGAIN at once. A blocking one waits for `SO_SNDTIMEO` (socket(7)).
fn connect_unix(fd: &OwnedFd, addr: &Addr, deadline: Option<Instant>) -> io::Result<()> {
    let any = addr.to_any()?;
    rustix::io::ioctl_fionbio(fd, false)?;
    let result = loop {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would wait without end.
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
