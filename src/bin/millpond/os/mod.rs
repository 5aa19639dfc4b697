//! The edges to the operating system: signals, the service manager, rights, the log's writer.

pub(crate) mod log_writer;
pub(crate) mod logging;
pub(crate) mod notify;
pub(crate) mod paths;
pub(crate) mod sandbox;
pub(crate) mod signals;
pub(crate) mod socket_activation;
pub(crate) mod stdout;
pub(crate) mod user;
