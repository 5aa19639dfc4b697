//! [`TestRequest`]: a request that a test makes.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Extensions, HeaderMap, Method, Uri};

use super::reader::{BODY_MAX, read_response};
use super::response::TestResponse;
#[cfg(doc)]
use crate::http::Request;
use crate::http::codec::{encode_chunk, encode_field, encode_last_chunk};
use crate::http::{
    Body, Cancel, CancelReason, Handler, OfflineRequest, Standalone, respond_offline,
};
use crate::sync::later;

/// The port of the default peer: the first that is neither reserved nor registered (RFC 6335 §6).
const PEER_PORT: u16 = 49152;

/// Cancels a request while its handler runs: see [`TestRequest::with_cancel`].
#[derive(Clone, Debug)]
pub struct TestCancel(Cancel);

impl TestCancel {
    /// Cancels the request for this reason, unless it has been cancelled before. The callbacks of
    /// the handler run on the calling thread. After the response, this has no effect.
    pub fn set(&self, reason: CancelReason) {
        self.0.set(reason);
    }
}

/// A request that a test makes, and sends to a handler without a connection, or to a
/// [`TestServer`](super::TestServer).
///
/// It has the fields that every client sends: Host, and Content-Length or Transfer-Encoding with a
/// body, unless the test sets them.
///
/// # Examples
/// ```
/// use millpond::http::{Request, Response, StatusCode};
/// use millpond::test::TestRequest;
///
/// fn upload(req: &mut Request) -> Response {
///     match req.read_body(4) {
///         Ok(body) => Response::text(format!("{} bytes for {:?}", body.len(), req.peer_addr())),
///         Err(error) => Response::from(error),
///     }
/// }
///
/// let peer = "192.0.2.1:1234".parse().unwrap();
/// let response = TestRequest::post("/files").peer(peer).body("abcd").send(&upload);
/// assert_eq!(response.text(), "4 bytes for Some(192.0.2.1:1234)");
/// TestRequest::post("/files").body("abcde").send(&upload).assert_status(413);
/// ```
#[must_use]
pub struct TestRequest {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Body,
    extensions: Extensions,
    standalone: Box<Standalone>,
    /// The first method that set what no client can send.
    injected: Option<&'static str>,
}

impl TestRequest {
    /// A request with this method and target.
    ///
    /// # Panics
    /// If the method is not a token, or the target is not a URI.
    #[track_caller]
    pub fn new<M>(method: M, target: &str) -> Self
    where
        M: TryInto<Method>,
        M::Error: fmt::Display,
    {
        let method = method.try_into().unwrap_or_else(|error| panic!("invalid method: {error}"));
        if let Err(error) = target.parse::<Uri>() {
            panic!("invalid target {target:?}: {error}");
        }
        let mut standalone = Standalone::new();
        standalone.peer = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, PEER_PORT)));
        standalone.is_connected = true;
        Self {
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Body::empty(),
            extensions: Extensions::new(),
            standalone,
            injected: None,
        }
    }

    /// A GET request. Panics as [`new`](Self::new) does.
    #[track_caller]
    pub fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    /// A POST request. Panics as [`new`](Self::new) does.
    #[track_caller]
    pub fn post(target: &str) -> Self {
        Self::new(Method::POST, target)
    }

    /// A PUT request. Panics as [`new`](Self::new) does.
    #[track_caller]
    pub fn put(target: &str) -> Self {
        Self::new(Method::PUT, target)
    }

    /// A PATCH request. Panics as [`new`](Self::new) does.
    #[track_caller]
    pub fn patch(target: &str) -> Self {
        Self::new(Method::PATCH, target)
    }

    /// A DELETE request. Panics as [`new`](Self::new) does.
    #[track_caller]
    pub fn delete(target: &str) -> Self {
        Self::new(Method::DELETE, target)
    }

    /// Adds a field. A field of the same name is kept, so that a list may have several lines.
    ///
    /// # Panics
    /// If the name is not a token, or the value has characters that no field value may have.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: fmt::Display,
        V: TryInto<HeaderValue>,
        V::Error: fmt::Display,
    {
        let name = name.try_into().unwrap_or_else(|error| panic!("invalid field name: {error}"));
        let value = value.try_into().unwrap_or_else(|error| panic!("invalid {name}: {error}"));
        self.headers.append(name, value);
        self
    }

    /// Adds a cookie (RFC 6265 §4.2). All cookies of a request are in one field. The value is sent
    /// as it is, without escaping.
    ///
    /// # Panics
    /// As [`header`](Self::header) does.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    /// use millpond::test::TestRequest;
    ///
    /// let request = TestRequest::get("/").cookie("session", "31d4").cookie("theme", "dark");
    /// let response = request.send(&|req: &mut Request| format!("{:?}", req.headers()["cookie"]));
    /// assert_eq!(response.text(), "\"session=31d4; theme=dark\"");
    /// ```
    #[track_caller]
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        let mut list = match self.headers.get(COOKIE) {
            Some(list) => [list.as_bytes(), b"; "].concat(),
            None => Vec::new(),
        };
        list.extend_from_slice(format!("{name}={value}").as_bytes());
        let list = HeaderValue::from_bytes(&list);
        self.headers.insert(COOKIE, list.unwrap_or_else(|error| panic!("invalid cookie: {error}")));
        self
    }

    /// Sets the body: bytes, text, or a [`Body`] of any kind. A body without a known length is sent
    /// in chunks.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to this value as JSON, with its content type.
    ///
    /// # Panics
    /// If the value cannot be serialized.
    #[cfg(feature = "json")]
    pub fn json(self, value: &impl serde::Serialize) -> Self {
        let json = serde_json::to_vec(value);
        let json = json.unwrap_or_else(|error| panic!("cannot serialize the body: {error}"));
        self.header("content-type", "application/json").body(json)
    }

    /// Sets the body to this value as a form (`application/x-www-form-urlencoded`), with its
    /// content type.
    ///
    /// # Panics
    /// If the value cannot be serialized.
    #[cfg(feature = "form")]
    pub fn form(self, value: &impl serde::Serialize) -> Self {
        let form = serde_html_form::to_string(value);
        let form = form.unwrap_or_else(|error| panic!("cannot serialize the body: {error}"));
        self.header("content-type", "application/x-www-form-urlencoded").body(form)
    }

    /// Sets the client's address, in place of 127.0.0.1. Only for a request without a connection.
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.standalone.peer = Some(peer);
        self.inject("peer")
    }

    /// Sets how long the request waited in the queue. Only for a request without a connection.
    pub fn queue_wait(mut self, waited: Duration) -> Self {
        self.standalone.queue_wait = waited;
        self.inject("queue_wait")
    }

    /// Sets how much time the request has, from now on: its [deadline](Request::deadline). Only for
    /// a request without a connection. Nothing cancels the request when it has passed.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.standalone.deadline = Some(later(Instant::now(), after));
        self.inject("deadline")
    }

    /// Sets the load of the server, which is overloaded above 1: see [`Request::pressure`]. Only
    /// for a request without a connection.
    pub fn pressure(mut self, load: f64) -> Self {
        self.standalone.load = load;
        self.inject("pressure")
    }

    /// The client has closed the connection: the request is [cancelled](Request::cancelled), and
    /// [`Request::is_connected`] returns false. Only for a request without a connection.
    pub fn disconnected(mut self) -> Self {
        self.standalone.is_connected = false;
        self.standalone.cancel.set(CancelReason::ClientGone);
        self.inject("disconnected")
    }

    /// A handle that [cancels](Request::cancelled) the request while the handler runs, from another
    /// thread or from the handler itself. Only for a request without a connection.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{CancelReason, Request, Response};
    /// use millpond::test::TestRequest;
    /// use std::sync::mpsc::channel;
    ///
    /// /// Waits for a result that never comes.
    /// fn wait(req: &mut Request) -> Response {
    ///     let (sender, results) = channel();
    ///     req.cancelled().on(move || drop(sender));
    ///     let _: Result<(), _> = results.recv();
    ///     Response::text(format!("{:?}", req.cancelled().reason()))
    /// }
    ///
    /// let (request, cancel) = TestRequest::get("/").with_cancel();
    /// let canceller = std::thread::spawn(move || cancel.set(CancelReason::ClientGone));
    /// assert_eq!(request.send(&wait).text(), "Some(ClientGone)");
    /// canceller.join().unwrap();
    /// ```
    pub fn with_cancel(self) -> (Self, TestCancel) {
        let cancel = TestCancel(self.standalone.cancel.clone());
        (self.inject("with_cancel"), cancel)
    }

    /// Adds an extension, such as one that a middleware adds. Only for a request without a
    /// connection.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self.inject("extension")
    }

    fn inject(mut self, method: &'static str) -> Self {
        self.injected.get_or_insert(method);
        self
    }

    /// Calls `handler` on this thread, without a connection and with the default configuration, and
    /// reads its response whole. [`Handler::check`] is called first.
    ///
    /// The request is parsed, and the response is written, as the server does it: errors are in the
    /// format that the client accepts, a response to HEAD has no body, and a client that expects a
    /// `100 Continue` is passed to [`Handler::expect_continue`]. An upgrade is a 101 if the request
    /// offers the protocol; its function is not called.
    ///
    /// # Panics
    /// If the handler panics, as the panic is not caught; if the check of the handler fails; if the
    /// body of the response fails, differs from its announced length, or has more than 64 MiB.
    #[track_caller]
    pub fn send<H: Handler + ?Sized>(self, handler: &H) -> TestResponse {
        if let Err(error) = handler.check() {
            panic!("the check of the handler failed: {error}");
        }
        let cancel = self.standalone.cancel.clone();
        let (method, request) = self.into_offline();
        let bytes = respond_offline(handler, request, BODY_MAX as u64)
            .unwrap_or_else(|error| panic!("the response cannot be sent: {error}"));
        cancel.end();
        match read_response(&mut &*bytes, &method) {
            Ok(response) => response,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn into_offline(mut self) -> (Method, OfflineRequest) {
        let head = self.head("localhost");
        let Self { method, body, extensions, standalone, .. } = self;
        let body = body.into_readable().unwrap_or_else(|error| fail_body(&error));
        (method, OfflineRequest { head, body, extensions, standalone })
    }

    /// The bytes of the request, for a server with this name, and its method.
    #[track_caller]
    pub(super) fn into_bytes(mut self, host: &str) -> (Method, Vec<u8>) {
        if let Some(injected) = self.injected {
            panic!("TestRequest::{injected} has no effect on a request that a server receives");
        }
        let mut bytes = self.head(host);
        let chunked = self.headers.contains_key(TRANSFER_ENCODING);
        let mut body = Vec::new();
        if let Err(error) = self.body.write_to(&mut body) {
            fail_body(&error)
        }
        if chunked {
            encode_chunk(&mut bytes, &body);
            encode_last_chunk(&mut bytes, None);
        } else {
            bytes.extend_from_slice(&body);
        }
        (self.method, bytes)
    }

    /// The head, with the fields that every client sends.
    fn head(&mut self, host: &str) -> Vec<u8> {
        let host = HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("localhost"));
        self.headers.entry(HOST).or_insert(host);
        let is_framed =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| self.headers.contains_key(name));
        if !is_framed {
            match self.body.length() {
                Some(0) => {}
                Some(length) => drop(self.headers.insert(CONTENT_LENGTH, length.into())),
                None => {
                    self.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
            }
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            encode_field(&mut head, name, value.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

#[track_caller]
fn fail_body(error: &io::Error) -> ! {
    panic!("the body of the request failed: {error}")
}

impl fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
