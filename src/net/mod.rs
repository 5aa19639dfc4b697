//! Sockets: endpoints as text, listeners, connected streams, datagrams.

mod addr;
mod endpoint;
mod listener;
mod parse;
mod path;
mod resolve;
mod stream;

pub use addr::Addr;
pub use endpoint::{Endpoint, Family, Host, Transport, UnixKind, UnixName};
pub use listener::Listener;
pub use stream::{Interest, Stream};
