//! What a handler gets and gives: [`Request`], [`Response`], [`Body`].
//!
//! The first two are thin wrappers around the types of the `http` crate: they dereference to them and
//! convert to and from them without copying.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, UPGRADE};
use http::{HeaderMap, Method, StatusCode, header};

use super::exchange::Client;
pub use super::exchange::Incoming;
use super::reject::Reject;
pub use super::upgraded::Upgraded;
pub use crate::pool::Segment;

/// A request: an [`http::Request`] whose body is read from the connection, and the client behind it.
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
}

impl Request {
    pub(crate) fn new(inner: http::Request<Body>, client: Client) -> Self {
        Self { inner, client: Some(client) }
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

    /// How long the request waited in the queue for a worker, as the pool measured it: from its entry
    /// to the moment at which a worker took it. Zero for a request that an idle worker found ready,
    /// which passes the queue by, for one that came together with another (pipelining), and for one
    /// that was made by hand.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        self.client.as_ref().map_or(Duration::ZERO, |client| client.waited)
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
        Self { inner, client: None }
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

/// What runs on an upgraded connection; see [`Response::upgrade`].
pub(crate) type UpgradeHandler = Box<dyn FnOnce(Upgraded) + Send>;

/// An answer: an [`http::Response`] with a [`Body`].
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the server's to set; what a
/// handler puts there is replaced.
///
/// # Examples
/// ```
/// use millpond::http::{Response, StatusCode};
///
/// let answer = Response::text("gone fishing").with_status(StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(answer.status(), 503);
/// assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
/// ```
pub struct Response {
    inner: http::Response<Body>,
    upgrade: Option<UpgradeHandler>,
}

impl Response {
    /// 200 with this body and no fields.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { inner: http::Response::new(body.into()), upgrade: None }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self::new(Body::empty()).with_status(status)
    }

    /// 200 with plain text in UTF-8.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::new(text).with_type(HeaderValue::from_static("text/plain; charset=utf-8"))
    }

    /// 200 with HTML in UTF-8.
    pub fn html(html: impl Into<Body>) -> Self {
        Self::new(html).with_type(HeaderValue::from_static("text/html; charset=utf-8"))
    }

    /// 200 with JSON, given as text or bytes.
    pub fn json(json: impl Into<Body>) -> Self {
        Self::new(json).with_type(HeaderValue::from_static("application/json"))
    }

    /// 303 (RFC 9110 §15.4.4), or with [`with_status`](Self::with_status) another redirection, to
    /// `location`. A location with bytes that no field value may have makes it a 500.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::empty(StatusCode::SEE_OTHER).with_header(LOCATION, location),
            Err(_) => Self::error(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// This status with its standard phrase as text: `404 Not Found`.
    #[must_use]
    pub fn error(status: StatusCode) -> Self {
        Self::text(format!("{status}\n")).with_status(status)
    }

    /// 405 (RFC 9110 §15.5.6), with the methods that are allowed.
    #[must_use]
    pub fn method_not_allowed(allowed: &[Method]) -> Self {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let answer = Self::error(StatusCode::METHOD_NOT_ALLOWED);
        match HeaderValue::try_from(list) {
            Ok(list) => answer.with_header(ALLOW, list),
            Err(_) => answer,
        }
    }

    /// 101 (RFC 9110 §15.2.2): once it is sent, `handler` gets the connection, with what was already
    /// read of it, on a thread of its own.
    ///
    /// The threads of upgraded connections are bounded by
    /// [`Pool::upgrades`](crate::config::Pool::upgrades); past it the client gets a 503.
    pub fn upgrade(protocol: HeaderValue, handler: impl FnOnce(Upgraded) + Send + 'static) -> Self {
        let mut answer =
            Self::empty(StatusCode::SWITCHING_PROTOCOLS).with_header(UPGRADE, protocol);
        answer.upgrade = Some(Box::new(handler));
        answer
    }

    /// The same answer with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.inner.status_mut() = status;
        self
    }

    /// The same answer with this field, in place of any of that name.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.inner.headers_mut().insert(name, value);
        self
    }

    /// The answer as the `http` crate's type. An upgrade's handler is lost.
    #[must_use]
    pub fn into_http(self) -> http::Response<Body> {
        self.inner
    }

    pub(crate) fn into_split(self) -> (http::response::Parts, Body, Option<UpgradeHandler>) {
        let (parts, body) = self.inner.into_parts();
        (parts, body, self.upgrade)
    }

    fn with_type(self, value: HeaderValue) -> Self {
        self.with_header(CONTENT_TYPE, value)
    }
}

impl Deref for Response {
    type Target = http::Response<Body>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(inner: http::Response<B>) -> Self {
        Self { inner: inner.map(Into::into), upgrade: None }
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        response.inner
    }
}

/// What an error that came of reading the request's body should be answered with: 413 where the body
/// was too large, 431 where its trailers were, 408 where it was too slow, 400 where it was malformed or
/// cut short, otherwise 500.
impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        if let Some(reject) = error.get_ref().and_then(|source| source.downcast_ref::<Reject>()) {
            return Self::from(*reject);
        }
        let status = match error.kind() {
            io::ErrorKind::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            io::ErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::error(status)
    }
}

/// A short text that names the rule.
impl From<Reject> for Response {
    fn from(reject: Reject) -> Self {
        let status = reject.status();
        Self::text(format!("{status}: {}\n", reject.explain())).with_status(status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The body of a request or an answer.
///
/// A request's is read through [`Read`]; it comes from the connection piece by piece. An answer's is
/// made from bytes or text, from a reader, from a function that writes, or from pieces of files.
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Incoming(Incoming),
    Reader {
        reader: Box<dyn Read + Send>,
        length: Option<u64>,
    },
    Writer(Box<WriteBody>),
    Segments(Vec<Segment>),
}

pub(crate) type WriteBody = dyn FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send;

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// What `reader` gives until it ends, sent as it comes. With a `length` it is announced, and the
    /// connection is cut if the reader gives another; without, the body is chunked (HTTP/1.1), or
    /// ends with the connection (HTTP/1.0).
    pub fn from_reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        Self(Kind::Reader { reader: Box::new(reader), length })
    }

    /// What `write` writes, sent as it comes. It runs on the worker, after the handler has returned.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Body, Response};
    /// use std::io::Write;
    ///
    /// let answer = Response::new(Body::from_writer(|out| {
    ///     for n in 1..=3 {
    ///         writeln!(out, "line {n}")?;
    ///         out.flush()?; // on its way now
    ///     }
    ///     Ok(())
    /// }));
    /// ```
    pub fn from_writer(
        write: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self(Kind::Writer(Box::new(write)))
    }

    /// `length` bytes of `file` from `offset` on, sent by sendfile(2) and without holding a worker
    /// while the client is slow.
    #[must_use]
    pub fn from_file(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self(Kind::Segments(vec![Segment::File { file, offset, length }]))
    }

    /// Several pieces, one after the other.
    #[must_use]
    pub fn from_segments(segments: Vec<Segment>) -> Self {
        Self(Kind::Segments(segments))
    }

    /// How many bytes it has, if that is known before they are read. A request's: as
    /// `Content-Length` said.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.length(),
            Kind::Reader { length, .. } => *length,
            Kind::Writer(_) => None,
            Kind::Segments(segments) => Some(segments.iter().map(Segment::len).sum()),
        }
    }

    /// The trailer fields of a request whose body was chunked, once it has been read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        match &self.0 {
            Kind::Incoming(incoming) => incoming.trailers(),
            _ => None,
        }
    }
}

/// Reads a request's body, or an answer's that is made of bytes or of a reader.
///
/// # Errors
/// For a request's body: `TimedOut` when the client is too slow, `FileTooLarge` past
/// [`Limits::body`](crate::config::Limits::body), `InvalidData` for malformed chunks, `UnexpectedEof`
/// when the client closes before the end, `BrokenPipe` once the exchange is over. `Unsupported` for a
/// body that is made by a function or of files.
impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Empty => Ok(0),
            Kind::Bytes(bytes) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes.split_to(n));
                Ok(n)
            }
            Kind::Incoming(incoming) => incoming.read(buf),
            Kind::Reader { reader, .. } => reader.read(buf),
            Kind::Writer(_) | Kind::Segments(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "Empty",
            Kind::Bytes(_) => "Bytes",
            Kind::Incoming(_) => "Incoming",
            Kind::Reader { .. } => "Reader",
            Kind::Writer(_) => "Writer",
            Kind::Segments(_) => "Segments",
        };
        f.debug_struct("Body").field("kind", &kind).field("length", &self.length()).finish()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Kind::Bytes(text.into()))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Kind::Bytes(Bytes::from_static(text.as_bytes())))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Bytes(Bytes::from_static(bytes)))
    }
}

/// Where a body made by a function is written to; see [`Body::from_writer`].
///
/// Writes are gathered; `flush` sends what has been gathered.
pub struct BodyWriter<'a> {
    pub(crate) sink: &'a mut dyn io::Write,
    pub(crate) trailers: Option<HeaderMap>,
}

impl BodyWriter<'_> {
    /// Sets the trailer fields (RFC 9110 §6.5). They are sent after a chunked body; with any other
    /// framing they are dropped, as the RFC allows.
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }
}

impl io::Write for BodyWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.sink.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Debug for BodyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("trailers", &self.trailers).finish_non_exhaustive()
    }
}
