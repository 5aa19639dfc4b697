//! [`Builder`]: from endpoints, services and a configuration to a bound [`Server`].

use std::error::Error as StdError;
use std::sync::Arc;

#[cfg(feature = "admin")]
use super::admin::{AdminCommand, AdminOptions};
use super::bind::Bind;
#[cfg(feature = "tls")]
use super::bind::BindTls;
use super::bound::Server;
use super::descriptors::fit_descriptors;
use super::plan::{
    Plan, ServicePart, check_apart, check_proxies, explain_collision, service_number,
    share_versions,
};
use super::service::{ConnectionService, Service};
use super::threads::Parts;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::http::{
    Handler, IntoResponse, PerWorker, Problem, ProblemFormat, ProblemWriter, Request, Response,
};
use crate::pool::Shared;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::source::Source;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// The endpoint of a server without any [`Bind`]. Programs on other machines cannot reach it.
const DEFAULT_BIND: &str = "tcp://127.0.0.1:8888";

/// Configures a server. [`build`](Builder::build) checks everything and binds the endpoints.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::Request;
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .workers(4)
///     .http(|_req: &mut Request| "Hello, world!")
///     .build()?;
/// let handle = server.handle(); // another thread may stop the server by it
/// assert_eq!(handle.endpoints().len(), 1);
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    config: Config,
    binds: Vec<Bind>,
    /// The service of every endpoint that has none of its own.
    service: Option<Service>,
    problems: ProblemWriter,
    /// The certificates of endpoints that have none of their own.
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    #[cfg(feature = "admin")]
    admin: AdminOptions,
}

impl Server {
    /// Returns a builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Replaces the whole configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Adds an endpoint. A server without any listens at `tcp://127.0.0.1:8888`,
    /// which programs on other machines cannot reach.
    pub fn bind(mut self, bind: impl Into<Bind>) -> Self {
        self.binds.push(bind.into());
        self
    }

    /// As [`bind`](Self::bind), if no endpoint has been added.
    pub(crate) fn bind_if_none(self, bind: &str) -> Self {
        if self.binds.is_empty() { self.bind(bind) } else { self }
    }

    /// Sets the number of worker threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.pool.workers = workers;
        self
    }

    /// Serves HTTP/1.1 wherever a [`Bind`] has no service of its own. The responses come from
    /// `handler`.
    pub fn http(self, handler: impl Handler) -> Self {
        self.service(Service::http(handler))
    }

    /// Serves HTTP/1.1 with a handler that each worker has for itself. `make` is called once on
    /// each worker thread, with the index of the worker, before the server accepts connections, and
    /// returns the handler of that thread. The handler may own what it uses, such as a database
    /// connection: it need not be `Send` or `Sync`, and no lock is taken. There are as many as
    /// workers, and one more if an endpoint is [urgent](Bind::urgent).
    ///
    /// If `make` returns an error, the server does not start. While it runs, clients that connect
    /// wait in the backlog. If it never returns, [`Handle`](crate::Handle) still stops the server,
    /// but that thread keeps running: `make` should have a timeout for all that it waits for.
    ///
    /// If a handler panics, it is dropped, and the next request on that worker has it made again;
    /// if that goes on, after pauses of up to a second, in which the worker responds with a 503.
    /// For several routes, see [`Router::with_state`](crate::http::Router::with_state).
    ///
    /// # Examples
    /// ```
    /// use millpond::Server;
    /// use millpond::http::Request;
    /// use rusqlite::Connection;
    ///
    /// let server = Server::builder()
    ///     .bind("tcp://127.0.0.1:0")
    ///     .workers(8)
    ///     .http_with(|_worker| {
    ///         let db = Connection::open("notes.db")?;
    ///         Ok::<_, rusqlite::Error>(move |_: &mut Request| match db.path() {
    ///             Some(path) => format!("this worker has opened {path}\n"),
    ///             None => "a database in memory\n".to_owned(),
    ///         })
    ///     })
    ///     .build()?;
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn http_with<H, R, E>(
        self,
        make: impl Fn(usize) -> Result<H, E> + Send + Sync + 'static,
    ) -> Self
    where
        H: FnMut(&mut Request) -> R + 'static,
        R: IntoResponse + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.http(PerWorker::new(make))
    }

    /// Sets the service of every [`Bind`] that has none of its own.
    pub fn service(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Sets the function that makes the responses to problems: to errors of handlers, to malformed
    /// requests, and to requests that are refused under overload. It gets the problem, and the
    /// format that the client prefers. The server uses the body and the fields of its response,
    /// and keeps the status of the problem. The responses of refusals are made once for each
    /// format, when the server starts.
    ///
    /// # Examples
    /// An interface whose errors are JSON, whatever the client accepts:
    /// ```
    /// use millpond::Server;
    /// use millpond::http::{Problem, Request, Response, StatusCode};
    ///
    /// let server = Server::builder()
    ///     .bind("tcp://127.0.0.1:0")
    ///     .problems(|problem, _format| Response::json(problem.to_json()))
    ///     .http(|_: &mut Request| Problem::new(StatusCode::CONFLICT))
    ///     .build()?;
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn problems(
        mut self,
        write: impl Fn(&Problem, ProblemFormat) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.problems = ProblemWriter::new(write);
        self
    }

    /// Sets the certificates of endpoints `tls://` that have none of their own.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds an admin endpoint: `tcp://127.0.0.1:9901`, `unix:/run/app/admin.sock`. It reports
    /// health, status and metrics, and takes commands. A thread of its own serves it, so that it
    /// responds when every worker is busy and the queue is full. `docs/admin.md` has its paths.
    ///
    /// The endpoint is a Unix socket or a loopback address, unless
    /// [`admin_public`](Self::admin_public) is set. Everyone who reaches it can read the status,
    /// which has the addresses of clients and the paths of requests.
    ///
    /// # Examples
    /// ```
    /// use millpond::Server;
    /// use millpond::http::Request;
    /// use std::io::{Read, Write};
    ///
    /// let server = Server::builder()
    ///     .bind("tcp://127.0.0.1:0")
    ///     .admin("tcp://127.0.0.1:0")
    ///     .http(|_: &mut Request| "Hello, world!")
    ///     .build()?;
    /// let handle = server.spawn()?;
    /// let endpoint = handle.admin_endpoint().unwrap();
    /// let mut client = std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://"))?;
    /// client.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.starts_with("HTTP/1.1 200 OK"));
    /// # handle.stop_now();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "admin")]
    pub fn admin(mut self, endpoint: impl Into<String>) -> Self {
        self.admin.endpoint = Some(endpoint.into());
        self
    }

    /// Allows the admin endpoint to be any address, with any Host. Default: `false`.
    #[cfg(feature = "admin")]
    pub fn admin_public(mut self, public: bool) -> Self {
        self.admin.is_public = public;
        self
    }

    /// Sets the token that commands need over TCP, as `Authorization: Bearer TOKEN`: 16 to 256
    /// printable ASCII characters without spaces. Without one, an admin endpoint over TCP takes no
    /// commands. A Unix socket needs no token: the mode of its directory decides who may connect.
    #[cfg(feature = "admin")]
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.admin.token = Some(token.into());
        self
    }

    /// Sets what runs the commands of the admin endpoint. It returns whether it runs the command;
    /// it is called on the admin thread, and must not block. By default `POST /drain` calls
    /// [`Handle::begin_drain`](crate::Handle::begin_drain) with `timeouts.drain`, and no other
    /// command is known.
    #[cfg(feature = "admin")]
    pub fn on_admin_command(
        mut self,
        run: impl Fn(AdminCommand) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.admin.run = Some(Arc::new(run));
        self
    }

    /// Adds an agent endpoint, by which HAProxy (`agent-check`) learns whether and how much to send
    /// to this server: `tcp://127.0.0.1:9902`. The admin thread serves it. Each connection gets one
    /// line, whatever it sends, and is closed:
    ///
    /// | Line | When |
    /// |---|---|
    /// | `down #starting` | the workers are not ready yet |
    /// | `up ready 80%` | it serves; the weight is that of its [capacity](crate::Stats::capacity) |
    /// | `down #workers stuck` | nothing makes progress: the test of `/live` fails |
    /// | `up drain` | a stop was announced or has begun, until the server has stopped |
    ///
    /// The endpoint is a Unix socket or a loopback address, unless
    /// [`agent_public`](Self::agent_public) is set. `docs/behind-a-balancer.md` has configurations.
    ///
    /// # Examples
    /// ```
    /// use millpond::Server;
    /// use millpond::http::Request;
    /// use std::io::Read;
    ///
    /// let server = Server::builder()
    ///     .bind("tcp://127.0.0.1:0")
    ///     .agent("tcp://127.0.0.1:0")
    ///     .http(|_: &mut Request| "Hello, world!")
    ///     .build()?;
    /// let handle = server.spawn()?;
    /// let endpoint = handle.agent_endpoint().unwrap();
    /// let mut agent = std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://"))?;
    /// let mut line = String::new();
    /// agent.read_to_string(&mut line)?;
    /// assert_eq!(line, "up ready 100%\n");
    /// # handle.stop_now();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "admin")]
    pub fn agent(mut self, endpoint: impl Into<String>) -> Self {
        self.admin.agent.endpoint = Some(endpoint.into());
        self
    }

    /// Allows the agent's endpoint to be any address, for a balancer on another machine. Default:
    /// `false`.
    #[cfg(feature = "admin")]
    pub fn agent_public(mut self, public: bool) -> Self {
        self.admin.agent.is_public = public;
        self
    }

    /// Sets the capacity, in requests per second, for which the agent reports a weight of 100 %: at
    /// least 1, and the same for all instances, so that their weights compare them. Without it, the
    /// weight compares this server with itself: 100 % is its highest capacity so far, which counts
    /// for half after ten minutes.
    #[cfg(feature = "admin")]
    pub fn agent_reference(mut self, capacity: f64) -> Self {
        self.admin.agent.reference = Some(capacity);
        self
    }

    /// Checks everything, and binds the endpoints. The server does not run yet: see
    /// [`Server::run`] and [`Server::spawn`].
    ///
    /// # Errors
    /// An [`Error`] that names the setting, the endpoint or the system call: see
    /// [`ErrorKind`](crate::ErrorKind). An endpoint for which its service has no part is an error,
    /// and so is a server without a service.
    pub fn build(mut self) -> Result<Server, Error> {
        let plans = self.plans()?;
        fit_descriptors(&mut self.config);
        let mut services: Vec<ConnectionService> = Vec::new();
        let mut bound = Vec::new();
        let mut sources = Vec::new();
        let mut sockets = Vec::new();
        for plan in plans {
            #[cfg(feature = "tls")]
            let tls = plan.tls;
            let Plan { target, options, part, .. } = plan;
            let urgent = options.urgent;
            let endpoint = target.endpoint().cloned();
            match part {
                ServicePart::Connections(part) => {
                    let client_first = part.client_sends_first();
                    let index = services.iter().position(|other| other.is_same_as(&part));
                    let protocol = service_number(index.unwrap_or_else(|| {
                        services.push(part);
                        services.len() - 1
                    }))?;
                    let listeners = target.listen(self.config.pool.backlog);
                    let defer = self.config.timeouts.defer_accept;
                    for mut listener in
                        listeners.map_err(|error| explain_collision(error, endpoint, &bound))?
                    {
                        if (client_first || options.proxy_header) && !defer.is_zero() {
                            listener.defer_accept(defer);
                        }
                        let addr = listener.local_addr().ok();
                        let backlog = self.config.pool.backlog;
                        let mut source = Source::new(listener, protocol, urgent, backlog);
                        source.proxy_header = options.proxy_header;
                        #[cfg(feature = "tls")]
                        let source = source.with_tls(tls.clone());
                        bound.push((addr, source.endpoint_text()));
                        sources.push(source);
                    }
                }
                ServicePart::Datagrams(handler) => {
                    let opened = target.receive(self.config.pool.receive_buffer);
                    for socket in
                        opened.map_err(|error| explain_collision(error, endpoint, &bound))?
                    {
                        service_number(sockets.len())?;
                        let socket = DatagramSocket::new(socket, Arc::clone(&handler), urgent);
                        bound.push((socket.local_addr().ok(), socket.endpoint_text()));
                        sockets.push(Arc::new(socket));
                    }
                }
            }
        }
        #[cfg(feature = "admin")]
        let admin = self.admin.bind()?;
        let start = |service: &ConnectionService| service.start(&self.problems, &self.config);
        let protocols = services.iter().map(start).collect();
        let urgent = sources.iter().any(|source| source.urgent)
            || sockets.iter().any(|socket: &Arc<DatagramSocket>| socket.urgent);
        let shared = Shared::new(self.config, urgent).map_err(|error| {
            Error::new(ErrorKind::System, "cannot make the server's descriptors").with_source(error)
        })?;
        shared.count_datagrams_of(&sockets);
        let parts = Parts { shared, protocols, sources, sockets, urgent, admin: None };
        let server = Server::new(parts, bound);
        #[cfg(feature = "admin")]
        let server = server.with_admin(admin);
        Ok(server)
    }

    /// Checks everything that [`build`](Self::build) checks before it binds.
    ///
    /// # Errors
    /// The errors of [`build`](Self::build), except those of binding.
    ///
    /// # Examples
    /// ```
    /// use millpond::handlers::Hello;
    /// use millpond::{Server, Service};
    ///
    /// let builder = || Server::builder().bind("udp://127.0.0.1:7007");
    /// assert!(builder().service(Service::echo()).check().is_ok());
    /// let error = builder().service(Service::http(Hello)).check().unwrap_err();
    /// assert!(error.to_string().contains("datagrams"));
    /// ```
    pub fn check(mut self) -> Result<(), Error> {
        self.plans().map(drop)
    }

    /// Parses and checks all endpoints, before the first is bound.
    fn plans(&mut self) -> Result<Vec<Plan>, Error> {
        self.config.check()?;
        #[cfg(feature = "admin")]
        self.admin.check()?;
        if self.binds.is_empty() {
            self.binds.push(Bind::to(DEFAULT_BIND));
        }
        let service = self.service.as_ref();
        #[cfg(feature = "tls")]
        let plans = self.binds.drain(..).map(|mut bind| {
            let tls = std::mem::replace(&mut bind.tls, BindTls::Off);
            Plan::new(bind, service)?.with_tls(tls, self.tls.as_ref())
        });
        #[cfg(not(feature = "tls"))]
        let plans = self.binds.drain(..).map(|bind| Plan::new(bind, service));
        let mut plans = plans.collect::<Result<Vec<_>, Error>>()?;
        share_versions(&mut plans);
        check_proxies(&plans, &self.config.proxy)?;
        check_apart(&plans)?;
        Ok(plans)
    }
}
