//! Which client a trusted proxy names, in `X-Forwarded-For`, `Forwarded` (RFC 7239) or a field like
//! them, and which scheme that client used.
//!
//! One rule: the field lines are joined and walked from the right, where the peer has appended the
//! address of its own peer. Trusted addresses are skipped. The first other one is the client, and
//! if all are trusted, the leftmost. Anything that is no address ends the walk: the client is then
//! the last address before it, or the peer. So each address on the way was named by a trusted
//! proxy, and nothing that a client has put to the left of it can change the result.
//!
//! Nothing is allocated, and no byte is read twice but for quotes, so `limits.head` bounds the
//! cost.

mod node;
mod walk;

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName};

use crate::config::{Proxy, TrustedPeer};
pub(crate) use walk::Forwarded;
use walk::{Grammar, is_https, walk};

/// The field in which proxies name the scheme, unless they send `Forwarded`.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Reads the fields of trusted proxies.
#[derive(Debug)]
pub(crate) struct ProxyFields {
    proxy: Proxy,
    field: Option<(HeaderName, Grammar)>,
}

impl ProxyFields {
    /// `None` if no peer is trusted.
    pub(crate) fn new(proxy: &Proxy) -> Option<Self> {
        if proxy.trusted.is_empty() {
            return None;
        }
        let name = HeaderName::from_bytes(proxy.header.as_bytes()).ok();
        let field = name.map(|name| {
            let grammar = match name == http::header::FORWARDED {
                true => Grammar::Forwarded,
                false => Grammar::Addresses,
            };
            (name, grammar)
        });
        Some(Self { proxy: proxy.clone(), field })
    }

    /// Which peers are trusted.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// What the fields of a trusted peer say.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Forwarded {
        let Some((name, grammar)) = &self.field else { return Forwarded::default() };
        let lines = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
        let is_trusted = |addr: SocketAddr| {
            self.proxy.trusted.iter().any(|trusted: &TrustedPeer| trusted.is_address(addr.ip()))
        };
        let mut forwarded = walk(lines, *grammar, is_trusted);
        if *grammar == Grammar::Addresses {
            // The peer itself has written the last member.
            let line = headers.get_all(FORWARDED_PROTO).iter().next_back();
            let last = line.and_then(|line| line.as_bytes().rsplit(|byte| *byte == b',').next());
            forwarded.is_https = last.and_then(is_https);
        }
        forwarded
    }
}

#[cfg(test)]
mod tests;
