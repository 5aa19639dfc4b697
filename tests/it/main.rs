//! The integration tests: one binary, a file a behaviour.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic")]

mod net_common;
mod net_listener;

mod acceptor;
mod daemon;
mod serving;
mod support;
mod tidy;
