//! [`Request`]: the request that a handler gets.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::Body;
use crate::http::message::incoming::Client;
use crate::http::router::params::Params;

/// A request: an [`http::Request`] whose body is read from the connection, with the client that
/// sent it.
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

    /// The client's address, from accept(2); `None` for a Unix socket, or a request that a test
    /// made.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.client.as_ref()?.peer().as_socket()
    }

    /// The server's address of the connection (getsockname(2)); `None` for a Unix socket, or a
    /// request that a test made.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.client.as_ref()?.local()?.as_socket()
    }

    /// Whether the client is still connected, as far as the kernel knows. A client that has only
    /// shut down its sending side still waits for the response, and counts as connected.
    ///
    /// Check it before, or during, work that takes long. It costs one system call.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_connected)
    }

    /// How long the request waited in the queue until a worker took it. Zero for a request that an
    /// idle worker read without the queue, for a pipelined request behind another, and for a
    /// request that a test made.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        self.client.as_ref().map_or(Duration::ZERO, |client| client.waited)
    }

    /// The value of a name in the path of the [`Router`](crate::http::Router)'s route,
    /// percent-decoded; `None` if the route has no such name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    pub(crate) fn add_params(&mut self, params: Params) {
        self.params.extend(params);
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
