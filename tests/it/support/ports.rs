//! Ports that are free, and ports that refuse connections.
//!
//! A child process has every socket of the process that forked it, until it calls execve(2). So
//! while another test starts a program, a closed socket stays open for a moment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use super::until;

/// An address of `ip` at which no program listens, and at which one that cannot tell its port may
/// be started.
pub(crate) fn free_addr(ip: impl Into<IpAddr>) -> SocketAddr {
    let free = TcpListener::bind((ip.into(), 0)).unwrap().local_addr().unwrap();
    until_closed(free);
    free
}

/// Waits until no socket listens at `addr`.
#[track_caller]
pub(crate) fn until_closed(addr: SocketAddr) {
    until("nothing listens any more", || TcpStream::connect(addr).is_err());
}

/// An address that refuses connections while it is held, since its socket does not listen.
pub(crate) struct Refusing {
    pub(crate) addr: SocketAddr,
    _socket: OwnedFd,
}

impl Refusing {
    pub(crate) fn tcp() -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let addr = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        Self { addr, _socket: socket }
    }

    /// For datagrams of others, since its socket is connected to a peer of its own.
    pub(crate) fn udp() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = socket.local_addr().unwrap();
        socket.connect(addr).unwrap();
        Self { addr, _socket: socket.into() }
    }
}
