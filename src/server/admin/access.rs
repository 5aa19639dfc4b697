//! Which requests are served: the protection against web pages of other sites, and against users
//! without the token.
//!
//! A page of another site that a browser on this machine has open can send requests to a loopback
//! address, and can give its own name that address (DNS rebinding). Such requests have a foreign
//! Host, an Origin, or `Sec-Fetch-Site: cross-site` (Fetch Metadata Request Headers, W3C).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::AdminResponse;
use crate::http::codec::Head;
use crate::http::{HeaderMap, HeaderValue, StatusCode, header};

/// Who may use the endpoint for what.
#[derive(Debug)]
pub(super) struct AccessRules<'a> {
    /// Whether the endpoint is a Unix socket: the mode of its file decides.
    pub(super) is_unix: bool,
    /// Whether the operator has opened the endpoint to other machines.
    pub(super) is_public: bool,
    pub(super) token: Option<&'a str>,
}

impl AccessRules<'_> {
    /// Refuses what no tool on this machine sends.
    pub(super) fn check(&self, head: &Head) -> Result<(), AdminResponse> {
        let headers = &head.headers;
        let refuse = |status, line| Err(AdminResponse::text(status, line));
        if headers.contains_key(header::ORIGIN) {
            return refuse(StatusCode::FORBIDDEN, "requests with Origin are not served");
        }
        let mut sites = headers.get_all("sec-fetch-site").iter().map(HeaderValue::as_bytes);
        if sites.any(|site| site != b"same-origin" && site != b"none") {
            return refuse(StatusCode::FORBIDDEN, "requests of other sites are not served");
        }
        let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        if !self.is_unix && !self.is_public && !is_loopback_host(host) {
            let line = "Host is neither a loopback address nor localhost";
            return refuse(StatusCode::MISDIRECTED_REQUEST, line);
        }
        Ok(())
    }

    /// Whether the client may run commands.
    pub(super) fn check_command(&self, headers: &HeaderMap) -> Result<(), AdminResponse> {
        if self.is_unix {
            return Ok(());
        }
        let Some(token) = self.token else {
            let line = "commands need a Unix socket, or a token file (--admin-token-file)";
            return Err(AdminResponse::text(StatusCode::FORBIDDEN, line));
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        if given.is_some_and(|given| is_same(given, token.as_bytes())) {
            return Ok(());
        }
        let response =
            AdminResponse::text(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
        Err(response.with(header::WWW_AUTHENTICATE, "Bearer"))
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 §2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Compares in a time that depends on the lengths alone.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let same_length = one.len() == other.len();
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    same_length && black_box(difference) == 0
}

/// Whether a Host field names this machine: `localhost`, 127.0.0.0/8 or `[::1]`, with any port.
fn is_loopback_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, _)) = rest.split_once(']') else { return false };
            return address
                .parse::<Ipv6Addr>()
                .is_ok_and(|ip| IpAddr::V6(ip).to_canonical().is_loopback());
        }
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_hosts() {
        for host in
            ["localhost", "LocalHost:9901", "127.0.0.1", "127.3.2.1:80", "[::1]", "[::1]:80"]
        {
            assert!(is_loopback_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "128.0.0.1",
            "127.1",
            "[::2]",
            "[::1",
            "::1",
        ] {
            assert!(!is_loopback_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        assert_eq!(bearer(b"bearer  secret "), Some(&b"secret"[..]));
        assert_eq!(bearer(b"Basic secret"), None);
        assert_eq!(bearer(b"Bear"), None);
        assert!(is_same(b"secret", b"secret"));
        for other in [&b""[..], b"secre", b"secrets", b"Secret"] {
            assert!(!is_same(other, b"secret"));
        }
    }
}
