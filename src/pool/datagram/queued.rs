//! [`QueuedDatagram`]: a datagram in the work queue.

use rustix::net::SocketAddrAny;

use crate::net::Addr;
use crate::pool::overload::fairness::Bucket;

/// A datagram on its way to a worker.
#[derive(Debug)]
pub(crate) struct QueuedDatagram {
    pub(crate) bytes: Vec<u8>,
    /// The sender's address, as system calls take it; `None` if no response can be sent.
    pub(crate) from: Option<SocketAddrAny>,
    /// The same address, as the handler gets it.
    pub(crate) peer: Addr,
    /// The index of the server's socket that received it.
    pub(crate) socket: u16,
    pub(crate) urgent: bool,
    pub(crate) bucket: Bucket,
}
