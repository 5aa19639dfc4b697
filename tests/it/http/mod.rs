//! HTTP/1.1 over real sockets.

mod bodies;
mod cancel;
mod common;
mod deadline;
mod decoding;
mod gone;
mod load_report;
mod multipart;
mod problems;
mod proxied;
mod random;
mod read_ahead;
mod reader;
mod responses;
mod running;
mod slow;
pub(crate) mod table;
mod times;
mod upgrade;
mod waiting;
mod worker_state;
