//! Datagrams, and the records of `unixpacket:` connections.
//!
//! A datagram takes the way of a connection. The acceptor receives it, or the leader while the
//! sockets are [lent](lend) to it, and pushes it into the work queue, where it is admitted or
//! refused by itself. A worker takes it, calls the handler, and sends the response through the same
//! socket. A refused datagram is dropped and counted: clients cannot rely on the arrival of a
//! datagram anyway.

pub(crate) mod handler;
pub(crate) mod lend;
pub(crate) mod queued;
pub(crate) mod receive;
pub(crate) mod send_batch;
pub(crate) mod seqpacket;
pub(crate) mod socket;
pub(crate) mod stats;
