//! millpond: a thread-pool server for blocking handlers.

pub mod close;
pub mod config;
pub mod error;
pub mod http;
pub mod net;
mod pool;

pub use close::CloseReason;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use pool::Refusal;
