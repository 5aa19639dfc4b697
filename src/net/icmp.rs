//! The bytes of ICMP echo and of the IPv4 header: no socket, no clock.

use std::net::Ipv4Addr;

/// An IPv4 header without options (RFC 791 §3.1), as `IP_HDRINCL` has the program build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Where it comes from; 0.0.0.0 lets the kernel fill it in (raw(7)).
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// The protocol of what follows.
    pub protocol: u8,
    /// How many routers it may pass.
    pub ttl: u8,
}

impl Ipv4Header {
    /// The header's bytes for a payload of that length. Identification and checksum are left zero:
    /// the kernel fills them in, and the length too (raw(7)).
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

    /// Reads the header of a packet that a raw socket received, and gives what follows it. `None`
    /// if it is none.
    ///
    /// # Examples
    /// ```
    /// use std::net::Ipv4Addr;
    /// use millpond::net::Ipv4Header;
    ///
    /// let localhost = Ipv4Addr::LOCALHOST;
    /// let header = Ipv4Header { source: localhost, destination: localhost, protocol: 253, ttl: 64 };
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

/// What an ICMP message says to the one who sent an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// An echo reply.
    Reply { id: u16, seq: u16, payload: &'a [u8] },
    /// An echo request of ours that could not be delivered; for IPv4 with its type and code.
    Undelivered { id: u16, seq: u16, kind: u8, code: u8 },
}

/// An echo request: RFC 792, or RFC 4443 §4.1 for IPv6, whose checksum the kernel fills in.
pub(super) fn echo_request(v6: bool, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![if v6 { 128 } else { 8 }, 0, 0, 0];
    out.extend(id.to_be_bytes());
    out.extend(seq.to_be_bytes());
    out.extend(payload);
    if !v6 {
        let sum = checksum(&out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

/// Reads an ICMP message. `None` if it does not concern an echo request, or is damaged.
pub(super) fn decode(v6: bool, message: &[u8]) -> Option<Message<'_>> {
    let (head, rest) = message.split_first_chunk::<8>()?;
    let (kind, code) = (head[0], head[1]);
    match (v6, kind) {
        (false, 0) | (true, 129) => {
            if !v6 && checksum(message) != 0 {
                return None;
            }
            let (id, seq) = id_seq(head);
            Some(Message::Reply { id, seq, payload: rest })
        }
        // Unreachable and time exceeded carry the packet that they are about (RFC 792).
        (false, 3 | 11) => {
            let (header, inner) = Ipv4Header::decode(rest)?;
            let (inner, _) = inner.split_first_chunk::<8>()?;
            let (id, seq) = id_seq(inner);
            (header.protocol == 1 && inner[0] == 8).then_some(Message::Undelivered {
                id,
                seq,
                kind,
                code,
            })
        }
        _ => None,
    }
}

fn id_seq(head: &[u8; 8]) -> (u16, u16) {
    (u16::from_be_bytes([head[4], head[5]]), u16::from_be_bytes([head[6], head[7]]))
}

/// The Internet checksum (RFC 1071). Over bytes that contain their own it is 0.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = bytes
        .chunks(2)
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // RFC 1071 §3 sums these to ddf2; the checksum is the complement.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn an_undelivered_request_is_known_by_what_it_carried() {
        let localhost = Ipv4Addr::LOCALHOST;
        let header = Ipv4Header { source: localhost, destination: localhost, protocol: 1, ttl: 1 };
        let request = echo_request(false, 7, 9, b"x");
        let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0];
        message.extend(header.encode(request.len()));
        message.extend(&request);
        let expected = Message::Undelivered { id: 7, seq: 9, kind: 11, code: 0 };
        assert_eq!(decode(false, &message), Some(expected));
        message.truncate(30);
        assert_eq!(decode(false, &message), None);
    }

    proptest! {
        #[test]
        fn a_reply_gives_back_what_was_asked(
            id: u16, seq: u16, payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut reply = echo_request(false, id, seq, &payload);
            prop_assert_eq!(checksum(&reply), 0);
            prop_assert_eq!(decode(false, &reply), None, "a request is no reply");
            // The checksum has to follow the type.
            reply[0] = 0;
            reply[2..4].fill(0);
            let sum = checksum(&reply);
            reply[2..4].copy_from_slice(&sum.to_be_bytes());
            let expected = Message::Reply { id, seq, payload: &payload };
            prop_assert_eq!(decode(false, &reply), Some(expected));
        }

        #[test]
        fn no_bytes_panic(v6: bool, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(v6, &bytes);
            let _ = Ipv4Header::decode(&bytes);
        }
    }
}
