//! The integration tests: one binary, a file a behaviour.

mod net_common;
mod net_listener;
