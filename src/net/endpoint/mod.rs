//! Endpoints: where to listen or connect, as text.

mod grammar;
mod resolve;
mod types;

pub use types::{Endpoint, Family, Host, Transport, UnixKind, UnixName};
pub(super) use types::{scheme, wrong_endpoint};
