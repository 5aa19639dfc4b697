//! [`Bind`]: where a server listens, and for what.

use std::os::fd::OwnedFd;

use super::service::Service;
use crate::error::Error;
use crate::net::{Datagram, Listener};

/// An endpoint to listen at, and optionally its service. It is made from an endpoint as text, a
/// [`Listener`], or a [`Datagram`] socket.
#[derive(Debug)]
#[must_use]
pub struct Bind {
    pub(super) target: BindTarget,
    pub(super) urgent: bool,
    pub(super) service: Option<Service>,
}

#[derive(Debug)]
pub(super) enum BindTarget {
    Endpoint(String),
    Listener(Listener),
    Datagram(Datagram),
}

impl Bind {
    /// Binds this endpoint: `tcp://[::]:8888`, `unix:/run/app.sock`, `udp://[::]:7`,
    /// `unixpacket:@abstract`. A trailing `?priority=high` makes it [`urgent`](Self::urgent).
    pub fn to(endpoint: impl Into<String>) -> Self {
        let text = endpoint.into();
        let (endpoint, urgent) = Self::split_priority(&text);
        Self { urgent, ..Self::at(BindTarget::Endpoint(endpoint.to_owned())) }
    }

    /// Splits `?priority=high` from the end of an endpoint. Returns the endpoint, and whether it
    /// had that ending.
    ///
    /// # Examples
    /// ```
    /// use millpond::Bind;
    ///
    /// assert_eq!(Bind::split_priority("[::1]:9?priority=high"), ("[::1]:9", true));
    /// assert_eq!(Bind::split_priority("[::1]:9"), ("[::1]:9", false));
    /// ```
    #[must_use]
    pub fn split_priority(endpoint: &str) -> (&str, bool) {
        endpoint.strip_suffix("?priority=high").map_or((endpoint, false), |rest| (rest, true))
    }

    /// Uses an existing listener.
    pub fn listener(listener: Listener) -> Self {
        Self::at(BindTarget::Listener(listener))
    }

    /// Uses an existing datagram socket, which is already bound.
    pub fn datagram(socket: Datagram) -> Self {
        Self::at(BindTarget::Datagram(socket))
    }

    /// Uses a socket that was passed to the process, as in socket activation (sd_listen_fds(3)): a
    /// listening one (`ListenStream=`, `ListenSequentialPacket=`) or a datagram socket
    /// (`ListenDatagram=`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the descriptor is neither.
    pub fn passed(fd: OwnedFd) -> Result<Self, Error> {
        match rustix::net::sockopt::socket_type(&fd) {
            Ok(rustix::net::SocketType::DGRAM) => Datagram::from_fd(fd).map(Self::datagram),
            // This also reports a descriptor that is not a socket.
            _ => Listener::from_fd(fd).map(Self::listener),
        }
    }

    fn at(target: BindTarget) -> Self {
        Self { target, urgent: false, service: None }
    }

    /// Marks the endpoint as urgent, for health checks and operators. Workers serve its requests
    /// first, and the server refuses them only when the urgent queue is full.
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Sets a service for this endpoint, in place of the server's main one.
    pub fn with(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }
}

impl From<&str> for Bind {
    fn from(endpoint: &str) -> Self {
        Self::to(endpoint)
    }
}

impl From<String> for Bind {
    fn from(endpoint: String) -> Self {
        Self::to(endpoint)
    }
}

impl From<&String> for Bind {
    fn from(endpoint: &String) -> Self {
        Self::to(endpoint)
    }
}

impl From<Listener> for Bind {
    fn from(listener: Listener) -> Self {
        Self::listener(listener)
    }
}

impl From<Datagram> for Bind {
    fn from(socket: Datagram) -> Self {
        Self::datagram(socket)
    }
}
