//! The walk from the right, through the members of all field lines.

use std::net::SocketAddr;

use super::node::node;
use crate::http::list::split;

/// What a trusted proxy says about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The client. Its port is 0 if the field has none. `None`: it is the peer.
    pub(crate) client: Option<SocketAddr>,
    /// Whether the client used https, if the fields say so.
    pub(crate) is_https: Option<bool>,
}

/// What a member of the field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// An address: `X-Forwarded-For`, `X-Real-IP`.
    Addresses,
    /// `for=192.0.2.1;proto=https` (RFC 7239 §4).
    Forwarded,
}

/// Walks through the members from the right; see the module.
pub(super) fn walk<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    grammar: Grammar,
    is_trusted: impl Fn(SocketAddr) -> bool,
) -> Forwarded {
    let mut found = Forwarded::default();
    for line in lines.rev() {
        let mut rest = Some(line);
        while let Some(text) = rest {
            let (before, member) = last_member(text, grammar);
            rest = before;
            let hop = match grammar {
                Grammar::Addresses => node(member).map(|addr| (addr, None)),
                Grammar::Forwarded => element(member),
            };
            let Some((addr, is_https)) = hop else { return found };
            found = Forwarded { client: Some(addr), is_https };
            if !is_trusted(addr) {
                return found;
            }
        }
    }
    found
}

/// Splits off the last member of a list: what comes before its comma, if there is one, and the
/// member without the white space around it.
fn last_member(text: &[u8], grammar: Grammar) -> (Option<&[u8]>, &[u8]) {
    let comma = match grammar {
        Grammar::Addresses => memchr::memrchr(b',', text),
        Grammar::Forwarded => last_comma(text),
    };
    match comma {
        Some(comma) => (Some(&text[..comma]), text[comma + 1..].trim_ascii()),
        None => (None, text.trim_ascii()),
    }
}

/// The last comma outside of quoted strings. It is looked for from the right: a quote that a client
/// has opened and not closed cannot swallow what its proxy has appended.
fn last_comma(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = memchr::memrchr2(b',', b'"', &text[..end])?;
        if text[at] == b',' {
            return Some(at);
        }
        end = opening_quote(&text[..at])?;
    }
}

/// The position of the quote that opens the string which ends with `text`: the last one that no
/// backslash escapes.
fn opening_quote(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = memchr::memrchr(b'"', &text[..end])?;
        let escapes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(at);
        }
        end = at - escapes;
    }
}

/// The address and the scheme of an element of `Forwarded`. `None`: it names no address, is
/// malformed, or names two.
fn element(element: &[u8]) -> Option<(SocketAddr, Option<bool>)> {
    let (mut address, mut scheme) = (None, None);
    for pair in split(element, b';').filter(|pair| !pair.is_empty()) {
        let equals = memchr::memchr(b'=', pair)?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"for") => &mut address,
            name if name.eq_ignore_ascii_case(b"proto") => &mut scheme,
            _ => continue,
        };
        // RFC 7239 §4: each parameter occurs at most once in an element.
        if slot.replace(unquoted(value)?).is_some() {
            return None;
        }
    }
    Some((node(address?)?, scheme.and_then(is_https)))
}

/// The text of a token or of a quoted string. `None`: the string is not closed, or has escapes,
/// which no address and no scheme needs.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Some(value) };
    let text = rest.strip_suffix(b"\"")?;
    (!text.contains(&b'\\') && !text.contains(&b'"')).then_some(text)
}

/// Whether a scheme is https; `None` if it is neither that nor http.
pub(super) fn is_https(scheme: &[u8]) -> Option<bool> {
    match scheme.trim_ascii() {
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}
