//! [`ClientKey`] and [`Bucket`]: what distinguishes clients, and where their counters are.

use std::net::IpAddr;
use std::sync::atomic::AtomicU32;

/// How many buckets there are.
pub(crate) const CLIENT_BUCKETS: usize = 1024;

/// What distinguishes clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    /// An IPv4 address, also one mapped into IPv6.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: a subscriber usually can choose among all addresses
    /// of that prefix (RFC 6177 §2).
    V6Prefix([u8; 8]),
    /// The user at the other end of a Unix socket.
    Uid(u32),
    /// Nothing is known of the client. All such clients count as one.
    None,
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6Prefix([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The index of a client's counters. It travels with the client's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(pub(super) u16);

impl Bucket {
    /// The index into a table of [`CLIENT_BUCKETS`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A counter for each bucket.
pub(super) fn counters() -> Box<[AtomicU32]> {
    (0..CLIENT_BUCKETS).map(|_| AtomicU32::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_prefix_of_64_bits() {
        let key = |text: &str| ClientKey::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:127.0.0.1"), key("127.0.0.1"));
    }
}
