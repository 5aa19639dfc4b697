//! Sockets: endpoints as text, listeners, connected streams, datagrams.

mod addr;
pub(crate) mod batch;
mod datagram;
mod drops;
mod endpoint;
mod errno;
mod icmp;
mod listener;
mod packet;
mod parse;
mod path;
mod ping;
mod raw;
mod resolve;
mod socket;
mod stream;

pub use addr::Addr;
pub use datagram::{Datagram, UDP_MAX};
pub use endpoint::{Endpoint, Family, Host, Transport, UnixKind, UnixName};
pub use errno::{advice, describe};
pub use icmp::Ipv4Header;
pub use listener::Listener;
pub use packet::Packet;
pub use ping::{Pinger, Reply};
pub use raw::Raw;
pub use socket::{Interest, Received};
pub use stream::Stream;
