//! [`TestServer`]: a server that a test starts, and that checks its accounts at the end.

use std::io::BufReader;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::client::TestClient;
use super::reader::read_response;
use super::request::TestRequest;
use super::response::TestResponse;
use crate::Stats;
use crate::http::Handler;
use crate::server::{Builder, Handle, Server};

/// The endpoint of a server whose builder has none: a free port.
const FREE_PORT: &str = "tcp://127.0.0.1:0";

/// The number of workers of [`TestServer::start`].
const WORKERS: usize = 4;

/// How long a test waits for a response, and for the end of the server. Longer than anything takes
/// on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that a test starts. It derefs to its [`Handle`].
///
/// When it is dropped, it drains, and panics unless
///
/// - every accepted connection has been closed (`accepted` is the sum of `closed`),
/// - no handler has panicked, or the test [allows](Self::allow_panics) it.
///
/// A handler that is still running after 30 seconds fails the test. When the test itself has
/// panicked, the server is stopped at once and nothing is checked.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::{Request, Response};
/// use millpond::test::{TestRequest, TestServer};
///
/// fn echo(req: &mut Request) -> Response {
///     Response::new(req.take_body())
/// }
///
/// let server = TestServer::with(Server::builder().workers(2).http(echo));
/// let response = server.send(TestRequest::post("/").body("Hello"));
/// assert_eq!(response.assert_status(200).text(), "Hello");
/// assert!(server.url("/notes").starts_with("http://127.0.0.1:"));
/// assert_eq!(server.stats().workers, 2);
/// ```
#[derive(Debug)]
pub struct TestServer {
    handle: Handle,
    allows_panics: bool,
}

impl TestServer {
    /// Starts a server of HTTP with this handler, with four workers, on a free port of the loopback
    /// interface.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    #[track_caller]
    pub fn start(handler: impl Handler) -> Self {
        Self::with(Server::builder().workers(WORKERS).http(handler))
    }

    /// Starts the server of this builder. Without an endpoint, it listens on a free port of the
    /// loopback interface.
    ///
    /// # Panics
    /// If the server does not start. The message has the [`Error`](crate::Error).
    #[must_use]
    #[track_caller]
    pub fn with(builder: Builder) -> Self {
        match builder.bind_if_none(FREE_PORT).build().and_then(Server::spawn) {
            Ok(handle) => Self { handle, allows_panics: false },
            Err(error) => panic!("the server does not start: {error}"),
        }
    }

    /// Allows handlers to panic, for a test of such a handler.
    #[must_use]
    pub fn allow_panics(mut self) -> Self {
        self.allows_panics = true;
        self
    }

    /// The handle of the server.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The first address that the server listens on, with the actual port.
    ///
    /// # Panics
    /// If it listens on Unix sockets only.
    #[must_use]
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        let addrs = self.handle.local_addrs();
        match addrs.iter().find_map(crate::net::Addr::as_socket) {
            Some(addr) => addr,
            None => panic!("the server listens on no TCP port: {:?}", self.handle.endpoints()),
        }
    }

    /// The URL of a path that begins with a slash: `http://127.0.0.1:41873/notes`. Panics as
    /// [`addr`](Self::addr) does.
    #[must_use]
    #[track_caller]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// Sends a GET request: see [`send`](Self::send).
    #[track_caller]
    pub fn get(&self, target: &str) -> TestResponse {
        self.send(TestRequest::get(target))
    }

    /// Sends a request on a connection of its own, and reads the response whole.
    ///
    /// # Panics
    /// If the response is malformed, is cut off, has a body of more than 64 MiB, or does not come
    /// within 30 seconds; if the request has something that no client can send, such as
    /// [`TestRequest::peer`].
    #[track_caller]
    pub fn send(&self, request: TestRequest) -> TestResponse {
        let addr = self.addr();
        let shown = format!("{request:?}");
        let (method, bytes) = request.into_bytes(&addr.to_string());
        let client = TestClient::connect(addr, bytes, PATIENCE)
            .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
        match read_response(&mut BufReader::new(client), &method) {
            Ok(response) => response,
            Err(error) => panic!("{error}: {shown}"),
        }
    }

    /// Waits until the statistics of the server meet a condition, and returns them. They are read
    /// every 2 ms.
    ///
    /// # Panics
    /// If the condition is not met within 30 seconds. The message has the statistics.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    /// use millpond::test::TestServer;
    ///
    /// let server = TestServer::start(|_: &mut Request| "Hello");
    /// server.get("/");
    /// // The client has the response before the server counts the request.
    /// server.wait_until(|stats| stats.served == 1);
    /// ```
    #[track_caller]
    pub fn wait_until(&self, mut condition: impl FnMut(&Stats) -> bool) -> Stats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.handle.stats();
            if condition(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "not met within {PATIENCE:?}: {stats}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// What is wrong with the accounts of the stopped server, if anything is.
    fn fault(&self) -> Option<String> {
        let stats = self.handle.stats();
        let (accepted, live, closed) = (stats.accepted, stats.live, stats.closed_total());
        if live > 0 || closed != accepted {
            return Some(format!(
                "{live} connections are still open, {PATIENCE:?} after the server was stopped \
                 (accepted {accepted}, closed {closed})"
            ));
        }
        if stats.panics > 0 && !self.allows_panics {
            return Some(format!("handlers panicked {} times", stats.panics));
        }
        None
    }
}

impl Deref for TestServer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.handle.stop_now();
            return;
        }
        self.handle.drain(PATIENCE);
        // A test that has stopped the server itself may still have a handler running.
        self.handle.wait_for_connections(PATIENCE);
        if let Some(fault) = self.fault() {
            panic!("{fault}");
        }
    }
}
