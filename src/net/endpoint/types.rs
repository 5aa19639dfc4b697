//! [`Endpoint`]: where to listen or connect.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::net::Addr;

/// Where to listen or connect.
///
/// | Text | Socket |
/// |---|---|
/// | `tcp://HOST:PORT`, `tcp4:`, `tcp6:`, `HOST:PORT`, `:PORT` | `SOCK_STREAM` over IP |
/// | `udp://HOST:PORT`, `udp4:`, `udp6:` | `SOCK_DGRAM` over IP |
/// | `unix:PATH`, `unix:@NAME` | `SOCK_STREAM` of `AF_UNIX`; `@NAME` is an abstract name |
/// | `unixgram:PATH`, `unixgram:@NAME` | `SOCK_DGRAM` of `AF_UNIX` |
/// | `unixpacket:PATH`, `unixpacket:@NAME` | `SOCK_SEQPACKET` of `AF_UNIX` |
/// | `icmp:HOST` | `SOCK_RAW` with ICMP, or ICMPv6 if the host is an IPv6 address |
/// | `ip4:PROTO`, `ip4:PROTO:HOST` | `SOCK_RAW` over IPv4 with that protocol, a name or number |
/// | `rdm:HOST:PORT` | `SOCK_RDM`, which Linux does not support for IP |
/// | `fd:N`, `fd:NAME` | a descriptor that was passed in (socket activation) |
///
/// `//` after the colon of the scheme is optional. An IPv6 address is written in brackets and may
/// have a zone: `[fe80::1%eth0]:80`. Without a host, the endpoint is every address of this machine.
/// A host name is looked up by [`resolve`](Self::resolve), not by the parser. In an abstract name
/// `\\` is a backslash and `\xNN` is any byte.
///
/// # Examples
/// ```
/// use millpond::net::Endpoint;
///
/// let endpoint: Endpoint = ":8888".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://[::]:8888");
/// let endpoint: Endpoint = "unixgram:@pond".parse()?;
/// assert_eq!(endpoint.to_string(), "unixgram:@pond");
///
/// let error = "tcp://localhost:http".parse::<Endpoint>().unwrap_err();
/// assert!(error.to_string().contains("invalid port \"http\""));
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host and port: `tcp:`, `udp:` and `rdm:`.
    Inet {
        /// TCP, UDP or RDM.
        transport: Transport,
        /// The versions of IP that may be used.
        family: Family,
        /// The host.
        host: Host,
        /// The port. 0 lets the kernel choose one when the endpoint is bound.
        port: u16,
    },
    /// `unix:`, `unixgram:` and `unixpacket:`.
    Unix {
        /// The type of the socket.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
    /// `icmp:HOST`.
    Icmp {
        /// The versions of IP that may be used.
        family: Family,
        /// The host.
        host: Host,
    },
    /// `ip4:PROTO` and `ip4:PROTO:HOST`.
    Raw {
        /// The protocol number of the IPv4 header.
        protocol: u8,
        /// The host; 0.0.0.0 for every address of this machine.
        host: Host,
    },
    /// `fd:N` or `fd:NAME`: a passed descriptor, by its number or by its name in `LISTEN_FDNAMES`.
    Fd(String),
}

/// The transport protocol of an endpoint with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `SOCK_STREAM`.
    Tcp,
    /// `SOCK_DGRAM`.
    Udp,
    /// `SOCK_RDM`: datagrams that are delivered reliably, in any order.
    Rdm,
}

/// The versions of IP that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Both; a listener on `[::]` accepts both.
    #[default]
    Any,
    /// Only IPv4, `AF_INET`.
    V4,
    /// Only IPv6, `AF_INET6`, with `IPV6_V6ONLY` set.
    V6,
}

/// The host of an [`Endpoint`], before any look-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// An IPv6 address and its zone: the name or number of a network interface.
    Zoned(Ipv6Addr, String),
    /// A host name.
    Name(String),
}

/// The type of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnixKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`: a connection that keeps the boundaries of records.
    Packet,
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// The path of its file.
    Path(PathBuf),
    /// A name in Linux's abstract namespace. The leading NUL is omitted.
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// The scheme, before the colon: `tcp6`, `unix`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Inet { transport, family, .. } => scheme(*transport, *family),
            Self::Unix { kind: UnixKind::Stream, .. } => "unix",
            Self::Unix { kind: UnixKind::Datagram, .. } => "unixgram",
            Self::Unix { kind: UnixKind::Packet, .. } => "unixpacket",
            Self::Icmp { .. } => "icmp",
            Self::Raw { .. } => "ip4",
            Self::Fd(_) => "fd",
        }
    }

    /// Whether its socket exchanges datagrams without a connection: `udp:` and `unixgram:`.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        matches!(
            self,
            Self::Inet { transport: Transport::Udp, .. }
                | Self::Unix { kind: UnixKind::Datagram, .. }
        )
    }
}

impl From<SocketAddr> for Endpoint {
    /// The TCP endpoint of an address.
    fn from(addr: SocketAddr) -> Self {
        let (host, port) = (addr.into(), addr.port());
        Self::Inet { transport: Transport::Tcp, family: Family::Any, host, port }
    }
}

impl From<SocketAddr> for Host {
    /// The host of an address: its IP address, with the zone if it has one.
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Self::Zoned(*v6.ip(), v6.scope_id().to_string())
            }
            _ => Self::Ip(addr.ip()),
        }
    }
}

impl Endpoint {
    /// Whether binding one endpoint prevents binding the other: they are the same, or one is a
    /// wildcard that includes the address of the other. Host names are compared as text.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Inet { transport, family, host, port },
                Self::Inet { transport: transport2, family: family2, host: host2, port: port2 },
            ) => {
                let same_port = transport == transport2 && port == port2 && *port != 0;
                same_port
                    && match (host, host2) {
                        (Host::Ip(ip), Host::Ip(ip2)) => {
                            ip == ip2
                                || includes(*ip, *family, *ip2)
                                || includes(*ip2, *family2, *ip)
                        }
                        (Host::Name(name), Host::Name(name2)) => name.eq_ignore_ascii_case(name2),
                        (host, host2) => host == host2,
                    }
            }
            (Self::Unix { kind, name }, Self::Unix { kind: kind2, name: name2 }) => {
                // Each type of socket has its own abstract names (unix(7)).
                name == name2 && (kind == kind2 || matches!(name, UnixName::Path(_)))
            }
            _ => false,
        }
    }
}

/// Whether `wildcard` is one, and includes the address. `[::]` includes IPv4 addresses, unless the
/// family is IPv6 only.
fn includes(wildcard: IpAddr, family: Family, address: IpAddr) -> bool {
    match wildcard {
        IpAddr::V4(ip) => ip.is_unspecified() && address.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified() && (address.is_ipv6() || family != Family::V6),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme();
        match self {
            Self::Inet { host, port, .. } => write!(f, "{scheme}://{host}:{port}"),
            Self::Unix { name, .. } => write!(f, "{scheme}:{name}"),
            Self::Icmp { host, .. } => write!(f, "{scheme}:{host}"),
            Self::Raw { protocol, host: Host::Ip(ip) } if ip.is_unspecified() => {
                write!(f, "{scheme}:{protocol}")
            }
            Self::Raw { protocol, host } => write!(f, "{scheme}:{protocol}:{host}"),
            Self::Fd(name) => write!(f, "{scheme}:{name}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Zoned(ip, zone) => write!(f, "[{ip}%{zone}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) if path.as_os_str().as_encoded_bytes().starts_with(b"@") => {
                write!(f, "./{}", path.display())
            }
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => {
                f.write_str("@")?;
                for byte in name {
                    match byte {
                        b'\\' => f.write_str("\\\\")?,
                        0x21..=0x7e => write!(f, "{}", *byte as char)?,
                        _ => write!(f, "\\x{byte:02x}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl From<UnixName> for Addr {
    fn from(name: UnixName) -> Self {
        match name {
            UnixName::Path(path) => Self::Path(path),
            UnixName::Abstract(name) => Self::Abstract(name),
        }
    }
}

/// The word before the colon of an [`Endpoint::Inet`].
pub(in crate::net) fn scheme(transport: Transport, family: Family) -> &'static str {
    match (transport, family) {
        (Transport::Tcp, Family::Any) => "tcp",
        (Transport::Tcp, Family::V4) => "tcp4",
        (Transport::Tcp, Family::V6) => "tcp6",
        (Transport::Udp, Family::Any) => "udp",
        (Transport::Udp, Family::V4) => "udp4",
        (Transport::Udp, Family::V6) => "udp6",
        (Transport::Rdm, _) => "rdm",
    }
}

/// The error for an endpoint of another type of socket.
pub(in crate::net) fn wrong_endpoint(endpoint: &Endpoint, purpose: &str, expected: &str) -> Error {
    let what = format!("invalid endpoint {endpoint} for {purpose}: expected {expected}");
    Error::new(ErrorKind::Endpoint, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_collide_if_they_have_an_address_and_a_port_in_common() {
        let table = [
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80", true),
            ("tcp://127.0.0.1:80", "127.0.0.1:80", true),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.2:80", false),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:81", false),
            ("tcp://127.0.0.1:80", "udp://127.0.0.1:80", false),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", false),
            ("tcp://[::]:80", "tcp://127.0.0.1:80", true),
            ("tcp6://[::]:80", "tcp://127.0.0.1:80", false),
            ("tcp6://[::]:80", "tcp://[::1]:80", true),
            ("tcp4://:80", "tcp://[::1]:80", false),
            ("tcp4://:80", "tcp://[::]:80", true),
            ("udp://Localhost:7", "udp://localhost:7", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unixpacket:/a", true),
            ("unix:@a", "unixpacket:@a", false),
            ("unix:@a", "unix:@a", true),
            ("unix:/a", "unix:/b", false),
        ];
        for (one, two, collide) in table {
            let [first, second]: [Endpoint; 2] = [one, two].map(|text| text.parse().unwrap());
            assert_eq!(first.collides(&second), collide, "{one} {two}");
            assert_eq!(second.collides(&first), collide, "{two} {one}");
        }
    }
}
