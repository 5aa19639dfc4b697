//! millpond: a thread-pool server for blocking handlers.

pub mod close;
pub mod config;
pub mod error;
pub mod http;
pub mod net;

pub use close::CloseReason;
pub use config::Config;
pub use error::{Error, ErrorKind};
