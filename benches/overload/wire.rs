//! The client's end of one connection, as system calls that never block.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};

use crate::outcome::Outcome;

/// Starts to connect, from `source` if one is given.
pub(crate) fn open(target: SocketAddr, source: Option<Ipv4Addr>) -> Result<OwnedFd, Outcome> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(outcome_of)?;
    if let Some(source) = source {
        bind(&socket, &SocketAddrV4::new(source, 0)).map_err(outcome_of)?;
    }
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(outcome_of(error)),
    }
}

/// Sends the whole request: `false` while the connection is not there yet. A request of a few dozen
/// bytes always fits into a fresh socket's buffer.
pub(crate) fn send_request(socket: impl AsFd, request: &[u8]) -> Result<bool, Outcome> {
    match send(socket, request, SendFlags::NOSIGNAL) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::NOTCONN | Errno::INPROGRESS | Errno::INTR) => Ok(false),
        Err(error) => Err(outcome_of(error)),
    }
}

/// Reads what is there: `None` when there is nothing for now, 0 at the end.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>, Outcome> {
    match recv(socket, buffer, RecvFlags::empty()) {
        Ok((read, _)) => Ok(Some(read)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(outcome_of(error)),
    }
}

/// Has the close that follows a complete response reset the connection, so that the port is free
/// again at once. A client that gives up closes plainly: the server must not learn of it any sooner
/// than from a real one.
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn outcome_of(error: Errno) -> Outcome {
    match error {
        Errno::CONNREFUSED => Outcome::Refused,
        Errno::TIMEDOUT => Outcome::Timeout,
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::MFILE | Errno::NFILE | Errno::NOBUFS => {
            Outcome::NotSent
        }
        _ => Outcome::Reset,
    }
}
