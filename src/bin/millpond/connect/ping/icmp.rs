//! The bytes of ICMP echo requests and replies: no socket, no clock.

use millpond::net::Ipv4Header;

/// An ICMP message that concerns an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EchoResult<'a> {
    /// An echo reply.
    Reply { id: u16, seq: u16, payload: &'a [u8] },
    /// A router or host reports that an echo request was not delivered; `kind` and `code` are the
    /// type and code of its message. Only of IPv4.
    Undelivered { id: u16, seq: u16, kind: u8, code: u8 },
}

/// Encodes an echo request: RFC 792, or RFC 4443 §4.1 for IPv6, where the kernel sets the checksum.
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

/// Decodes an ICMP message. `None` if it does not concern an echo request, or its checksum is
/// wrong.
pub(super) fn decode(v6: bool, message: &[u8]) -> Option<EchoResult<'_>> {
    let (head, rest) = message.split_first_chunk::<8>()?;
    let (kind, code) = (head[0], head[1]);
    match (v6, kind) {
        (false, 0) | (true, 129) => {
            if !v6 && checksum(message) != 0 {
                return None;
            }
            let (id, seq) = id_seq(head);
            Some(EchoResult::Reply { id, seq, payload: rest })
        }
        // "Destination unreachable" and "time exceeded" contain the start of the packet that they
        // report (RFC 792).
        (false, 3 | 11) => {
            let (header, inner) = Ipv4Header::decode(rest)?;
            let (inner, _) = inner.split_first_chunk::<8>()?;
            let (id, seq) = id_seq(inner);
            (header.protocol == 1 && inner[0] == 8).then_some(EchoResult::Undelivered {
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

/// The Internet checksum (RFC 1071). It is 0 for bytes that contain their own checksum.
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
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // RFC 1071 §3 sums these to ddf2; the checksum is the complement.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn an_undelivered_request_is_recognised_by_the_packet_in_the_report() {
        let localhost = Ipv4Addr::LOCALHOST;
        let header = Ipv4Header { source: localhost, destination: localhost, protocol: 1, ttl: 1 };
        let request = echo_request(false, 7, 9, b"x");
        let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0];
        message.extend(header.encode(request.len()));
        message.extend(&request);
        let expected = EchoResult::Undelivered { id: 7, seq: 9, kind: 11, code: 0 };
        assert_eq!(decode(false, &message), Some(expected));
        message.truncate(30);
        assert_eq!(decode(false, &message), None);
    }

    proptest! {
        #[test]
        fn a_reply_repeats_the_id_the_number_and_the_payload(
            id: u16, seq: u16, payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut reply = echo_request(false, id, seq, &payload);
            prop_assert_eq!(checksum(&reply), 0);
            prop_assert_eq!(decode(false, &reply), None, "a request is not a reply");
            // Another type has another checksum.
            reply[0] = 0;
            reply[2..4].fill(0);
            let sum = checksum(&reply);
            reply[2..4].copy_from_slice(&sum.to_be_bytes());
            let expected = EchoResult::Reply { id, seq, payload: &payload };
            prop_assert_eq!(decode(false, &reply), Some(expected));
        }

        #[test]
        fn no_message_panics(v6: bool, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(v6, &bytes);
        }
    }
}
