//! Sockets without connections, and connections of records: their handler, what was received and
//! waits, and how responses are sent.

pub(crate) mod lend;
pub(crate) mod receive;
pub(crate) mod send_batch;
pub(crate) mod seqpacket;
pub(crate) mod socket;
