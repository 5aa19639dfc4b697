//! [`Listener`]: bind, listen, accept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Addr, Endpoint, Stream};
use crate::error::{Error, ErrorKind};

/// A bound and listening socket, non-blocking.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// [`ErrorKind::Bind`] or [`ErrorKind::Permission`], naming the endpoint.
    pub fn bind(endpoint: &Endpoint, backlog: u32) -> Result<Self, Error> {
        let Endpoint::Tcp(addr) = endpoint else {
            return Err(Error::new(ErrorKind::Bind, "not yet"));
        };
        let family = if addr.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let open = || -> rustix::io::Result<OwnedFd> {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let fd = net::socket_with(family, SocketType::STREAM, flags, None)?;
            sockopt::set_socket_reuseaddr(&fd, true)?;
            // Accepted sockets inherit it.
            sockopt::set_tcp_nodelay(&fd, true)?;
            if addr.is_ipv6() {
                sockopt::set_ipv6_v6only(&fd, false)?;
            }
            net::bind(&fd, addr)?;
            net::listen(&fd, backlog.min(i32::MAX as u32) as i32)?;
            Ok(fd)
        };
        let fd = open().map_err(|errno| {
            Error::new(ErrorKind::Bind, format!("cannot bind {endpoint}")).with_source(errno.into())
        })?;
        Ok(Self { fd })
    }

    /// The address it is bound to, with the real port.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        Ok(net::getsockname(&self.fd)?.into())
    }

    /// One raw accept4(2): not retried, so that the caller sees `EINTR` (`Interrupted`), and
    /// `WouldBlock` when nobody waits. The stream is non-blocking, the address is accept4's.
    ///
    /// # Errors
    /// Those of accept(2).
    pub fn accept(&self) -> io::Result<(Stream, Addr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, addr) = net::acceptfrom_with(&self.fd, flags)?;
        Ok((Stream::from(fd), addr.map_or(Addr::Unnamed, Addr::from)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
