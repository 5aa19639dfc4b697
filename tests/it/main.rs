//! The integration tests: one binary, a file a behaviour.

mod net_common;
mod net_datagram;
mod net_listener;
mod net_raw;
mod net_stream;

mod acceptor;
mod daemon;
mod serving;
mod support;
mod tidy;
