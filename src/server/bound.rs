//! [`Server`]: bound, and not running yet.

use std::sync::Arc;

use super::handle::{DrainReport, Handle};
use super::threads::Parts;
use crate::error::{Error, ErrorKind};
use crate::net::Addr;

/// A bound server that does not run yet.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::{Request, Response};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .workers(2)
///     .http(|_req: &mut Request| Response::text("Hello, world!"))?;
/// let handle = server.spawn()?;
///
/// let addr = handle.local_addrs()[0].as_socket().unwrap();
/// let mut client = std::net::TcpStream::connect(addr)?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.ends_with("\r\n\r\nHello, world!"));
///
/// let report = handle.drain(Duration::from_secs(5));
/// assert_eq!((report.served, report.cut_off), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    pub(super) parts: Parts,
    /// The bound address and the endpoint as text of each socket, in the order of the binds.
    pub(super) bound: Vec<(Option<Addr>, String)>,
}

impl Server {
    /// The addresses that the server is bound to, with the actual ports.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<Addr> {
        self.bound.iter().filter_map(|(addr, _)| addr.clone()).collect()
    }

    /// The endpoints that the server is bound to, as text with the actual ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.bound.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Runs the server until another thread [drains](Handle::drain) or stops it. As that takes a
    /// handle, programs that stop their server call [`spawn`](Self::spawn) instead.
    ///
    /// # Errors
    /// The errors of [`spawn`](Self::spawn).
    pub fn run(self) -> Result<DrainReport, Error> {
        let handle = self.spawn()?;
        Ok(handle.wait())
    }

    /// Starts the threads: the acceptor, the workers, the monitor.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if the system cannot start a thread.
    pub fn spawn(self) -> Result<Handle, Error> {
        let addrs = self.local_addrs();
        let endpoints = self.endpoints();
        let shared = Arc::clone(&self.parts.shared);
        let mut threads = Vec::new();
        let started = self.parts.start(&mut threads);
        let handle = Handle::new(shared, addrs, endpoints, threads);
        if let Err(error) = started {
            handle.stop_now();
            return Err(Error::new(ErrorKind::System, "cannot start a thread")
                .with_source(error)
                .with_hint("lower the number of workers, or raise the limit on threads"));
        }
        Ok(handle)
    }
}
