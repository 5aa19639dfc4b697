//! The grammar of endpoints: parses a text, or reports which part of it is invalid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::net::addr::UNIX_PATH_MAX;
use crate::net::endpoint::types::{Endpoint, Family, Host, Transport, UnixKind, UnixName};

const SCHEMES: &str = "tcp, tcp4, tcp6, udp, udp4, udp6, unix, unixgram, unixpacket, icmp, ip4, \
                       rdm or fd";
const EXAMPLE: &str = "tcp://[::]:8888";

/// IP protocols that have a name, as in /etc/protocols. Any protocol can be given by its number.
const PROTOCOLS: [(&str, u8); 9] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ospf", 89),
    ("sctp", 132),
];

impl Endpoint {
    /// Restricts the endpoint to a version of IP, as the options `-4` and `-6` of `millpond
    /// connect` do. An endpoint that does not use IP stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`] if the endpoint is for the other version already, by its scheme or
    /// by its address.
    pub fn with_family(mut self, wanted: Family) -> Result<Self, Error> {
        if wanted == Family::Any {
            return Ok(self);
        }
        let text = self.to_string();
        if let Self::Inet { family, host, .. } | Self::Icmp { family, host } = &mut self {
            if *family != Family::Any && *family != wanted {
                return Err(invalid(
                    &text,
                    "its scheme is for the other version of IP",
                    "tcp://localhost:8888",
                ));
            }
            check_family(&text, wanted, host)?;
            *family = wanted;
        }
        Ok(self)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Endpoint, Error> {
    if text.contains(char::is_control) {
        return Err(invalid(text, "it contains a control character", EXAMPLE));
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(schemeless(text));
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let inet = |transport, family| inet(text, rest, transport, family);
    match scheme {
        "tcp" => inet(Transport::Tcp, Family::Any),
        "tcp4" => inet(Transport::Tcp, Family::V4),
        "tcp6" => inet(Transport::Tcp, Family::V6),
        "udp" => inet(Transport::Udp, Family::Any),
        "udp4" => inet(Transport::Udp, Family::V4),
        "udp6" => inet(Transport::Udp, Family::V6),
        "rdm" => inet(Transport::Rdm, Family::Any),
        "unix" => unix(text, rest, UnixKind::Stream),
        "unixgram" => unix(text, rest, UnixKind::Datagram),
        "unixpacket" => unix(text, rest, UnixKind::Packet),
        "icmp" => {
            let host = plain_host(text, rest, "icmp:127.0.0.1")?;
            Ok(Endpoint::Icmp { family: Family::Any, host })
        }
        "ip4" => raw(text, rest),
        "fd" if rest.is_empty() => Err(invalid(text, "the descriptor is missing", "fd:3")),
        "fd" if rest.contains('/') => {
            Err(invalid(text, "a slash is not allowed in the name of a descriptor", "fd:3"))
        }
        "fd" => Ok(Endpoint::Fd(rest.to_owned())),
        _ if text.starts_with(['/', '.', '@']) => Err(schemeless(text)),
        _ if text[scheme.len()..].starts_with("://") || is_unknown_scheme(scheme, rest) => {
            let what = format!("unknown scheme {scheme:?}: expected {SCHEMES}");
            Err(invalid(text, &what, EXAMPLE))
        }
        _ => self::inet(text, text, Transport::Tcp, Family::Any),
    }
}

/// The error for an invalid text: what is wrong with it, and an example of a valid one.
fn invalid(text: &str, what: &str, example: &str) -> Error {
    Error::new(ErrorKind::Endpoint, format!("invalid endpoint {text:?}: {what}"))
        .with_hint(format!("an endpoint looks like {example}"))
}

/// Whether a text with several colons starts with an unknown scheme, and is not an IPv6 address
/// without its brackets.
fn is_unknown_scheme(scheme: &str, rest: &str) -> bool {
    rest.contains(':')
        && !rest.starts_with(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().any(|c| !c.is_ascii_hexdigit())
}

/// The error for a text without a scheme.
fn schemeless(text: &str) -> Error {
    if text.is_empty() {
        invalid(text, "it is empty", EXAMPLE)
    } else if text.starts_with(['/', '.', '@']) {
        invalid(text, "the scheme before the path is missing", &format!("unix:{text}"))
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        invalid(text, "the colon before the port is missing", &format!(":{text}"))
    } else {
        invalid(text, "the port is missing", &format!("tcp://{text}:8888"))
    }
}

fn inet(text: &str, rest: &str, transport: Transport, family: Family) -> Result<Endpoint, Error> {
    let example = match transport {
        Transport::Tcp => EXAMPLE,
        Transport::Udp => "udp://[::]:8888",
        Transport::Rdm => "rdm://127.0.0.1:8888",
    };
    let (host, port) = if rest.starts_with('[') {
        let end = rest
            .find(']')
            .ok_or_else(|| invalid(text, "the bracket after the address is missing", example))?;
        let (host, after) = rest.split_at(end + 1);
        let port = after.strip_prefix(':').ok_or_else(|| {
            invalid(text, "the colon and port after the bracket are missing", example)
        })?;
        (host, port)
    } else {
        let (host, port) =
            rest.rsplit_once(':').ok_or_else(|| invalid(text, "the port is missing", example))?;
        if host.contains(':') {
            return Err(invalid(text, "an IPv6 address needs brackets", "tcp://[::1]:8888"));
        }
        (host, port)
    };
    // The parser of u16 accepts "+80".
    let port = Some(port)
        .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|port| port.parse().ok())
        .ok_or_else(|| {
            invalid(text, &format!("invalid port {port:?}: expected 0 to 65535"), example)
        })?;
    let host = match (host, family) {
        ("", Family::V4) => Host::Ip(Ipv4Addr::UNSPECIFIED.into()),
        ("", _) => Host::Ip(Ipv6Addr::UNSPECIFIED.into()),
        _ => self::host(text, host, example)?,
    };
    check_family(text, family, &host)?;
    Ok(Endpoint::Inet { transport, family, host, port })
}

/// Checks that an address is of the version of IP that the scheme requires.
fn check_family(text: &str, family: Family, host: &Host) -> Result<(), Error> {
    let is_v6 = match host {
        Host::Ip(ip) => ip.is_ipv6(),
        Host::Zoned(..) => true,
        Host::Name(_) => return Ok(()),
    };
    match (family, is_v6) {
        (Family::V4, true) => Err(invalid(
            text,
            &format!("invalid host {host}: expected an IPv4 address"),
            "tcp4://127.0.0.1:8888",
        )),
        (Family::V6, false) => Err(invalid(
            text,
            &format!("invalid host {host}: expected an IPv6 address"),
            "tcp6://[::1]:8888",
        )),
        _ => Ok(()),
    }
}

fn host(text: &str, host: &str, example: &str) -> Result<Host, Error> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let (ip, zone) = match inner.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone)),
            None => (inner, None),
        };
        let ip: Ipv6Addr = ip
            .parse()
            .map_err(|_| invalid(text, &format!("invalid IPv6 address {ip:?}"), example))?;
        return match zone {
            None => Ok(Host::Ip(ip.into())),
            Some(zone) if is_interface(zone) => Ok(Host::Zoned(ip, zone.to_owned())),
            Some(zone) => Err(invalid(
                text,
                &format!("invalid zone {zone:?}: expected the name or number of an interface"),
                "tcp://[fe80::1%eth0]:8888",
            )),
        };
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(invalid(
            text,
            &format!("invalid IPv4 address {host:?}"),
            "tcp://127.0.0.1:8888",
        ));
    }
    // The characters of names for getaddrinfo(3). An international name needs its ASCII form.
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.len() > 253 || !host.bytes().all(is_valid) || host.starts_with(['-', '.']) {
        return Err(invalid(text, &format!("invalid host name {host:?}"), "tcp://localhost:8888"));
    }
    Ok(Host::Name(host.to_owned()))
}

/// A host without a port after it. The brackets of an IPv6 address are optional there.
fn plain_host(text: &str, rest: &str, example: &str) -> Result<Host, Error> {
    match rest.parse::<IpAddr>() {
        Ok(ip) => Ok(Host::Ip(ip)),
        Err(_) if rest.is_empty() => Err(invalid(text, "the host is missing", example)),
        Err(_) => host(text, rest, example),
    }
}

fn is_interface(zone: &str) -> bool {
    // IFNAMSIZ is 16, including the NUL.
    (1..16).contains(&zone.len())
        && !zone.contains(|c: char| c.is_whitespace() || matches!(c, '/' | ':' | '%' | '[' | ']'))
}

fn unix(text: &str, rest: &str, kind: UnixKind) -> Result<Endpoint, Error> {
    let example = "unix:/run/millpond.sock";
    let (name, length) = match rest.strip_prefix('@') {
        Some("") => return Err(invalid(text, "the abstract name is missing", "unix:@millpond")),
        Some(name) => {
            let name = unescape(name).ok_or_else(|| {
                invalid(text, "a backslash must be written \\\\, or start \\xNN", "unix:@millpond")
            })?;
            let length = name.len();
            (UnixName::Abstract(name), length)
        }
        None if rest.is_empty() => return Err(invalid(text, "the path is missing", example)),
        None => {
            // "unix:////run" becomes "/run", so that the displayed endpoint parses to the same one.
            let path = match rest.trim_start_matches('/') {
                short if rest.starts_with('/') => format!("/{short}"),
                short => short.to_owned(),
            };
            let length = path.len();
            (UnixName::Path(path.into()), length)
        }
    };
    if length > UNIX_PATH_MAX {
        // `sun_path` has room for 108 bytes with the NUL.
        let what = format!("invalid name of {length} bytes: expected at most {UNIX_PATH_MAX}");
        return Err(invalid(text, &what, example));
    }
    Ok(Endpoint::Unix { kind, name })
}

fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            b'x' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push((high * 16 + low) as u8);
            }
            _ => return None,
        }
    }
    Some(out)
}

fn raw(text: &str, rest: &str) -> Result<Endpoint, Error> {
    let example = "ip4:icmp:127.0.0.1";
    let (protocol, host) = match rest.split_once(':') {
        Some((protocol, host)) => (protocol, plain_host(text, host, example)?),
        None => (rest, Host::Ip(Ipv4Addr::UNSPECIFIED.into())),
    };
    check_family(text, Family::V4, &host)?;
    let known = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, number)| *number);
    let number = known.or_else(|| protocol.parse().ok()).ok_or_else(|| {
        invalid(
            text,
            &format!("invalid protocol {protocol:?}: expected a name or 0 to 255"),
            example,
        )
    })?;
    Ok(Endpoint::Raw { protocol: number, host })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_parsed_and_displayed_in_its_full_form() {
        let table = [
            ("tcp://[::]:8888", "tcp://[::]:8888"),
            ("tcp:127.0.0.1:80", "tcp://127.0.0.1:80"),
            (":8888", "tcp://[::]:8888"),
            ("localhost:0", "tcp://localhost:0"),
            ("[::1]:65535", "tcp://[::1]:65535"),
            ("10.0.0.1:1", "tcp://10.0.0.1:1"),
            ("tcp4::80", "tcp4://0.0.0.0:80"),
            ("tcp6://:80", "tcp6://[::]:80"),
            ("udp://[fe80::1%eth0]:53", "udp://[fe80::1%eth0]:53"),
            ("udp4:localhost:53", "udp4://localhost:53"),
            ("udp6::53", "udp6://[::]:53"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:///run/x.sock", "unix:/run/x.sock"),
            ("unix:////run/x", "unix:/run/x"),
            ("unix:rel/x", "unix:rel/x"),
            ("unix:@pond", "unix:@pond"),
            ("unix:@a\\x00\\\\b", "unix:@a\\x00\\\\b"),
            ("unixgram:/x", "unixgram:/x"),
            ("unixpacket:@p", "unixpacket:@p"),
            ("icmp:127.0.0.1", "icmp:127.0.0.1"),
            ("icmp:::1", "icmp:[::1]"),
            ("icmp://localhost", "icmp:localhost"),
            ("ip4:icmp", "ip4:1"),
            ("ip4:253:127.0.0.1", "ip4:253:127.0.0.1"),
            ("rdm:127.0.0.1:9", "rdm://127.0.0.1:9"),
            ("fd:3", "fd:3"),
            ("fd:web", "fd:web"),
        ];
        for (text, expected) in table {
            let endpoint = parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(endpoint.to_string(), expected, "{text}");
            assert_eq!(
                parse(expected).unwrap(),
                endpoint,
                "{text} is displayed as another endpoint"
            );
        }
    }

    #[test]
    fn an_error_names_the_invalid_part_and_shows_a_valid_endpoint() {
        let long = format!("unix:/{}", "x".repeat(107));
        let table = [
            ("", "it is empty", "tcp://[::]:8888"),
            ("8888", "the colon before the port is missing", ":8888"),
            ("localhost", "the port is missing", "tcp://localhost:8888"),
            ("tcp:localhost", "the port is missing", "tcp://[::]:8888"),
            (
                "tcp://localhost:http",
                "invalid port \"http\": expected 0 to 65535",
                "tcp://[::]:8888",
            ),
            ("tcp://localhost:65536", "invalid port \"65536\"", ""),
            ("tcp://localhost:+80", "invalid port \"+80\"", ""),
            ("tcp://localhost:", "invalid port \"\"", ""),
            ("tcp://::1:80", "needs brackets", "tcp://[::1]:8888"),
            ("::1:80", "needs brackets", "tcp://[::1]:8888"),
            ("tcp://[::1", "the bracket after the address is missing", ""),
            ("tcp://[::1]80", "the colon and port after", ""),
            ("tcp://[::g]:80", "invalid IPv6 address \"::g\"", ""),
            ("tcp://[fe80::1%]:80", "invalid zone \"\"", "%eth0"),
            ("tcp4://[::1]:80", "invalid host [::1]: expected an IPv4", "tcp4://127.0.0.1:8888"),
            (
                "tcp6://127.0.0.1:80",
                "invalid host 127.0.0.1: expected an IPv6",
                "tcp6://[::1]:8888",
            ),
            ("tcp://256.1.1.1:80", "invalid IPv4 address \"256.1.1.1\"", ""),
            ("tcp://a b:80", "invalid host name \"a b\"", ""),
            ("http://localhost:80", "unknown scheme \"http\"", "tcp://[::]:8888"),
            ("sctp:localhost:80", "unknown scheme \"sctp\"", ""),
            ("/run/x.sock", "the scheme before the path is missing", "unix:/run/x.sock"),
            ("unix:", "the path is missing", "unix:/run/millpond.sock"),
            ("unix:@", "the abstract name is missing", "unix:@millpond"),
            ("unix:@\\y", "a backslash", ""),
            (&long, "invalid name of 108 bytes: expected at most 107", ""),
            ("icmp:", "the host is missing", "icmp:127.0.0.1"),
            ("ip4:256", "invalid protocol \"256\"", "ip4:icmp:127.0.0.1"),
            ("fd:", "the descriptor is missing", "fd:3"),
            ("a\nb:1", "control character", ""),
        ];
        for (text, what, example) in table {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Endpoint);
            assert!(error.to_string().contains(what), "{error} lacks {what:?}");
            assert!(error.hint().is_some_and(|hint| hint.contains(example)), "{:?}", error.hint());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_displayed_parses_back(text in "[ -~]{0,40}|(tcp|udp6|unix|\
            unixgram|icmp|ip4|rdm|fd):(//)?[@/]?[a-z0-9.:%\\\\x\\[\\]/-]{0,24}") {
            if let Ok(endpoint) = parse(&text) {
                let displayed = endpoint.to_string();
                prop_assert_eq!(parse(&displayed).unwrap(), endpoint, "{}", displayed);
            }
        }

        #[test]
        fn an_abstract_name_of_any_bytes_parses_to_itself(
            name in proptest::collection::vec(any::<u8>(), 1..=UNIX_PATH_MAX),
        ) {
            let name = UnixName::Abstract(name);
            let endpoint = Endpoint::Unix { kind: UnixKind::Stream, name };
            prop_assert_eq!(parse(&endpoint.to_string()).unwrap(), endpoint);
        }
    }
}
