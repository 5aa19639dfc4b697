//! The integration tests: one binary, a folder a room, a file a behaviour.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

mod balancer;
mod daemon;
mod docs;
mod files;
mod http;
mod kit;
mod metrics;
mod net;
mod overload;
mod pool;
mod tidy;
mod tls;
