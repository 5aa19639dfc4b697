//! [`AcceptQueue`]: the kernel's queue of each listener of a server.

use crate::net::Listener;
use crate::net::sock_diag::{DiagId, accept_queues};

/// The listeners of a server, as the kernel identifies them.
#[derive(Debug)]
pub(super) struct Listening(Vec<(String, DiagId)>);

/// The queue of a listener's connections that the kernel has completed and the server has not
/// accepted yet: see [`Handle::accept_queues`](crate::Handle::accept_queues).
///
/// # Examples
/// ```
/// # use millpond::{Server, http::{Request, Response}};
/// # let handle = Server::builder()
/// #     .bind("tcp://127.0.0.1:0")
/// #     .http(|_req: &mut Request| Response::text(""))
/// #     .build()?
/// #     .spawn()?;
/// for queue in handle.accept_queues() {
///     println!("{}: {} of {}", queue.endpoint, queue.length, queue.limit);
/// }
/// # handle.stop_now();
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptQueue {
    /// The endpoint as text, with the actual port: `tcp://[::]:8888`.
    pub endpoint: String,
    /// Connections in the queue.
    pub length: u32,
    /// The most that the queue takes: the backlog that was requested, or `net.core.somaxconn` if
    /// that is lower. The kernel accepts one more.
    pub limit: u32,
}

impl Listening {
    pub(super) fn new<'a>(listeners: impl Iterator<Item = &'a Listener>) -> Self {
        let id = |listener: &Listener| Some((listener.endpoint_text(), listener.diag_id().ok()?));
        Self(listeners.filter_map(id).collect())
    }

    pub(super) fn queues(&self) -> Vec<AcceptQueue> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let ids: Vec<_> = self.0.iter().map(|(_, id)| *id).collect();
        let found = accept_queues(&ids).unwrap_or_else(|error| {
            log::debug!("the kernel does not report accept queues: {error}");
            Vec::new()
        });
        let queue = |(endpoint, id): &(String, DiagId)| {
            let queue = found.iter().find(|queue| queue.inode == id.inode)?;
            let endpoint = endpoint.clone();
            Some(AcceptQueue { endpoint, length: queue.length, limit: queue.limit })
        };
        self.0.iter().filter_map(queue).collect()
    }
}
