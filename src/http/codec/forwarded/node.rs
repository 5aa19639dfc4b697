//! The address of one hop: `node` in RFC 7239 §6, and the forms that `X-Forwarded-For` has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A longer text is no address with a port.
const LONGEST: usize = 64;

/// An address without brackets, or in brackets, or with a port. The port is 0 if there is none, or
/// one that hides its number (`_x`). `None`: it is no address, such as `unknown` or `_hidden`.
pub(super) fn node(text: &[u8]) -> Option<SocketAddr> {
    if text.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            (IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(ip) => (ip, ""),
            Err(_) => {
                let (ip, _) = text.split_once(':')?;
                (IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?), &text[ip.len()..])
            }
        },
    };
    let port = if port.is_empty() { 0 } else { self::port(port.strip_prefix(':')?)? };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// `node-port` in RFC 7239 §6: 1 to 5 digits, or an underscore and a word.
fn port(text: &str) -> Option<u16> {
    if let Some(word) = text.strip_prefix('_') {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        return (!word.is_empty() && word.bytes().all(is_word)).then_some(0);
    }
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}
