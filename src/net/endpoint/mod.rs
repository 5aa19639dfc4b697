//! Endpoints: where to listen or connect, as text.

mod grammar;
mod resolve;
mod types;

pub(super) use types::unfit;
pub use types::{Endpoint, Family, Host, Transport, UnixKind, UnixName};
