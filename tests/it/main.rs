//! The integration tests: one binary, a file a behaviour.

mod net_common;
mod net_listener;

mod acceptor;
mod daemon;
mod serving;
mod support;
mod tidy;
