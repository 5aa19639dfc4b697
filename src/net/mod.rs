//! Sockets: endpoints as text, listeners, connected streams, datagrams.

mod addr;
mod attempt;
mod datagram;
mod drops;
mod endpoint;
mod errno;
mod icmp;
mod listener;
mod packet;
mod ping;
mod raw;
mod socket;
mod stream;
pub(crate) mod udp_batch;
mod unix_path;

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
