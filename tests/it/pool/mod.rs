//! The threads: acceptor, workers, monitor, and what they share.

mod acceptor;
mod admin;
mod agent;
mod connections;
mod deadlines;
mod drain;
mod handle;
mod held;
mod leader;
mod numbers;
mod panics;
mod proxy_header;
mod reconfigure;
mod serving;
mod workers;
