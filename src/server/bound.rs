//! [`Server`]: bound, and not running yet.

use std::sync::Arc;

use super::accept_queues::Listening;
#[cfg(feature = "admin")]
use super::admin::{AdminThread, BoundAdmin};
use super::handle::Handle;
use super::report::DrainReport;
#[cfg(feature = "admin")]
use super::threads::AdminJob;
use super::threads::Parts;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::net::Addr;

/// A bound server that does not run yet.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::Request;
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .workers(2)
///     .http(|_req: &mut Request| "Hello, world!")
///     .build()?;
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
    parts: Parts,
    handle: Handle,
}

impl Server {
    /// `bound`: the bound address and the endpoint as text of each socket, in the order of the
    /// binds.
    pub(super) fn new(parts: Parts, bound: Vec<(Option<Addr>, String)>) -> Self {
        // Later the program may give up the right to open these files.
        #[cfg(feature = "metrics")]
        super::metrics::prepare();
        let (addrs, endpoints): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        let addrs = addrs.into_iter().flatten().collect();
        let listening = Listening::new(&parts.sources);
        let handle = Handle::new(Arc::clone(&parts.shared), addrs, endpoints, listening);
        Self { parts, handle }
    }

    /// Adds the admin endpoint and the agent's.
    #[cfg(feature = "admin")]
    pub(super) fn with_admin(mut self, admin: Option<BoundAdmin>) -> Self {
        if let Some(admin) = admin {
            let endpoints = admin.endpoints();
            if endpoints.admin.is_some() {
                self.parts.shared.watch().turn_on();
            }
            self.handle.set_admin(endpoints);
            let thread = AdminThread::new(admin, self.handle.clone());
            self.parts.admin = Some(AdminJob(Box::new(|| thread.run())));
        }
        self
    }

    /// A handle of the server, which reports on it and stops it. It exists before the server runs,
    /// so that another thread can have it when [`run`](Self::run) is called. A server that was
    /// stopped before it runs does not start.
    ///
    /// # Examples
    /// ```
    /// use millpond::Server;
    /// use millpond::http::Request;
    /// use std::time::Duration;
    ///
    /// let server = Server::builder()
    ///     .bind("tcp://127.0.0.1:0")
    ///     .http(|_req: &mut Request| "Hello, world!")
    ///     .build()?;
    /// let handle = server.handle();
    /// let stopper = std::thread::spawn(move || handle.drain(Duration::from_secs(5)));
    /// let report = server.run()?;
    /// assert_eq!(stopper.join().unwrap(), report);
    /// # Ok::<(), millpond::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The addresses that the server is bound to, with the actual ports.
    #[must_use]
    pub fn local_addrs(&self) -> &[Addr] {
        self.handle.local_addrs()
    }

    /// The endpoints that the server is bound to, as text with the actual ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        self.handle.endpoints()
    }

    /// Runs the server until another thread [drains](Handle::drain) or stops it by its
    /// [`handle`](Self::handle).
    ///
    /// # Errors
    /// The errors of [`spawn`](Self::spawn).
    pub fn run(self) -> Result<DrainReport, Error> {
        let handle = self.spawn()?;
        Ok(handle.wait())
    }

    /// Starts the threads: the workers, the monitor, the acceptor. Returns once each worker is
    /// ready.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if the system cannot start a thread, and [`ErrorKind::Worker`] if a
    /// [worker's state](crate::Builder::http_with) cannot be made.
    pub fn spawn(self) -> Result<Handle, Error> {
        let Self { parts, handle } = self;
        if let Err(error) = handle.start(parts) {
            handle.stop_now();
            return Err(error);
        }
        Ok(handle)
    }
}
