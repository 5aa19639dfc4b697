//! Bytes to a PROXY header: no socket and no clock.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};

/// How a header of version 1 begins.
const V1_START: &[u8] = b"PROXY ";

/// How a header of version 2 begins.
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, with the end of its line.
const V1_MOST: usize = 107;

/// What version 2 has before addresses and extensions: the start, the command, the family, and the
/// length of the rest.
const V2_FIXED: usize = 16;

/// The longest header of version 2 that is read. The format would allow 64 KiB of extensions; a
/// proxy that sends a certificate's name, an id and the like needs some hundred bytes.
const V2_MOST: usize = 4096;

/// A header that has arrived as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParsedHeader {
    /// Its length in bytes.
    pub(crate) length: usize,
    /// The client. `None`: the header names none (`LOCAL`, `UNKNOWN`, a Unix socket), as when the
    /// proxy itself checks the server's health; the addresses of the socket count.
    pub(crate) client: Option<SocketAddr>,
}

/// The bytes do not begin with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAHeader;

/// Parses the header at the beginning of `bytes`. `None`: all bytes belong to a header, and more of
/// them are to come.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ParsedHeader>, NotAHeader> {
    if is_start(bytes, V2_START) {
        parse_v2(bytes)
    } else if is_start(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Err(NotAHeader)
    }
}

/// Whether `bytes` begin with `start`, as far as they have come.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ParsedHeader>, NotAHeader> {
    let line = &bytes[..bytes.len().min(V1_MOST)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if bytes.len() < V1_MOST { Ok(None) } else { Err(NotAHeader) };
    };
    let length = end + 1;
    let line = line[..length].strip_suffix(b"\r\n").ok_or(NotAHeader)?;
    // Too short for its start if the line ends within it.
    let fields = line.get(V1_START.len()..).ok_or(NotAHeader)?;
    if fields == b"UNKNOWN" || fields.starts_with(b"UNKNOWN ") {
        // Whatever follows the word is to be ignored.
        return Ok(Some(ParsedHeader { length, client: None }));
    }
    // The crate reads numbers as Rust does, which allows a sign, and any word that begins with
    // UNKNOWN as that one.
    if !fields.starts_with(b"TCP") || fields.contains(&b'+') {
        return Err(NotAHeader);
    }
    addresses(&bytes[..length], true)
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ParsedHeader>, NotAHeader> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else { return Ok(None) };
    let &[.., command, _family, high, low] = fixed;
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    // The upper half of the byte is the version.
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(NotAHeader),
    };
    if length > V2_MOST {
        return Err(NotAHeader);
    }
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    if is_local {
        // The rest is to be skipped, the family included, whatever it is.
        return Ok(Some(ParsedHeader { length, client: None }));
    }
    addresses(whole, false)
}

/// Parses a header that is complete, of the first version or the second.
fn addresses(header: &[u8], is_v1: bool) -> Result<Option<ParsedHeader>, NotAHeader> {
    let config = ParseConfig { include_tlvs: false, allow_v1: is_v1, allow_v2: !is_v1 };
    // Also an error if the crate asks for more bytes: the addresses do not fit into the length.
    let (parsed, length) = ProxyHeader::parse(header, config).map_err(|_| NotAHeader)?;
    let client = parsed.proxied_address().map(|addresses| addresses.source);
    if length == header.len() { Ok(Some(ParsedHeader { length, client })) } else { Err(NotAHeader) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const IPV4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0xc3, 0x50, 0, 80];

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    }

    fn ipv6() -> Vec<u8> {
        let mut rest = vec![0x20, 0x01, 0x0d, 0xb8];
        rest.extend([0; 11]);
        rest.push(1);
        rest.extend([0; 16]);
        rest.extend([0xc3, 0x50, 0, 80]);
        rest
    }

    /// Headers, and the clients that they name.
    fn valid() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let tlv = |kind: u8, length: usize| {
            let mut tlv = vec![kind];
            tlv.extend(u16::try_from(length).unwrap().to_be_bytes());
            tlv.resize(3 + length, b'x');
            tlv
        };
        let unix = [b'/'; 216];
        let v1 = |text: &str| format!("PROXY {text}\r\n").into_bytes();
        let (four, six) = (Some("192.0.2.1:50000"), Some("[2001:db8::1]:50000"));
        vec![
            (v1("TCP4 192.0.2.1 10.0.0.1 50000 80"), four),
            (v1("TCP6 2001:db8::1 ::1 50000 80"), six),
            (v1("TCP6 ::ffff:192.0.2.1 ::1 50000 80"), Some("[::ffff:192.0.2.1]:50000")),
            (v1("UNKNOWN"), None),
            (v1("UNKNOWN ffff:f:f ffff:f 65535 65535"), None),
            (v1(&format!("UNKNOWN {}", "x".repeat(V1_MOST - 16))), None),
            (v2(0x21, 0x11, &IPV4), four),
            (v2(0x21, 0x21, &ipv6()), six),
            // The client of a proxy that speaks QUIC.
            (v2(0x21, 0x12, &IPV4), four),
            (v2(0x21, 0x22, &ipv6()), six),
            (v2(0x21, 0x11, &[&IPV4[..], &tlv(0x05, 128), &tlv(0x20, 300)].concat()), four),
            (v2(0x21, 0x11, &[&IPV4[..], &[0xff; 5]].concat()), four),
            (v2(0x21, 0x11, &[&IPV4[..], &tlv(4, V2_MOST - V2_FIXED - 15)].concat()), four),
            (v2(0x21, 0x31, &unix), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x00, &[7; 40]), None),
            (v2(0x20, 0x11, &IPV4), None),
            (v2(0x20, 0x11, &[]), None),
            (v2(0x20, 0x77, &[1, 2, 3]), None),
        ]
    }

    #[test]
    fn a_header_names_the_client_or_none_in_any_split_of_its_bytes() {
        for (header, client) in valid() {
            let text = header.escape_ascii().to_string();
            let client = client.map(|client| client.parse().unwrap());
            let expected = Ok(Some(ParsedHeader { length: header.len(), client }));
            assert_eq!(parse(&header), expected, "{text}");
            assert_eq!(parse(&[&header[..], REQUEST].concat()), expected, "{text}");
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Ok(None), "the first {length} of {text}");
            }
        }
    }

    #[test]
    fn anything_else_is_not_a_header() {
        let v1 = |text: &str| format!("PROXY {text}\r\n").into_bytes();
        let mut long = V2_START.to_vec();
        long.extend([0x21, 0x11, 0x0f, 0xf1]);
        for bytes in [
            REQUEST.to_vec(),
            b"\r\nGET / HTTP/1.1\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            b"PROXY\r\n".to_vec(),
            b"PROXYxTCP4 192.0.2.1 10.0.0.1 50000 80\r\n".to_vec(),
            b"proxy TCP4 192.0.2.1 10.0.0.1 50000 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 50000 80\n".to_vec(),
            v1(""),
            v1("UNKNOWNS"),
            v1("TCP4"),
            v1("TCP4 192.0.2.1 10.0.0.1 50000"),
            v1("TCP4 192.0.2.1 10.0.0.1 50000 80 "),
            v1("TCP4 192.0.2.1 10.0.0.1 50000 80 443"),
            v1("TCP4  192.0.2.1 10.0.0.1 50000 80"),
            v1("TCP4 192.0.2.1 10.0.0.1 +50000 80"),
            v1("TCP4 192.0.2.1 10.0.0.1 65536 80"),
            v1("TCP4 192.0.2.256 10.0.0.1 50000 80"),
            v1("TCP4 192.0.2.01 10.0.0.1 50000 80"),
            v1("TCP4 2001:db8::1 ::1 50000 80"),
            v1("TCP6 192.0.2.1 10.0.0.1 50000 80"),
            v1("TCP6 fe80::1%lo ::1 50000 80"),
            v1("UDP4 192.0.2.1 10.0.0.1 50000 80"),
            v1("TCP4 192.0.2.1 10.0.0.1 50000 80\r"),
            v1(&format!("UNKNOWN {}", "x".repeat(V1_MOST - 15))),
            [b"PROXY UNKNOWN ", &[b'x'; V1_MOST][..]].concat(),
            // The version, the command, the family, and lengths that the addresses do not fit in.
            v2(0x11, 0x11, &IPV4),
            v2(0x31, 0x11, &IPV4),
            v2(0x22, 0x11, &IPV4),
            v2(0x21, 0x01, &IPV4),
            v2(0x21, 0x13, &IPV4),
            v2(0x21, 0x41, &IPV4),
            v2(0x21, 0x11, &IPV4[..11]),
            v2(0x21, 0x21, &IPV4),
            v2(0x21, 0x31, &[0; 215]),
            long,
        ] {
            let whole = [&bytes[..], REQUEST].concat();
            assert_eq!(parse(&whole), Err(NotAHeader), "{}", whole.escape_ascii());
        }
    }

    #[test]
    fn a_header_that_is_too_long_is_recognized_before_all_of_it_has_come() {
        let line = [b"PROXY UNKNOWN ", &[b'x'; V1_MOST][..]].concat();
        assert_eq!(parse(&line[..V1_MOST - 1]), Ok(None));
        assert_eq!(parse(&line[..V1_MOST]), Err(NotAHeader));
        let length = u16::try_from(V2_MOST - V2_FIXED).unwrap();
        for (length, expected) in [(length, Ok(None)), (length + 1, Err(NotAHeader))] {
            let [high, low] = length.to_be_bytes();
            let fixed = [V2_START, &[0x20, 0, high, low]].concat();
            assert_eq!(parse(&fixed), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_part_of_a_header_until_they_are_one_or_none(
            start in prop::sample::select(vec![V1_START, V2_START, &b"PROXY TCP4 1"[..], b""]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            let whole = parse(&bytes);
            if let Ok(Some(header)) = whole {
                prop_assert!(header.length <= bytes.len() && header.length <= V2_MOST);
                prop_assert_eq!(parse(&bytes[..header.length]), whole);
            }
            for length in 0..bytes.len() {
                match parse(&bytes[..length]) {
                    Ok(None) => {}
                    // What was found in a part is found in the whole.
                    found => prop_assert_eq!(found, whole),
                }
            }
        }
    }
}
