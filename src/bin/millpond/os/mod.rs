//! The edges to the system: signals, systemd, rights, standard error and log files.

pub(crate) mod log_writer;
pub(crate) mod logging;
pub(crate) mod sandbox;
pub(crate) mod signals;
pub(crate) mod systemd;
