//! [`Ipv4Header`]: the bytes before the payload of a raw packet.

use std::net::Ipv4Addr;

/// An IPv4 header without options (RFC 791 §3.1). A raw socket receives it before the payload; with
/// `IP_HDRINCL` the program also builds it for what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// The source address. The kernel replaces 0.0.0.0 with its own (raw(7)).
    pub source: Ipv4Addr,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// The protocol of the payload: 1 for ICMP, 17 for UDP.
    pub protocol: u8,
    /// The time to live: how many routers may still forward the packet.
    pub ttl: u8,
}

impl Ipv4Header {
    /// The bytes of the header for a payload of `payload` bytes. Identification and checksum are
    /// zero: the kernel sets both, and the total length too (raw(7)).
    #[must_use]
    pub fn encode(&self, payload: usize) -> [u8; 20] {
        let mut out = [0; 20];
        out[0] = 0x45;
        out[2..4].copy_from_slice(&((20 + payload).min(65_535) as u16).to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol;
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..20].copy_from_slice(&self.destination.octets());
        out
    }

    /// Splits a packet that a raw socket received into its header and its payload. `None` if the
    /// packet does not start with a complete IPv4 header.
    ///
    /// # Examples
    /// ```
    /// use std::net::Ipv4Addr;
    /// use millpond::net::Ipv4Header;
    ///
    /// let ip = Ipv4Addr::LOCALHOST;
    /// let header = Ipv4Header { source: ip, destination: ip, protocol: 253, ttl: 64 };
    /// let mut packet = header.encode(2).to_vec();
    /// packet.extend(b"hi");
    /// assert_eq!(Ipv4Header::decode(&packet), Some((header, &b"hi"[..])));
    /// ```
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, _) = packet.split_first_chunk::<20>()?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] >> 4 != 4 || length < 20 {
            return None;
        }
        let [a, b, c, d] = [fixed[12], fixed[13], fixed[14], fixed[15]];
        let [e, f, g, h] = [fixed[16], fixed[17], fixed[18], fixed[19]];
        let header = Self {
            source: Ipv4Addr::new(a, b, c, d),
            destination: Ipv4Addr::new(e, f, g, h),
            protocol: fixed[9],
            ttl: fixed[8],
        };
        Some((header, packet.get(length..)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_packet_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv4Header::decode(&bytes);
        }
    }
}
