//! [`TestServer`]: a server of this process, whose connections are all accounted for when a test
//! ends.

use std::net::SocketAddr;
use std::ops::Deref;

use millpond::http::Handler;
use millpond::{Config, Error, Handle, Server, Stats};

use super::{until, until_or};

/// The first address of a server.
pub(crate) fn addr(handle: &Handle) -> SocketAddr {
    handle.local_addrs()[0].as_socket().unwrap()
}

/// Starts a server of HTTP on a free port, with so many workers.
pub(crate) fn start_http(workers: usize, handler: impl Handler) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = workers;
    start_http_with(config, handler)
}

/// Starts a server of HTTP on a free port.
pub(crate) fn start_http_with(config: Config, handler: impl Handler) -> TestServer {
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    builder.http(handler).build().unwrap().start().unwrap()
}

/// Starts servers that check their count of connections.
pub(crate) trait Start {
    /// As [`Server::spawn`], with the check.
    fn start(self) -> Result<TestServer, Error>;
}

impl Start for Server {
    fn start(self) -> Result<TestServer, Error> {
        self.spawn().map(TestServer)
    }
}

/// A running server that is stopped at the end of the test. Its guard checks that accepted = closed
/// + live whenever the test reads the [`Stats`], and that closed = accepted after the stop.
#[derive(Debug)]
pub(crate) struct TestServer(Handle);

impl TestServer {
    #[track_caller]
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.0.stats();
        // The counters are read one after the other: a connection that ends meanwhile may be
        // counted twice, or for a moment not at all.
        until("accepted = closed + live", || {
            let balanced = stats.accepted <= stats.closed_total() + stats.live as u64;
            if !balanced {
                stats = self.0.stats();
            }
            balanced
        });
        stats
    }
}

impl Deref for TestServer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.0.stop_now();
        if std::thread::panicking() {
            return;
        }
        // A connection may still belong to an upgrade's thread, or to a handler that the test has
        // only just released.
        until_or(
            || {
                let stats = self.0.stats();
                stats.live == 0 && stats.closed_total() == stats.accepted
            },
            || {
                let stats = self.0.stats();
                let closed: Vec<_> = stats.closed().filter(|(_, count)| *count > 0).collect();
                panic!("accepted {}, live {}, closed {closed:?}", stats.accepted, stats.live);
            },
        );
    }
}
