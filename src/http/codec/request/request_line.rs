//! The request line: method, target in its four forms, version; and the grammar of a host.

use std::net::Ipv6Addr;
use std::ops::Range;

use bytes::Bytes;
use http::{Method, Uri, Version};
use memchr::{memchr, memchr2_iter};

use crate::http::codec::byte_class::is_target_byte;
use crate::http::codec::reject::Reject;

/// Bytes of the longest method that is passed to the handler. Registered methods have up to 17.
pub(super) const METHOD_MAX: usize = 64;

/// A request line, with the target still as bytes.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    /// The position of the target in the input.
    pub(super) target: Range<usize>,
    pub(super) form: TargetForm,
    pub(super) version: Version,
    /// The position of the first field line.
    pub(super) end: usize,
}

/// The form of a target (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TargetForm {
    Origin,
    /// With the position of its authority in the input.
    Absolute(Range<usize>),
    Authority,
    Asterisk,
}

/// Reads the request line at the start of `input`, which contains all of it. `secure`: whether it
/// came through an encrypted connection.
pub(super) fn read(
    input: &[u8],
    (target_max, secure): (usize, bool),
) -> Result<RequestLine, Reject> {
    let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let (method, target_start) = read_method(input, start)?;
    let rest = &input[target_start..];
    let length = rest.iter().position(|&b| !is_target_byte(b)).ok_or(Reject::RequestLine)?;
    if length > target_max {
        return Err(Reject::TargetTooLong);
    }
    let target = target_start..target_start + length;
    let (version, version_length) = read_version(&rest[length..])?;
    let end = target.end + version_length;
    check_path(&input[target.clone()])?;
    let form = form_of(&input[target.clone()], &method, target_start, secure)?;
    Ok(RequestLine { method, target, form, version, end })
}

/// Checks a request line whose last byte has just arrived.
pub(super) fn check(input: &[u8], limits: (usize, bool)) -> Result<(), Reject> {
    let line = read(input, limits)?;
    to_uri(Bytes::copy_from_slice(&input[line.target])).map(drop)
}

/// The target as a URI. `target` has only bytes that [`is_target_byte`] allows.
pub(super) fn to_uri(target: Bytes) -> Result<Uri, Reject> {
    if target.as_ref() == b"/" {
        return Ok(Uri::default());
    }
    if target.len() >= usize::from(u16::MAX) {
        // A `Uri` of the `http` crate has at most this length; the setting may allow more.
        return Err(Reject::TargetTooLong);
    }
    Uri::from_maybe_shared(target).map_err(|_| Reject::Target)
}

fn read_method(input: &[u8], start: usize) -> Result<(Method, usize), Reject> {
    let rest = &input[start..];
    if rest.starts_with(b"GET ") {
        return Ok((Method::GET, start + 4));
    }
    let window = &rest[..rest.len().min(METHOD_MAX + 1)];
    let Some(length) = window.iter().position(|&b| b == b' ') else {
        return Err(if window.len() > METHOD_MAX {
            Reject::MethodTooLong
        } else {
            Reject::RequestLine
        });
    };
    let method = Method::from_bytes(&rest[..length]).map_err(|_| Reject::NotHttp)?;
    Ok((method, start + length + 1))
}

/// Reads ` HTTP/1.1` and the line end; returns the version and the length of the whole.
fn read_version(rest: &[u8]) -> Result<(Version, usize), Reject> {
    const VERSION_LEN: usize = b" HTTP/1.1\r\n".len();
    if rest.starts_with(b" HTTP/1.1\r\n") {
        return Ok((Version::HTTP_11, VERSION_LEN));
    }
    if rest.first() != Some(&b' ') {
        return Err(Reject::RequestLine);
    }
    let [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..] = *rest else {
        return Err(Reject::VersionSyntax);
    };
    match (major, minor) {
        (b'1', b'0') => Ok((Version::HTTP_10, VERSION_LEN)),
        // A higher minor version is treated as the highest that the server implements
        // (RFC 9110 §2.5).
        (b'1', b'1'..=b'9') => Ok((Version::HTTP_11, VERSION_LEN)),
        (b'0'..=b'9', b'0'..=b'9') => Err(Reject::VersionUnknown),
        _ => Err(Reject::VersionSyntax),
    }
}

/// Refuses a path with a byte that some readers take for a slash or for the end: `\\`, which no URI
/// may have (RFC 3986 §3.3), and an encoded NUL. Browsers do not escape `\\` in queries, so it is
/// accepted there.
fn check_path(target: &[u8]) -> Result<(), Reject> {
    let path = memchr(b'?', target).map_or(target, |end| &target[..end]);
    for at in memchr2_iter(b'\\', b'%', path) {
        if path[at] == b'\\' || path[at..].starts_with(b"%00") {
            return Err(Reject::Path);
        }
    }
    Ok(())
}

fn form_of(
    target: &[u8],
    method: &Method,
    start: usize,
    secure: bool,
) -> Result<TargetForm, Reject> {
    if method == Method::CONNECT {
        // The port is mandatory (RFC 9110 §9.3.6).
        return match split_authority(target) {
            Some((host, Some(port))) if !host.is_empty() && port != 0 => Ok(TargetForm::Authority),
            _ => Err(Reject::TargetForm),
        };
    }
    match target {
        [] => Err(Reject::RequestLine),
        [b'/', ..] => Ok(TargetForm::Origin),
        b"*" if method == Method::OPTIONS => Ok(TargetForm::Asterisk),
        _ => {
            let authority = authority_of(target).ok_or(Reject::TargetForm)?;
            let bytes = &target[authority.clone()];
            if bytes.contains(&b'@') {
                return Err(Reject::Userinfo);
            }
            match split_authority(bytes) {
                // RFC 9110 §4.2.1: an http URI without a host is invalid.
                Some((host, _)) if !host.is_empty() => {}
                _ => return Err(Reject::TargetForm),
            }
            // RFC 9110 §7.4: an https URI must not be served over a connection without TLS, and an
            // http URI names another server.
            let is_https = target[..5].eq_ignore_ascii_case(b"https");
            if is_https != secure {
                return Err(match is_https {
                    true => Reject::SchemeMisdirected,
                    false => Reject::SchemeInsecure,
                });
            }
            Ok(TargetForm::Absolute(start + authority.start..start + authority.end))
        }
    }
}

/// The position of the authority in an absolute-form target; `None` for any other target.
fn authority_of(target: &[u8]) -> Option<Range<usize>> {
    let start = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let begin = target.get(..scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let length = target[start..].iter().position(|b| matches!(b, b'/' | b'?'));
    Some(start..length.map_or(target.len(), |length| start + length))
}

/// The host in the value of Host, without the port (RFC 9110 §7.2). It may be empty. `None`: the
/// value is not a valid host with an optional port.
pub(super) fn host_of(value: &[u8]) -> Option<&[u8]> {
    split_authority(value).map(|(host, _)| host)
}

/// Splits `host [":" port]` (RFC 3986 §3.2.2, §3.2.3); `None` if the authority is malformed. An
/// empty port counts as none.
fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match authority {
        [b'[', rest @ ..] => {
            let length = rest.iter().position(|&b| b == b']')?;
            let address = std::str::from_utf8(&rest[..length]).ok()?;
            address.parse::<Ipv6Addr>().ok()?;
            length + 2
        }
        _ => name_length(authority)?,
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    Some((host, port))
}

/// The length of the registered name at the start; `None` if it has a malformed percent escape.
fn name_length(authority: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = authority.get(at) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => at += 1,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => at += 1,
            b'%' if authority.get(at + 1..at + 3)?.iter().all(u8::is_ascii_hexdigit) => at += 3,
            b'%' => return None,
            _ => break,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "",
            "a",
            "a.example",
            "a.example:",
            "a.example:80",
            "127.0.0.1:8888",
            "[::1]",
            "[::1]:80",
            "a_b",
            "%41",
            ":80",
            "a.example:00080",
        ] {
            assert!(host_of(host.as_bytes()).is_some(), "{host}");
        }
        for host in [
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:80:80",
            "a:65536",
            "[::1",
            "::1",
            "[::1]80",
            "[x]",
            "[fe80::1%25eth0]",
            "%4",
            "%zz",
            "a:-1",
            "a:+1",
            "a?b",
            "a#b",
            "é",
            "a\\b",
            "[]",
        ] {
            assert!(host_of(host.as_bytes()).is_none(), "{host}");
        }
    }

    #[test]
    fn the_authority_of_an_absolute_target_ends_at_the_path_or_the_query() {
        let authority =
            |target: &'static str| authority_of(target.as_bytes()).map(|range| &target[range]);
        assert_eq!(authority("http://a/b"), Some("a"));
        assert_eq!(authority("HTTPS://a:1?b"), Some("a:1"));
        assert_eq!(authority("http://a"), Some("a"));
        assert_eq!(authority("http:/a"), None);
        assert_eq!(authority("ftp://a"), None);
    }
}
