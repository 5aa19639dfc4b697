//! [`AcceptQueue`]: the kernel's queue of each listener of a server. Also the certificates.

use crate::net::sock_diag::{DiagId, accept_queues};
use crate::pool::source::Source;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// What is reported about the listeners of a server.
#[derive(Debug)]
pub(super) struct Listening {
    /// The listeners as the kernel identifies them.
    ids: Vec<(String, DiagId)>,
    /// Their certificates, each set once.
    #[cfg(feature = "tls")]
    pub(super) tls: Vec<Tls>,
}

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
    pub(super) fn new(sources: &[Source]) -> Self {
        let id = |source: &Source| Some((source.endpoint_text(), source.listener.diag_id().ok()?));
        Self {
            ids: sources.iter().filter_map(id).collect(),
            #[cfg(feature = "tls")]
            tls: sources.iter().filter_map(Source::certificates).fold(
                Vec::new(),
                |mut found, tls| {
                    if !found.iter().any(|other: &Tls| other.is_same_as(tls)) {
                        found.push(tls.clone());
                    }
                    found
                },
            ),
        }
    }

    pub(super) fn queues(&self) -> Vec<AcceptQueue> {
        if self.ids.is_empty() {
            return Vec::new();
        }
        let ids: Vec<_> = self.ids.iter().map(|(_, id)| *id).collect();
        let found = accept_queues(&ids).unwrap_or_else(|error| {
            log::debug!("the kernel does not report accept queues: {error}");
            Vec::new()
        });
        let queue = |(endpoint, id): &(String, DiagId)| {
            let queue = found.iter().find(|queue| queue.inode == id.inode)?;
            let endpoint = endpoint.clone();
            Some(AcceptQueue { endpoint, length: queue.length, limit: queue.limit })
        };
        self.ids.iter().filter_map(queue).collect()
    }
}
