//! [`Bind`]: where a server listens, and for what.

use std::os::fd::OwnedFd;

use super::bind_options::{BindOptions, split_tail};
use super::service::Service;
use crate::error::Error;
use crate::net::{Datagram, Listener};
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// An endpoint to listen at, and optionally its service. It is made from an endpoint as text, a
/// [`Listener`], or a [`Datagram`] socket.
#[derive(Debug)]
#[must_use]
pub struct Bind {
    pub(super) target: BindTarget,
    pub(super) options: BindOptions,
    pub(super) service: Option<Service>,
    #[cfg(feature = "tls")]
    pub(super) tls: BindTls,
}

/// Whether an endpoint has TLS.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub(super) enum BindTls {
    Off,
    /// With the certificates of the server.
    Default,
    With(Tls),
}

#[derive(Debug)]
pub(super) enum BindTarget {
    Endpoint(String),
    Listener(Listener),
    Datagram(Datagram),
}

impl Bind {
    /// Binds this endpoint: `tcp://[::]:8888`, `unix:/run/app.sock`, `udp://[::]:7`,
    /// `unixpacket:@abstract`. The text may end with [options](BindOptions):
    /// `?priority=high&proxy=require`. `tls://[::]:8443` is TCP with TLS, and the certificates of
    /// [`Builder::tls`](crate::Builder::tls) (feature `tls`).
    pub fn to(endpoint: impl Into<String>) -> Self {
        let text = endpoint.into();
        #[cfg(feature = "tls")]
        if let Some(rest) = text.strip_prefix("tls://") {
            let target = BindTarget::Endpoint(format!("tcp://{rest}"));
            return Self { tls: BindTls::Default, ..Self::at(target) };
        }
        Self::at(BindTarget::Endpoint(text))
    }

    /// Splits the [options](BindOptions) from the end of an endpoint. Returns the endpoint, and
    /// whether `priority=high` was among them. The endpoint is returned whole if it has no options,
    /// or an unknown one, which [`BindOptions::split`] reports.
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
        match (split_tail(endpoint), BindOptions::split(endpoint)) {
            (Some((rest, _)), Ok((_, options))) => (rest, options.urgent),
            _ => (endpoint, false),
        }
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
        Self {
            target,
            options: BindOptions::default(),
            service: None,
            #[cfg(feature = "tls")]
            tls: BindTls::Off,
        }
    }

    /// Marks the endpoint as urgent, for health checks and operators. Workers serve its requests
    /// first, and the server refuses them only when the urgent queue is full.
    pub fn urgent(mut self) -> Self {
        self.options.urgent = true;
        self
    }

    /// Requires a PROXY header at the beginning of each connection: see
    /// [`BindOptions::proxy_header`].
    pub fn proxy_header(mut self) -> Self {
        self.options.proxy_header = true;
        self
    }

    /// Sets these options, in addition to those of the endpoint's text.
    pub fn with_options(mut self, options: BindOptions) -> Self {
        self.options = options;
        self
    }

    /// Has the connections of this endpoint encrypted, with these certificates.
    ///
    /// # Examples
    /// ```no_run
    /// use millpond::handlers::Hello;
    /// use millpond::{Bind, Server, Tls, TlsSettings};
    ///
    /// let settings = TlsSettings::with_certificate("/etc/app/chain.pem", "/etc/app/key.pem");
    /// let tls = Tls::new(&settings)?;
    /// let server = Server::builder()
    ///     .bind(Bind::to("tcp://[::]:8443").tls(&tls))
    ///     .http(Hello)
    ///     .build()?;
    /// # Ok::<(), millpond::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.tls = BindTls::With(tls.clone());
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
