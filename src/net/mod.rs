//! Sockets: endpoints as text, listeners, connected streams, datagrams.

mod addr;
mod endpoint;
mod listener;
mod stream;

pub use addr::Addr;
pub use endpoint::Endpoint;
pub use listener::Listener;
pub use stream::{Interest, Stream};
