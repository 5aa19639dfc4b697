//! [`Work`]: what a worker can do.

use std::time::Instant;

use crate::pool::connection::Connection;
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::overload::fairness::Bucket;

/// Work, and when it entered the queue.
#[derive(Debug)]
pub(crate) struct QueuedWork<W = Work> {
    pub(crate) work: W,
    pub(crate) entered: Instant,
    pub(super) bucket: Bucket,
}

/// What the queue has to know of a piece of work. A trait, as the work of the simulation is no
/// connection.
pub(crate) trait QueueItem {
    /// The client that it is for.
    fn bucket(&self) -> Bucket;

    /// Whether workers take it before all other work. Default: no.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether it was admitted before: then it is neither refused nor deferred. Default: no.
    fn is_admitted(&self) -> bool {
        false
    }

    /// Whether it is a TLS handshake, which waits in a lane of its own. Default: no.
    fn is_handshake(&self) -> bool {
        false
    }
}

/// What a worker can do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Serve a connection: a new one, or one that became ready.
    Connection(Box<Connection>),
    /// Continue with a connection whose request was admitted before.
    Continuation(Box<Connection>),
    /// Handle a datagram.
    Datagram(Box<QueuedDatagram>),
}

impl Work {
    /// The work for a connection that is ready: the rest of a request that was admitted, or a new
    /// request.
    pub(crate) fn of(connection: Box<Connection>) -> Self {
        if connection.is_continuing() {
            Self::Continuation(connection)
        } else {
            Self::Connection(connection)
        }
    }
}

impl QueueItem for Work {
    fn bucket(&self) -> Bucket {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection.bucket,
            Self::Datagram(datagram) => datagram.bucket,
        }
    }

    fn is_urgent(&self) -> bool {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection.urgent,
            Self::Datagram(datagram) => datagram.urgent,
        }
    }

    fn is_admitted(&self) -> bool {
        matches!(self, Self::Continuation(_))
    }

    fn is_handshake(&self) -> bool {
        matches!(self, Self::Connection(connection) if connection.begins_handshake())
    }
}
