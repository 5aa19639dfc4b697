//! What the socket types have in common: a descriptor, and the timeout of its blocking calls.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, retry_on_intr};
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrAny};
use rustix::net::{SocketFlags, SocketType, addr::SocketAddrArg, sockopt};

use crate::error::{Error, ErrorKind};
use crate::net::{Addr, Family};
use crate::sync::timespec;

/// What to wait for; see [`Stream::wait`](super::Stream::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of what the peer sends.
    Read,
    /// Room to write.
    Write,
}

impl Interest {
    pub(super) fn events(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN | PollFlags::RDHUP,
            Self::Write => PollFlags::OUT,
        }
    }
}

/// The length of a received datagram, record or packet, before and after it was truncated to fit
/// the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The number of bytes in the buffer.
    pub len: usize,
    /// The number of bytes that the peer sent, which `MSG_TRUNC` reports (recv(2)).
    pub full: usize,
}

impl Received {
    fn new(room: usize, full: usize) -> Self {
        Self { len: full.min(room), full }
    }

    /// The lengths of what the buffer received whole.
    #[must_use]
    pub fn whole(len: usize) -> Self {
        Self { len, full: len }
    }

    /// Whether the buffer was too short, so that the end is lost.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.full > self.len
    }
}

/// A descriptor, and the timeout of its blocking calls: `None` waits without end, zero does not
/// wait. Every system call passes `MSG_DONTWAIT`, so `O_NONBLOCK` makes no difference.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    /// The timeout in nanoseconds, or [`NO_TIMEOUT`]: half the size of an `Option<Duration>`, as a
    /// server keeps many sockets.
    timeout: u64,
}

const NO_TIMEOUT: u64 = u64::MAX;

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, timeout: NO_TIMEOUT }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        (self.timeout != NO_TIMEOUT).then(|| Duration::from_nanos(self.timeout))
    }

    /// Sets the timeout; one of centuries is none.
    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) {
        let nanos = timeout.map(|timeout| u64::try_from(timeout.as_nanos()));
        self.timeout = nanos.and_then(Result::ok).unwrap_or(NO_TIMEOUT);
    }

    /// The end of a blocking call that starts now.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timeout().and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// Repeats `call` until it no longer fails with `WouldBlock`, or the timeout has passed.
    pub(super) fn block<T>(
        &self,
        interest: Interest,
        call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.block_until(self.deadline(), interest, call)
    }

    /// As [`block`](Self::block), with a deadline that several calls may share.
    pub(super) fn block_until<T>(
        &self,
        deadline: Option<Instant>,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.timeout == 0 {
                        return Err(error);
                    }
                }
                result => return result,
            }
            if !wait(&self.fd, interest, deadline)? {
                let timeout = self.timeout().unwrap_or_default();
                let text = format!("timed out after {timeout:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    /// recv(2) of one datagram or record.
    pub(super) fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, full) = retry_on_intr(|| net::recv(&self.fd, &mut *buf, flags))?;
        Ok(Received::new(buf.len(), full))
    }

    /// recvfrom(2) of one datagram.
    pub(super) fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        let (received, from) = try_recv_from(&self.fd, buf)?;
        Ok((received, from.map_or(Addr::Unnamed, Addr::from).canonical()))
    }

    /// send(2). Only a stream socket may send less than all of `bytes`.
    pub(super) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(retry_on_intr(|| net::send(&self.fd, bytes, flags))?)
    }

    /// sendto(2) of one datagram.
    pub(super) fn try_send_to(&self, datagram: &[u8], to: &impl SocketAddrArg) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| net::sendto(&self.fd, datagram, flags, to))?;
        Ok(())
    }

    pub(super) fn local_addr(&self) -> io::Result<Addr> {
        Ok(Addr::from(net::getsockname(&self.fd)?).canonical())
    }

    pub(super) fn peer_addr(&self) -> io::Result<Addr> {
        Ok(net::getpeername(&self.fd)?.map_or(Addr::Unnamed, Addr::from).canonical())
    }
}

/// Receives one datagram: recvfrom(2) with `MSG_DONTWAIT` and `MSG_TRUNC`. A sender without an
/// address cannot be sent a response.
pub(crate) fn try_recv_from(
    fd: impl AsFd,
    buf: &mut [u8],
) -> rustix::io::Result<(Received, Option<SocketAddrAny>)> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let (_, full, from) = retry_on_intr(|| net::recvfrom(&fd, &mut *buf, flags))?;
    Ok((Received::new(buf.len(), full), from))
}

/// The methods that every socket type has. The type has the field `socket: Socket`.
macro_rules! socket_methods {
    ($type:ty) => {
        impl $type {
            /// Sets the timeout of each blocking call, which waits in poll(2). `None`, the initial
            /// value, waits without end, and so does one of centuries; zero is
            /// [`set_nonblocking`](Self::set_nonblocking).
            pub fn set_timeout(&mut self, timeout: Option<std::time::Duration>) {
                self.socket.set_timeout(timeout);
            }

            /// The timeout of each blocking call; see [`set_timeout`](Self::set_timeout).
            #[must_use]
            pub fn timeout(&self) -> Option<std::time::Duration> {
                self.socket.timeout()
            }

            /// Makes blocking calls fail with `WouldBlock` instead of waiting, or wait again
            /// without end. The same as a timeout of zero or `None`: the descriptor is
            /// `O_NONBLOCK` in either case. Python's `setblocking` takes the opposite value.
            pub fn set_nonblocking(&mut self, nonblocking: bool) {
                self.socket.set_timeout(nonblocking.then_some(std::time::Duration::ZERO));
            }

            /// Waits until the socket is ready: poll(2). `false` if the deadline passed.
            ///
            /// # Errors
            /// Those of poll(2).
            pub fn wait(
                &self,
                interest: $crate::net::Interest,
                deadline: Option<std::time::Instant>,
            ) -> std::io::Result<bool> {
                $crate::net::socket::wait(&self.socket.fd, interest, deadline)
            }

            /// The address of this end, with the port that the kernel chose if it was 0:
            /// getsockname(2).
            ///
            /// # Errors
            /// Those of getsockname(2).
            pub fn local_addr(&self) -> std::io::Result<$crate::net::Addr> {
                self.socket.local_addr()
            }
        }

        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.socket.fd)
            }
        }
    };
}

pub(super) use socket_methods;

/// Waits until the descriptor is ready: poll(2), repeated after EINTR. `false` if the deadline
/// passed.
pub(super) fn wait(
    fd: impl AsFd,
    interest: Interest,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    loop {
        match poll(&mut [PollFd::new(&fd, interest.events())], remaining(deadline).as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The timeout of a poll(2) that ends at the deadline.
pub(super) fn remaining(deadline: Option<Instant>) -> Option<Timespec> {
    deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())))
}

/// The events that are pending now: poll(2) without waiting.
pub(super) fn pending_events(fd: impl AsFd, events: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(&fd, events)];
    // After an error no events are set.
    let _ = poll(&mut fds, Some(&timespec(Duration::ZERO)));
    fds[0].revents()
}

/// socket(2), non-blocking and close-on-exec.
pub(super) fn open(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)
}

/// Prepares a socket that another program made and passed in (sd_listen_fds(3)): checks its type,
/// sets it non-blocking and close-on-exec, and determines which versions of IP it supports. For
/// another type, the error has the text `mismatch`.
pub(super) fn adopt(
    fd: &OwnedFd,
    accepted: &[SocketType],
    mismatch: &str,
    hint: &str,
) -> Result<(SocketType, Family), Error> {
    let kind = sockopt::socket_type(fd)
        .map_err(|errno| passed_error("is not a socket", hint).with_source(errno.into()))?;
    if !accepted.contains(&kind) {
        return Err(passed_error(mismatch, hint));
    }
    let prepare = || -> rustix::io::Result<Family> {
        rustix::io::ioctl_fionbio(fd, true)?;
        rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        Ok(match sockopt::socket_domain(fd)? {
            AddressFamily::INET6 if sockopt::ipv6_v6only(fd)? => Family::V6,
            _ => Family::Any,
        })
    };
    let family = prepare()
        .map_err(|errno| passed_error("cannot be prepared", hint).with_source(errno.into()))?;
    Ok((kind, family))
}

/// The error for a descriptor that cannot be served.
pub(super) fn passed_error(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the passed descriptor {what}")).with_hint(hint)
}
