//! [`RequestInfo`]: the parts of a request that its response depends on.

use http::header::{ACCEPT, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, Version};

use crate::http::codec::request::Head;
use crate::http::list::split;

/// The parts of a request that its response depends on.
#[derive(Debug)]
pub(super) struct RequestInfo {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// The values of Upgrade, if the client offers to upgrade.
    pub(super) upgrade_offers: Vec<HeaderValue>,
}

impl RequestInfo {
    pub(super) fn of(head: &Head) -> Self {
        let upgrade_offers = match head.upgrade {
            true => head.headers.get_all(UPGRADE).iter().cloned().collect(),
            false => Vec::new(),
        };
        let (method, version) = (head.method.clone(), head.version);
        Self { method, version, keep_alive: head.keep_alive, upgrade_offers }
    }

    /// What is known of a request that cannot be parsed: whether its response may have a body.
    pub(super) fn of_malformed(input: &[u8]) -> Self {
        let line = input.strip_prefix(b"\r\n").unwrap_or(input);
        let method = if line.starts_with(b"HEAD ") { Method::HEAD } else { Method::GET };
        Self { method, version: Version::HTTP_11, keep_alive: false, upgrade_offers: Vec::new() }
    }

    /// Whether the client offered each of these protocols (RFC 9110 §7.8).
    pub(super) fn offers_upgrade(&self, protocols: Option<&HeaderValue>) -> bool {
        let offered = |protocol: &[u8]| {
            let mut offers = self.upgrade_offers.iter().flat_map(|offer| members(offer.as_bytes()));
            offers.any(|offer| offer.eq_ignore_ascii_case(protocol))
        };
        protocols.is_some_and(|protocols| members(protocols.as_bytes()).all(offered))
    }
}

/// The lines of Accept in the head of a request that cannot be parsed, or has not arrived whole:
/// for the format of the response.
pub(super) fn accept_of_malformed(input: &[u8]) -> HeaderMap {
    const NAME: &[u8] = b"accept:";
    let mut headers = HeaderMap::new();
    let lines = input[..input.len().min(ACCEPT_WITHIN)].split(|&byte| byte == b'\n').skip(1);
    for line in lines.map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
            && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
        {
            headers.append(ACCEPT, value);
        }
    }
    headers
}

/// The bytes of a malformed head in which Accept is looked for.
const ACCEPT_WITHIN: usize = 8 * 1024;

/// The non-empty members of a list (RFC 9110 §5.6.1).
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(list, b',').filter(|member| !member.is_empty())
}
