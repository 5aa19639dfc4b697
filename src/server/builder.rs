//! [`Builder`]: from endpoints, services and settings to a bound [`Server`].

use std::fmt;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use super::{Server, system};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::http::{Handler, Http};
use crate::net::{Endpoint, Listener};
use crate::pool::acceptor::Source;
use crate::pool::{Mill, Protocol};

/// Where a server listens unless it is said otherwise: every address, IPv4 and IPv6.
const DEFAULT_BIND: &str = "tcp://[::]:8888";

/// Descriptors that are left to the rest of the program when the limit on connections is fitted into
/// `RLIMIT_NOFILE`.
const SPARE_DESCRIPTORS: u64 = 64;

/// What is spoken at an endpoint. Clones are the same service.
///
/// # Examples
/// Two services of one server, which share its workers and its queue:
/// ```
/// use millpond::http::{Request, Response};
/// use millpond::service::Echo;
/// use millpond::{Bind, Server, Service};
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .bind(Bind::to("tcp://127.0.0.1:0").with(Service::protocol(Echo)))
///     .http(|_req: &mut Request| Response::text("Hello, world!"))?;
/// assert_eq!(server.endpoints().len(), 2);
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone)]
pub struct Service(Kind);

#[derive(Clone)]
enum Kind {
    Http(Arc<dyn Handler>),
    Protocol(Arc<dyn Protocol>),
}

impl Service {
    /// HTTP/1.1, answered by `handler`.
    pub fn http(handler: impl Handler) -> Self {
        Self(Kind::Http(Arc::new(handler)))
    }

    /// A protocol of one's own on connections.
    pub fn protocol(protocol: impl Protocol) -> Self {
        Self(Kind::Protocol(Arc::new(protocol)))
    }

    /// Whether it is the same service, not only one alike.
    fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Http(one), Kind::Http(other)) => Arc::ptr_eq(one, other),
            (Kind::Protocol(one), Kind::Protocol(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn check(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Http(handler) => handler.check(),
            Kind::Protocol(_) => Ok(()),
        }
    }

    fn start(&self, config: &Config) -> Arc<dyn Protocol> {
        match &self.0 {
            Kind::Http(handler) => Arc::new(Http::new(Arc::clone(handler), config)),
            Kind::Protocol(protocol) => Arc::clone(protocol),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Http(_) => "Service::http",
            Kind::Protocol(_) => "Service::protocol",
        })
    }
}

/// Where a server listens, and for what. An endpoint as text is one, and so is a [`Listener`].
#[derive(Debug)]
#[must_use]
pub struct Bind {
    place: Place,
    urgent: bool,
    service: Option<Service>,
}

#[derive(Debug)]
enum Place {
    Endpoint(String),
    Listener(Listener),
}

impl Bind {
    /// At this endpoint: `tcp://[::]:8888`, `unix:/run/app.sock`, `unix:@abstract`.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self { place: Place::Endpoint(endpoint.into()), urgent: false, service: None }
    }

    /// With a listener that was made elsewhere: by socket activation, say.
    pub fn listener(listener: Listener) -> Self {
        Self { place: Place::Listener(listener), urgent: false, service: None }
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

    /// A server that speaks `protocol`, wherever a [`Bind`] names no other service. It is bound, and
    /// does not run yet.
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
    /// An [`Error`] that names the setting, the endpoint or the system call: see [`ErrorKind`].
    pub fn serve(mut self, main: &Service) -> Result<Server, Error> {
        self.config.check()?;
        fit_descriptors(&mut self.config);
        if self.binds.is_empty() {
            self.binds.push(Bind::to(DEFAULT_BIND));
        }
        let mut services: Vec<Service> = Vec::new();
        let mut sources = Vec::new();
        for bind in self.binds {
            let service = bind.service.as_ref().unwrap_or(main);
            let known = services.iter().position(|other| other.is(service));
            let protocol = known.unwrap_or_else(|| {
                services.push(service.clone());
                services.len() - 1
            });
            let protocol = u16::try_from(protocol).map_err(|_| {
                Error::new(ErrorKind::Config, "a server has at most 65,536 services")
            })?;
            let listener = listen(bind.place, self.config.pool.backlog)?;
            sources.push(Source { listener, protocol, urgent: bind.urgent });
        }
        services.iter().try_for_each(Service::check)?;
        let protocols = services.iter().map(|service| service.start(&self.config)).collect();
        let mill = Mill::new(self.config, protocols)
            .map_err(|error| system("cannot make the server's descriptors", error))?;
        Ok(Server { mill, sources })
    }
}

fn listen(place: Place, backlog: u32) -> Result<Listener, Error> {
    let text = match place {
        Place::Listener(listener) => return Ok(listener),
        Place::Endpoint(text) => text,
    };
    let listener = Listener::bind(&text.parse::<Endpoint>()?, backlog)?;
    if let Some((asked, granted)) = listener.backlog()
        && granted < asked
    {
        log::warn!(
            "{listener}: the kernel holds {granted} waiting connections, not {asked}: \
             net.core.somaxconn is {granted}"
        );
    }
    Ok(listener)
}

/// Lowers the limit on connections to what `RLIMIT_NOFILE` allows.
pub(super) fn fit_descriptors(config: &mut Config) {
    let Some(allowed) = getrlimit(Resource::Nofile).current else { return };
    let room = allowed.saturating_sub(SPARE_DESCRIPTORS).max(allowed / 2).max(1);
    let asked = config.limits.connections;
    if asked as u64 > room {
        config.limits.connections = room as usize;
        log::warn!(
            "at most {room} connections at once, not {asked}: \
             the limit on open descriptors (RLIMIT_NOFILE) is {allowed}"
        );
    }
}
