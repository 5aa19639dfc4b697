//! The access log: one line for each request that reached a handler.
//!
//! A worker formats the line and enqueues it; the thread of a
//! [`LogWriter`](crate::os::log_writer::LogWriter) writes it.

pub(crate) mod line;
pub(crate) mod writer;
