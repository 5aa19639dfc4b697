//! The request line: method, target in its four forms, version; and what may stand for a host.

use std::net::Ipv6Addr;
use std::ops::Range;

use bytes::Bytes;
use http::{Method, Uri, Version};
use memchr::{memchr, memchr2_iter};

use super::scan::{METHOD_MAX, is_target};
use crate::http::codec::reject::Reject;

/// A request line, with the target still as bytes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) method: Method,
    /// Where the target stands in the input.
    pub(super) target: Range<usize>,
    pub(super) form: Form,
    pub(super) version: Version,
    /// Where the field lines begin.
    pub(super) end: usize,
}

/// The form of a target (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Origin,
    /// With the place of its authority in the input.
    Absolute(Range<usize>),
    Authority,
    Asterisk,
}

/// Reads the request line at the start of `input`, which has it whole.
pub(super) fn read_line(input: &[u8], target_max: usize) -> Result<Line, Reject> {
    let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let (method, target_start) = read_method(input, start)?;
    let rest = &input[target_start..];
    let length = rest.iter().position(|&b| !is_target(b)).ok_or(Reject::RequestLine)?;
    if length > target_max {
        return Err(Reject::TargetTooLong);
    }
    let target = target_start..target_start + length;
    let (version, version_length) = read_version(&rest[length..])?;
    let end = target.end + version_length;
    check_path(&input[target.clone()])?;
    let form = form_of(&input[target.clone()], &method, target_start)?;
    Ok(Line { method, target, form, version, end })
}

/// Says of a request line that has just come whole what is wrong with it.
pub(super) fn check_line(input: &[u8], target_max: usize) -> Result<(), Reject> {
    let line = read_line(input, target_max)?;
    to_uri(Bytes::copy_from_slice(&input[line.target])).map(drop)
}

/// The target as a URI. `target` has only bytes that [`is_target`] allows.
pub(super) fn to_uri(target: Bytes) -> Result<Uri, Reject> {
    if target.as_ref() == b"/" {
        return Ok(Uri::default());
    }
    if target.len() >= usize::from(u16::MAX) {
        // What the `http` crate can hold; the setting for the limit may be above.
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
    const END: usize = b" HTTP/1.1\r\n".len();
    if rest.starts_with(b" HTTP/1.1\r\n") {
        return Ok((Version::HTTP_11, END));
    }
    if rest.first() != Some(&b' ') {
        return Err(Reject::RequestLine);
    }
    let [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..] = *rest else {
        return Err(Reject::VersionSyntax);
    };
    match (major, minor) {
        (b'1', b'0') => Ok((Version::HTTP_10, END)),
        // A higher minor version is understood as the highest that is spoken (RFC 9110 §2.5).
        (b'1', b'1'..=b'9') => Ok((Version::HTTP_11, END)),
        (b'0'..=b'9', b'0'..=b'9') => Err(Reject::VersionUnknown),
        _ => Err(Reject::VersionSyntax),
    }
}

/// Refuses a path with what some readers take for a slash or for its end: `\\`, which no URI may
/// have (RFC 3986 §3.3), and an encoded NUL. Browsers leave `\\` in queries as it is, so there it
/// passes.
fn check_path(target: &[u8]) -> Result<(), Reject> {
    let path = memchr(b'?', target).map_or(target, |end| &target[..end]);
    for at in memchr2_iter(b'\\', b'%', path) {
        if path[at] == b'\\' || path[at..].starts_with(b"%00") {
            return Err(Reject::Path);
        }
    }
    Ok(())
}

fn form_of(target: &[u8], method: &Method, start: usize) -> Result<Form, Reject> {
    if method == Method::CONNECT {
        // The port may not be left out (RFC 9110 §9.3.6).
        return match split_authority(target) {
            Some((host, Some(port))) if !host.is_empty() && port != 0 => Ok(Form::Authority),
            _ => Err(Reject::TargetForm),
        };
    }
    match target {
        [] => Err(Reject::RequestLine),
        [b'/', ..] => Ok(Form::Origin),
        b"*" if method == Method::OPTIONS => Ok(Form::Asterisk),
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
            // RFC 9110 §7.4: the connection is a plain one, so it can be none for an https URI.
            if target[..5].eq_ignore_ascii_case(b"https") {
                return Err(Reject::SchemeMisdirected);
            }
            Ok(Form::Absolute(start + authority.start..start + authority.end))
        }
    }
}

/// Where in an absolute-form target the authority stands; none in any other target.
fn authority_of(target: &[u8]) -> Option<Range<usize>> {
    let start = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let begin = target.get(..scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let length = target[start..].iter().position(|b| matches!(b, b'/' | b'?'));
    Some(start..length.map_or(target.len(), |length| start + length))
}

/// The host that a value of Host names, perhaps empty, perhaps before a port (RFC 9110 §7.2);
/// `None` if the value is no such thing.
pub(super) fn host_of(value: &[u8]) -> Option<&[u8]> {
    split_authority(value).map(|(host, _)| host)
}

/// Takes `host [":" port]` apart (RFC 3986 §3.2.2, §3.2.3); `None` if it is no such thing. An empty
/// port counts as none.
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

/// How long the registered name at the start is; `None` if a percent sign in it starts no escape.
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
    fn a_host_is_a_name_or_an_address_with_perhaps_a_port() {
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
        let place =
            |target: &'static str| authority_of(target.as_bytes()).map(|range| &target[range]);
        assert_eq!(place("http://a/b"), Some("a"));
        assert_eq!(place("HTTPS://a:1?b"), Some("a:1"));
        assert_eq!(place("http://a"), Some("a"));
        assert_eq!(place("http:/a"), None);
        assert_eq!(place("ftp://a"), None);
    }
}
