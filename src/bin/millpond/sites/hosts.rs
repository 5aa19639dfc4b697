//! [`Hosts`]: several sites at one listener, selected by the Host field.

use std::collections::HashMap;
use std::sync::Arc;

use millpond::TlsInfo;
use millpond::http::header::HOST;
use millpond::http::{Handler, Request, Response, StatusCode};

/// Passes each request to the site whose host name matches.
///
/// The longest match wins: `a.example.org`, then `*.example.org`, then `*.org`, then the default
/// site. Without a default site, the response to a name that no site has is 421 (RFC 9110
/// §15.5.20), so that a misdirected client does not get the pages of another site. So it is if the
/// client has asked for the certificate of one site and requests another.
#[derive(Default)]
pub(crate) struct Hosts {
    exact: HashMap<String, Arc<dyn Handler>>,
    /// The part after the `*`, with its dot: `.example.org`. The longest is the first.
    wildcards: Vec<(String, Arc<dyn Handler>)>,
    /// The site for every other name.
    default: Option<Arc<dyn Handler>>,
}

impl Hosts {
    /// Adds a site for these names. Without names, it is the default site.
    pub(crate) fn add(&mut self, hosts: &[String], site: &Arc<dyn Handler>) {
        if hosts.is_empty() {
            self.default = Some(Arc::clone(site));
        }
        for host in hosts {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            match host.strip_prefix('*') {
                Some("") => self.default = Some(Arc::clone(site)),
                Some(suffix) => self.wildcards.push((suffix.to_owned(), Arc::clone(site))),
                None => drop(self.exact.insert(host, Arc::clone(site))),
            }
        }
        self.wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    }

    /// The site of a request. `None`: the client is misdirected.
    fn find(&self, request: &Request) -> Option<&Arc<dyn Handler>> {
        // The server has checked that there is at most one well-formed field. The host of a target
        // in absolute-form has replaced its value.
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        let name = host.map(|host| name(host).to_ascii_lowercase()).unwrap_or_default();
        let site = self.named(&name).or(self.default.as_ref())?;
        let server_name = request.tls().and_then(TlsInfo::server_name);
        self.agrees(server_name, site).then_some(site)
    }

    /// The site that has this name, in lower case.
    fn named(&self, name: &str) -> Option<&Arc<dyn Handler>> {
        let wildcard = || {
            self.wildcards
                .iter()
                .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix.as_str()))
                .map(|(_, site)| site)
        };
        self.exact.get(name).or_else(wildcard)
    }

    /// Whether the name of the TLS handshake (SNI) leads to this site. A name that no site has does
    /// not lead to another one: a proxy may use a name of its own.
    fn agrees(&self, server_name: Option<&str>, site: &Arc<dyn Handler>) -> bool {
        let other = server_name.and_then(|name| self.named(&name.to_ascii_lowercase()));
        other.is_none_or(|other| Arc::ptr_eq(other, site))
    }
}

/// The name in a Host field, without the port and a trailing dot.
fn name(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    name.strip_suffix('.').unwrap_or(name)
}

impl Handler for Hosts {
    fn handle(&self, request: &mut Request) -> Response {
        match self.find(request) {
            Some(site) => site.handle(request),
            None => Response::error(StatusCode::MISDIRECTED_REQUEST),
        }
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        match self.find(request) {
            Some(site) => site.expect_continue(request),
            None => Some(Response::error(StatusCode::MISDIRECTED_REQUEST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond::http::Body;
    use std::io::Read;

    fn hosts(sites: &[(&str, &[&str])]) -> Hosts {
        let mut hosts = Hosts::default();
        for (name, names) in sites {
            let name = (*name).to_owned();
            let site: Arc<dyn Handler> =
                Arc::new(move |_: &mut Request| Response::text(name.clone()));
            hosts.add(&names.iter().map(ToString::to_string).collect::<Vec<_>>(), &site);
        }
        hosts
    }

    fn get(hosts: &Hosts, host: Option<&str>) -> String {
        let mut request = http::Request::builder();
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut request = Request::from(request.body(Body::empty()).unwrap());
        let mut response = hosts.handle(&mut request);
        let mut text = String::new();
        response.body_mut().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_longest_matching_name_wins() {
        let hosts = hosts(&[
            ("org", &["*.org"]),
            ("below", &["*.example.org"]),
            ("exact", &["example.org", "a.example.org", "[::1]", "192.0.2.1"]),
            ("rest", &[]),
        ]);
        for (host, site) in [
            ("example.org", "exact"),
            ("EXAMPLE.org:8888", "exact"),
            ("example.org.", "exact"),
            ("a.example.org", "exact"),
            ("b.example.org", "below"),
            ("c.b.example.org:1", "below"),
            ("other.org", "org"),
            (".org", "rest"),
            ("notexample.com", "rest"),
            ("[::1]:80", "exact"),
            ("[::2]:80", "rest"),
            ("192.0.2.1", "exact"),
            ("", "rest"),
        ] {
            assert_eq!(get(&hosts, Some(host)), site, "{host}");
        }
        assert_eq!(get(&hosts, None), "rest");
    }

    #[test]
    fn the_name_of_the_handshake_leads_to_the_same_site() {
        let hosts = hosts(&[("a", &["a.test", "*.a.test"]), ("b", &["b.test"]), ("rest", &[])]);
        let site = |name| hosts.named(name).or(hosts.default.as_ref()).unwrap();
        for (server_name, host, agrees) in [
            (None, "a.test", true),
            (Some("a.test"), "a.test", true),
            (Some("X.a.test"), "a.test", true),
            (Some("b.test"), "a.test", false),
            (Some("b.test"), "c.test", false),
            (Some("proxy.test"), "a.test", true),
        ] {
            assert_eq!(hosts.agrees(server_name, site(host)), agrees, "{server_name:?} {host}");
        }
    }

    #[test]
    fn a_name_that_no_site_has_gets_421() {
        let hosts = hosts(&[("a", &["a.test"])]);
        assert_eq!(get(&hosts, Some("a.test")), "a");
        for host in [Some("b.test"), Some(""), None] {
            assert!(get(&hosts, host).starts_with("421"), "{host:?}");
        }
    }
}
