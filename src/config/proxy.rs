//! [`Proxy`]: which proxies in front of the server are trusted, and in which field they name their
//! clients.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::net::Addr;

/// Which proxies in front of the server are trusted, and in which field they name their clients.
///
/// # Examples
/// ```
/// use millpond::Config;
///
/// let mut config = Config::default();
/// config.proxy.trusted = vec!["10.0.0.0/8".parse()?, "unix".parse()?];
/// config.proxy.header = "X-Real-IP".to_owned();
/// config.check()?;
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Proxy {
    /// The peers that the server believes about their clients: the proxies in front of it, and
    /// those in front of them. Default: none. The fields of other peers are ignored.
    pub trusted: Vec<TrustedPeer>,
    /// The request field in which a trusted proxy names its client: `Forwarded` (RFC 7239), or a
    /// field with an address or a list of addresses, to which each proxy appends the address of
    /// its own peer. Default: `X-Forwarded-For`. Empty: no such field.
    pub header: String,
    /// Whether `trusted` may contain `0.0.0.0/0` or `::/0`, with which every client may claim any
    /// address. Default: false.
    pub trust_all: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: "X-Forwarded-For".to_owned(), trust_all: false }
    }
}

impl Proxy {
    /// Whether this peer of a connection is trusted.
    pub(crate) fn trusts(&self, peer: &Addr) -> bool {
        self.trusted.iter().any(|trusted| trusted.is(peer))
    }
}

/// A peer, or several, that the server believes about their clients.
///
/// As text it is a network (`10.0.0.0/8`, `2001:db8::/32`), an address, or `unix` for every peer on
/// a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrustedPeer {
    /// The addresses of a network.
    Network(Network),
    /// All peers on Unix sockets.
    Unix,
}

impl TrustedPeer {
    fn is(&self, peer: &Addr) -> bool {
        match (self, peer.as_socket()) {
            (Self::Network(network), Some(addr)) => network.contains(addr.ip()),
            (Self::Unix, None) => true,
            _ => false,
        }
    }

    /// Whether this address, which another trusted peer has named, is trusted.
    pub(crate) fn is_address(&self, address: IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.contains(address))
    }
}

impl FromStr for TrustedPeer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.eq_ignore_ascii_case("unix") {
            return Ok(Self::Unix);
        }
        text.parse().map(Self::Network)
    }
}

impl fmt::Display for TrustedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// A network of IP addresses: an address, and how many of its bits all others share.
///
/// # Examples
/// ```
/// use millpond::config::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
/// let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid network \"10.1.2.3/8\": expected 10.0.0.0/8");
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address. The bits behind the prefix are zero.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is in the network. An IPv4 address that is mapped into IPv6
    /// (`::ffff:192.0.2.1`) counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4() && first(address, self.prefix) == self.address
    }

    /// Whether it contains every address of its version of IP.
    pub(super) fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// The first address of the network with this prefix that contains `address`.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |expected: &str| {
            let message = format!("invalid network {text:?}: expected {expected}");
            Error::new(ErrorKind::Config, message)
        };
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address
            .parse()
            .map_err(|_| wrong("a network such as 10.0.0.0/8 or 2001:db8::/32, or an address"))?;
        let most = bits(address);
        let prefix = match text.contains('/') {
            true => prefix.parse().ok().filter(|prefix| *prefix <= most),
            false => Some(most),
        };
        let prefix = prefix.ok_or_else(|| wrong(&format!("a prefix of 0 to {most} bits")))?;
        let network = match address.to_canonical() {
            // A network of IPv4 that is mapped into IPv6.
            mapped @ IpAddr::V4(_) if address.is_ipv6() && prefix >= 96 => {
                Self { address: mapped, prefix: prefix - 96 }
            }
            _ => Self { address, prefix },
        };
        let begin = first(network.address, network.prefix);
        if begin != network.address {
            // It may be a slip: both 10.1.2.3/32 and 10.0.0.0/8 could be meant.
            return Err(wrong(&format!("{begin}/{}", network.prefix)));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        match self.prefix == bits(self.address) {
            true => Ok(()),
            false => write!(f, "/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_that_share_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("128.0.0.0/1", "255.1.1.1", "127.1.1.1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(parsed.to_string().parse::<Network>().unwrap(), parsed);
        }
    }

    #[test]
    fn an_invalid_network_names_what_was_expected() {
        for (text, expected) in [
            ("", "a network such as 10.0.0.0/8"),
            ("10.0.0/8", "a network such as 10.0.0.0/8"),
            ("proxy.example/8", "a network such as 10.0.0.0/8"),
            ("10.0.0.0/33", "a prefix of 0 to 32 bits"),
            ("10.0.0.0/", "a prefix of 0 to 32 bits"),
            ("::/129", "a prefix of 0 to 128 bits"),
            ("2001:db8::1/32", "expected 2001:db8::/32"),
            (" 10.0.0.0/8", "a network such as 10.0.0.0/8"),
            ("10.0.0.0:80", "a network such as 10.0.0.0/8"),
        ] {
            let error = text.parse::<TrustedPeer>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid network {text:?}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn peers_are_trusted_by_their_address_or_as_peers_on_unix_sockets() {
        let mut proxy = Proxy::default();
        let ip = Addr::Ip("10.1.2.3:9".parse().unwrap());
        assert!(!proxy.trusts(&ip) && !proxy.trusts(&Addr::Unnamed), "an empty list trusts none");
        proxy.trusted = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(proxy.trusts(&ip) && !proxy.trusts(&Addr::Unnamed));
        proxy.trusted = vec!["unix".parse().unwrap()];
        assert!(!proxy.trusts(&ip) && proxy.trusts(&Addr::Unnamed));
        assert!(proxy.trusts(&Addr::Path("/run/x".into())));
    }
}
