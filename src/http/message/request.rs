//! [`Request`]: what a handler is asked.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::Body;
use crate::http::message::incoming::Client;
use crate::http::router::params::Params;

/// A request: an [`http::Request`] whose body is read from the connection, and the client behind
/// it.
///
/// # Examples
/// ```
/// use millpond::http::{Request, Response};
/// use std::io::Read;
///
/// fn count(req: &mut Request) -> Response {
///     let mut body = Vec::new();
///     match req.body_mut().read_to_end(&mut body) {
///         Ok(n) => Response::text(format!("{} {}: {n} bytes", req.method(), req.uri().path())),
///         Err(error) => Response::from(error),
///     }
/// }
/// ```
pub struct Request {
    inner: http::Request<Body>,
    client: Option<Client>,
    params: Params,
}

impl Request {
    pub(crate) fn new(inner: http::Request<Body>, client: Client) -> Self {
        Self { inner, client: Some(client), params: Params::default() }
    }

    /// The client's address as accept(2) gave it; `None` for a Unix socket, or a request that was
    /// made by hand.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.client.as_ref()?.peer().as_socket()
    }

    /// The address at which the connection arrived (getsockname(2)); `None` for a Unix socket, or a
    /// request that was made by hand.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.client.as_ref()?.local()?.as_socket()
    }

    /// Whether the client is still there, as far as the kernel knows. A client that has only shut
    /// down its sending side still waits for its answer, and counts as connected.
    ///
    /// Worth asking before, or during, work that takes long. It costs one system call.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_connected)
    }

    /// How long the request waited in the queue for a worker, as the pool measured it: from its
    /// entry to the moment at which a worker took it. Zero for a request that an idle worker found
    /// ready, which passes the queue by, for one that came together with another (pipelining), and
    /// for one that was made by hand.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        self.client.as_ref().map_or(Duration::ZERO, |client| client.waited)
    }

    /// What a name in the path of a [`Router`](crate::http::Router)'s route stands for in this
    /// request, with its percent escapes undone; `None` if the route has no such name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    pub(crate) fn add_params(&mut self, params: Params) {
        self.params.extend(params);
    }

    /// Takes the body out of the request, so that it can become an answer's, or move to another
    /// thread. It can be read until the handler's answer has been sent.
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
        Self { inner, client: None, params: Params::default() }
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
