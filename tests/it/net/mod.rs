//! Sockets of every kind, the server on them, and `millpond connect`.

mod client;
pub(crate) mod common;
mod connect;
mod datagram;
mod datagrams_served;
mod endpoint;
mod listener;
mod passed;
mod raw;
mod serving;
mod stream;
