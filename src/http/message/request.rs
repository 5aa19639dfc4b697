//! [`Request`]: the request that a handler gets.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;

use super::body::Body;
use super::body_error::BodyError;
use super::proxy_wait::wait_at_proxy;
use super::request_error::RequestError;
use super::standalone::Standalone;
use crate::http::message::incoming::Client;
use crate::http::router::params::Params;
#[cfg(feature = "tls")]
use crate::tls::TlsInfo;

/// A request: an [`http::Request`] whose body is read from the connection, with the client that
/// sent it.
///
/// # Examples
/// ```
/// use millpond::http::{BodyError, Request};
///
/// fn count(req: &mut Request) -> Result<String, BodyError> {
///     let body = req.read_body(1 << 20)?; // 413 for a longer one
///     Ok(format!("{} {}: {} bytes\n", req.method(), req.uri().path(), body.len()))
/// }
/// ```
pub struct Request {
    inner: http::Request<Body>,
    pub(super) origin: Origin,
    params: Params,
    prefix: Cell<usize>,
    route_name: Option<&'static str>,
    discards_state: bool,
}

/// Where a request comes from.
pub(super) enum Origin {
    Client(Client),
    /// From the program: what it reports in place of a client's.
    Standalone(Box<Standalone>),
}

impl Request {
    pub(crate) fn new(inner: http::Request<Body>, client: Client) -> Self {
        Self::of(inner, Origin::Client(client))
    }

    /// A request without a client, which reports this.
    pub(crate) fn standalone(inner: http::Request<Body>, standalone: Box<Standalone>) -> Self {
        Self::of(inner, Origin::Standalone(standalone))
    }

    fn of(inner: http::Request<Body>, origin: Origin) -> Self {
        let (params, prefix) = (Params::default(), Cell::new(0));
        Self { inner, origin, params, prefix, route_name: None, discards_state: false }
    }

    /// The client's address. It is that of the peer, unless a trusted proxy
    /// ([`Config::proxy`](crate::Config::proxy)) has named another: in a field of the request
    /// ([`Proxy::header`](crate::config::Proxy::header)), or else in a PROXY header of the
    /// connection. `None` for a client on a Unix socket, and for a request that a test made without
    /// a peer.
    ///
    /// The port is 0 if the proxy did not send it.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    ///
    /// fn greet(req: &mut Request) -> Response {
    ///     let client = req.client_addr().map(|addr| addr.ip().to_string());
    ///     let client = client.as_deref().unwrap_or("a local client");
    ///     Response::text(format!("Hello, {client}, over {}\n", req.scheme()))
    /// }
    /// ```
    #[must_use]
    pub fn client_addr(&self) -> Option<SocketAddr> {
        match &self.origin {
            Origin::Client(client) => client.addr().as_socket(),
            Origin::Standalone(standalone) => standalone.peer,
        }
    }

    /// The scheme of the request's URL, `http` or `https`: what a trusted proxy says in
    /// `X-Forwarded-Proto`, or in `proto=` of `Forwarded` (RFC 7239 §5.4) if that is the field in
    /// which it names its clients; otherwise that of the connection to this server.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match &self.origin {
            Origin::Client(client) if client.is_https => "https",
            _ => "http",
        }
    }

    /// The address at the other end of the connection, from accept(2): behind a proxy, that of the
    /// proxy. `None` for a Unix socket, or a request that a test made.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.origin {
            Origin::Client(client) => client.peer().as_socket(),
            Origin::Standalone(standalone) => standalone.peer,
        }
    }

    /// The server's address of the connection (getsockname(2)); `None` for a Unix socket, or a
    /// request that a test made.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.origin {
            Origin::Client(client) => client.local()?.as_socket(),
            Origin::Standalone(_) => None,
        }
    }

    /// What the client and the server have negotiated, if the connection has TLS. `None` for a
    /// request that a test made.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    ///
    /// fn greet(req: &mut Request) -> String {
    ///     let certificates = req.tls().map_or(0, |tls| tls.client_certificates().len());
    ///     format!("{certificates} certificates\n")
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        match &self.origin {
            Origin::Client(client) => client.tls.as_deref(),
            Origin::Standalone(_) => None,
        }
    }

    /// Whether the client is still connected, as far as the kernel knows. A client that has only
    /// shut down its sending side still waits for the response, and counts as connected.
    ///
    /// Check it before, or during, work that takes long. It costs one system call.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.origin {
            Origin::Client(client) => client.is_connected(),
            Origin::Standalone(standalone) => standalone.is_connected,
        }
    }

    /// How long the request waited in the queue until a worker took it. Zero for a request that an
    /// idle worker read without the queue, for a pipelined request behind another, and for a
    /// request that a test made.
    ///
    /// The time that the request waited in a trusted proxy (`X-Request-Start`,
    /// [`Config::proxy`](crate::Config::proxy)) is added. From any other peer that field only
    /// shortens the [`deadline`](Self::deadline), because every client can send it.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        match &self.origin {
            Origin::Client(client) => {
                let at_proxy = match client.is_trusted_proxy {
                    true => wait_at_proxy(self.headers(), client.arrived),
                    false => Duration::ZERO,
                };
                client.waited + at_proxy
            }
            Origin::Standalone(standalone) => standalone.queue_wait,
        }
    }

    /// The path of the target below the prefix at which a [`Router`](crate::http::Router) nests the
    /// handler; the whole path if it nests none. It begins with a slash, and is not
    /// percent-decoded. [`uri`](http::Request::uri) keeps the whole path.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.inner.uri().path();
        match self.prefix.get() {
            0 => path,
            prefix => path.get(prefix..).filter(|rest| !rest.is_empty()).unwrap_or("/"),
        }
    }

    /// The length of the prefix of nested routers.
    pub(crate) fn prefix(&self) -> &Cell<usize> {
        &self.prefix
    }

    /// The name of the route that a [`Router`](crate::http::Router) has found, if it
    /// [has one](crate::http::Router::named).
    #[must_use]
    pub fn route_name(&self) -> Option<&'static str> {
        self.route_name
    }

    pub(crate) fn set_route_name(&mut self, name: Option<&'static str>) {
        self.route_name = name;
    }

    /// Has the state of this worker dropped after the request, and made again for the next one: for
    /// a connection to a database that has broken. If that goes on, the state is made again only
    /// after pauses of up to a second, in which the worker responds with a 503. See
    /// [`Router::with_state`](crate::http::Router::with_state) and
    /// [`Builder::http_with`](crate::Builder::http_with).
    pub fn discard_state(&mut self) {
        self.discards_state = true;
    }

    /// Whether the state of this worker is to be dropped. It is returned once.
    pub(crate) fn takes_discard(&mut self) -> bool {
        std::mem::take(&mut self.discards_state)
    }

    /// The value of a name in the path of the [`Router`](crate::http::Router)'s route,
    /// percent-decoded and parsed.
    ///
    /// # Errors
    /// 404 if the value cannot be parsed, as then nothing has this path; 500 if the route has no
    /// such name.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, RequestError};
    ///
    /// fn show(req: &mut Request) -> Result<String, RequestError> {
    ///     let id: u64 = req.param("id")?;
    ///     Ok(format!("note {id}\n"))
    /// }
    /// ```
    pub fn param<T>(&self, name: &str) -> Result<T, RequestError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(text) = self.param_text(name) else {
            let missing = format!("the route has no parameter {name:?}");
            return Err(RequestError::new(StatusCode::INTERNAL_SERVER_ERROR, missing));
        };
        text.parse().map_err(|error| {
            let message = format!("parameter {name:?}: {error}");
            RequestError::new(StatusCode::NOT_FOUND, message)
        })
    }

    /// The value of a name in the path of the [`Router`](crate::http::Router)'s route,
    /// percent-decoded; `None` if the route has no such name.
    #[must_use]
    pub fn param_text(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    pub(crate) fn add_params(&mut self, params: Params) {
        self.params.extend(params);
    }

    /// Reads the whole body, if it has at most `max` bytes.
    ///
    /// # Errors
    /// A [`BodyError`], whose status is 413 for a longer body. It is not read if its length was
    /// announced.
    pub fn read_body(&mut self, max: u64) -> Result<Vec<u8>, BodyError> {
        self.inner.body_mut().read_bytes(max)
    }

    /// Reads the whole body, if it is text (UTF-8) of at most `max` bytes.
    ///
    /// # Errors
    /// Those of [`read_body`](Self::read_body), and 400 if the body is not UTF-8.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{BodyError, Request};
    ///
    /// fn shout(req: &mut Request) -> Result<String, BodyError> {
    ///     Ok(req.read_text(10_000)?.to_uppercase())
    /// }
    /// ```
    pub fn read_text(&mut self, max: u64) -> Result<String, BodyError> {
        self.inner.body_mut().read_text(max)
    }

    /// Takes the body out of the request, to use it as the body of a response, or to move it to
    /// another thread. It can be read until the response has been sent.
    #[must_use]
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.inner.body_mut())
    }

    /// The request as the `http` crate's type.
    #[must_use]
    pub fn into_http(self) -> http::Request<Body> {
        self.inner
    }
}

impl Deref for Request {
    type Target = http::Request<Body>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl From<http::Request<Body>> for Request {
    fn from(inner: http::Request<Body>) -> Self {
        Self::standalone(inner, Standalone::new())
    }
}

impl From<Request> for http::Request<Body> {
    fn from(request: Request) -> Self {
        request.inner
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
