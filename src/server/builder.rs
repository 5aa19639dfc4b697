//! [`Builder`]: from endpoints, services and settings to a bound [`Server`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::process::{Resource, getrlimit};

use super::plan::{Part, Plan, check_apart, explain, number, share_versions};
use super::service::{Service, Spoken};
use super::{Server, system};
use crate::config::Config;
use crate::error::Error;
use crate::http::Handler;
use crate::net::{Datagram, Listener};
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::source::Source;
use crate::pool::{OPENS_FILES, Protocol, Shared};

/// Where a server listens unless it is said otherwise: every address, IPv4 and IPv6.
const DEFAULT_BIND: &str = "tcp://[::]:8888";

/// Descriptors that are left to the rest of the program, the 256 files that a cache keeps open
/// among them, when the limit on connections is fitted into `RLIMIT_NOFILE`.
const SPARE_DESCRIPTORS: u64 = 320;

/// Where a server listens, and for what. An endpoint as text is one, and so are a [`Listener`] and
/// a [`Datagram`] socket.
#[derive(Debug)]
#[must_use]
pub struct Bind {
    pub(super) place: Place,
    pub(super) urgent: bool,
    pub(super) service: Option<Service>,
}

#[derive(Debug)]
pub(super) enum Place {
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
        Self { urgent, ..Self::at(Place::Endpoint(endpoint.to_owned())) }
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
        Self::at(Place::Listener(listener))
    }

    /// With a bound datagram socket that was made elsewhere.
    pub fn datagram(socket: Datagram) -> Self {
        Self::at(Place::Datagram(socket))
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

    fn at(place: Place) -> Self {
        Self { place, urgent: false, service: None }
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

/// What a server will be; [`serve`](Builder::serve), or one of its short forms, makes it.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    config: Config,
    binds: Vec<Bind>,
}

impl Builder {
    /// Sets everything that can be set, in place of the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Listens here too. A server that is told nothing listens at `tcp://[::]:8888`.
    pub fn bind(mut self, bind: impl Into<Bind>) -> Self {
        self.binds.push(bind.into());
        self
    }

    /// Sets the number of worker threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.pool.workers = workers;
        self
    }

    /// A server that speaks HTTP/1.1 and answers with `handler`, wherever a [`Bind`] names no other
    /// service. It is bound, and does not run yet.
    ///
    /// # Errors
    /// See [`serve`](Self::serve).
    pub fn http(self, handler: impl Handler) -> Result<Server, Error> {
        self.serve(&Service::http(handler))
    }

    /// A server that speaks `protocol`, wherever a [`Bind`] names no other service. It is bound,
    /// and does not run yet.
    ///
    /// # Errors
    /// See [`serve`](Self::serve).
    pub fn protocol(self, protocol: impl Protocol) -> Result<Server, Error> {
        self.serve(&Service::protocol(protocol))
    }

    /// A server with this main service: what is spoken wherever a [`Bind`] names no other. It is
    /// bound, and does not run yet.
    ///
    /// # Errors
    /// An [`Error`] that names the setting, the endpoint or the system call: see
    /// [`ErrorKind`](crate::ErrorKind). An endpoint of a kind that its service has no part for is
    /// one.
    pub fn serve(mut self, main: &Service) -> Result<Server, Error> {
        let plans = self.plans(main)?;
        fit_descriptors(&mut self.config);
        let mut spoken: Vec<Spoken> = Vec::new();
        let mut places = Vec::new();
        let mut sources = Vec::new();
        let mut sockets = Vec::new();
        for Plan { place, urgent, part } in plans {
            let endpoint = place.endpoint().cloned();
            match part {
                Part::Connections(part) => {
                    let client_first = part.client_speaks_first();
                    let known = spoken.iter().position(|other| other.is(&part));
                    let protocol = number(known.unwrap_or_else(|| {
                        spoken.push(part);
                        spoken.len() - 1
                    }))?;
                    let listeners = place.listen(self.config.pool.backlog);
                    let defer = self.config.timeouts.defer_accept;
                    for listener in listeners.map_err(|error| explain(error, endpoint, &places))? {
                        if client_first && !defer.is_zero() {
                            listener.defer_accept(defer);
                        }
                        places.push((listener.local_addr().ok(), listener.endpoint_text()));
                        let backlog = self.config.pool.backlog;
                        sources.push(Source::new(listener, protocol, urgent, backlog));
                    }
                }
                Part::Datagrams(handler) => {
                    let bound = place.receive(self.config.pool.receive_buffer);
                    for socket in bound.map_err(|error| explain(error, endpoint, &places))? {
                        number(sockets.len())?;
                        let socket = DatagramSocket::new(socket, Arc::clone(&handler), urgent);
                        places.push((socket.local_addr().ok(), socket.endpoint_text()));
                        sockets.push(Arc::new(socket));
                    }
                }
            }
        }
        let protocols = spoken.iter().map(|spoken| spoken.start(&self.config)).collect();
        let urgent = sources.iter().any(|source| source.urgent)
            || sockets.iter().any(|socket: &Arc<DatagramSocket>| socket.urgent);
        let shared = Shared::new(self.config, urgent)
            .map_err(|error| system("cannot make the server's descriptors", error))?;
        shared.datagrams.watch(&sockets);
        Ok(Server { shared, protocols, sources, sockets, urgent, places })
    }

    /// Checks everything that [`serve`](Self::serve) checks before it binds.
    ///
    /// # Errors
    /// Those of [`serve`](Self::serve), but for those of binding.
    ///
    /// # Examples
    /// ```
    /// use millpond::handlers::Echo;
    /// use millpond::{Server, Service};
    ///
    /// let builder = || Server::builder().bind("udp://127.0.0.1:7007");
    /// let streams = Service::protocol(Echo);
    /// assert!(builder().check(&streams.clone().and_datagrams(Echo)).is_ok());
    /// let error = builder().check(&streams).unwrap_err();
    /// assert!(error.to_string().contains("datagrams"));
    /// ```
    pub fn check(mut self, main: &Service) -> Result<(), Error> {
        self.plans(main).map(drop)
    }

    /// What is wrong with any endpoint is reported before the first is bound.
    fn plans(&mut self, main: &Service) -> Result<Vec<Plan>, Error> {
        self.config.check()?;
        if self.binds.is_empty() {
            self.binds.push(Bind::to(DEFAULT_BIND));
        }
        let plans = self.binds.drain(..).map(|bind| Plan::new(bind, main));
        let mut plans = plans.collect::<Result<Vec<_>, Error>>()?;
        share_versions(&mut plans);
        check_apart(&plans)?;
        Ok(plans)
    }
}

/// Lowers the limit on connections to what `RLIMIT_NOFILE` allows.
pub(super) fn fit_descriptors(config: &mut Config) {
    let Some(allowed) = getrlimit(Resource::Nofile).current else { return };
    // Where files are served, a connection has its socket and, perhaps, a file that is being sent.
    let each = if OPENS_FILES.load(Ordering::Relaxed) { 2 } else { 1 };
    let room = (allowed.saturating_sub(SPARE_DESCRIPTORS).max(allowed / 2) / each).max(1);
    let asked = config.limits.connections;
    if asked as u64 > room {
        config.limits.connections = room as usize;
        log::warn!(
            "at most {room} connections at once, not {asked}: \
             the limit on open descriptors (RLIMIT_NOFILE) is {allowed}"
        );
    }
}
