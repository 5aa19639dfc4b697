//! [`Bind`]: where a server listens, and for what.

use std::os::fd::OwnedFd;

use super::service::Service;
use crate::error::Error;
use crate::net::{Datagram, Listener};

/// Where a server listens, and for what. An endpoint as text is one, and so are a [`Listener`] and
/// a [`Datagram`] socket.
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
    /// At this endpoint: `tcp://[::]:8888`, `unix:/run/app.sock`,
    /// `udp://[::]:7`, `unixpacket:@abstract`. With `?priority=high` behind it, it is
    /// [`urgent`](Self::urgent).
    pub fn to(endpoint: impl Into<String>) -> Self {
        let text = endpoint.into();
        let (endpoint, urgent) = Self::split_priority(&text);
        Self { urgent, ..Self::at(BindTarget::Endpoint(endpoint.to_owned())) }
    }

    /// An endpoint without the `?priority=high` behind it, and whether that is there.
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

    /// With a listener that was made elsewhere.
    pub fn listener(listener: Listener) -> Self {
        Self::at(BindTarget::Listener(listener))
    }

    /// With a bound datagram socket that was made elsewhere.
    pub fn datagram(socket: Datagram) -> Self {
        Self::at(BindTarget::Datagram(socket))
    }

    /// With a socket that was passed in, as socket activation does (sd_listen_fds(3)): one that
    /// listens (`ListenStream=`, `ListenSequentialPacket=`), or one of datagrams
    /// (`ListenDatagram=`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is neither.
    pub fn passed(fd: OwnedFd) -> Result<Self, Error> {
        match rustix::net::sockopt::socket_type(&fd) {
            Ok(rustix::net::SocketType::DGRAM) => Datagram::from_fd(fd).map(Self::datagram),
            // What is no socket at all is said there, too.
            _ => Listener::from_fd(fd).map(Self::listener),
        }
    }

    fn at(target: BindTarget) -> Self {
        Self { target, urgent: false, service: None }
    }

    /// Its work is taken first, and refused only when its own queue is full. For health checks and
    /// operators.
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Another service than the server's main one.
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
