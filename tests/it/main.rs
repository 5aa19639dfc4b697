//! The integration tests: one binary, a file a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod net_common;
mod net_connect;
mod net_datagram;
mod net_listener;
mod net_raw;
mod net_stream;

mod acceptor;
mod daemon;
mod serving;
mod support;
mod tidy;
