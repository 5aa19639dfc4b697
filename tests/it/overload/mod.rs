//! More work than the server can do, and clients that mean harm.

mod hostile;
mod refusals;
