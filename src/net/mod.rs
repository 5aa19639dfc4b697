//! Sockets: endpoints as text, listeners, streams, datagrams, records and raw packets.

mod addr;
mod attempt;
mod connect;
mod datagram;
mod drops;
mod endpoint;
mod errno;
mod ipv4;
mod listener;
mod packet;
mod raw;
pub(crate) mod sock_diag;
pub(crate) mod socket;
mod stream;
pub(crate) mod udp_batch;
mod unix_path;

pub use addr::Addr;
pub use datagram::{Datagram, UDP_MAX};
pub use endpoint::{Endpoint, Family, Host, Transport, UnixKind, UnixName};
pub use errno::{advice, describe};
pub use ipv4::Ipv4Header;
pub use listener::Listener;
pub use packet::Packet;
pub use raw::Raw;
pub use socket::{Interest, Received};
pub use stream::Stream;
