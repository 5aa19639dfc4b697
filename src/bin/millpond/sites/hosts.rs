//! [`Hosts`]: several sites at one listener, selected by the Host field.

use std::collections::HashMap;
use std::sync::Arc;

use millpond::http::header::HOST;
use millpond::http::{Handler, Request, Response, StatusCode};

/// Passes each request to the site whose host name matches.
///
/// The longest match wins: `a.example.org`, then `*.example.org`, then `*.org`, then the default
/// site. Without a default site, the response to a name that no site has is 421 (RFC 9110
/// §15.5.20), so that a misdirected client does not get the pages of another site.
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

    fn find(&self, request: &Request) -> Option<&Arc<dyn Handler>> {
        // The server has checked that there is at most one well-formed field. The host of a target
        // in absolute-form has replaced its value.
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        let name = host.map(|host| name(host).to_ascii_lowercase()).unwrap_or_default();
        let wildcard = || {
            self.wildcards
                .iter()
                .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix.as_str()))
                .map(|(_, site)| site)
        };
        self.exact.get(&name).or_else(wildcard).or(self.default.as_ref())
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
    fn a_name_that_no_site_has_gets_421() {
        let hosts = hosts(&[("a", &["a.test"])]);
        assert_eq!(get(&hosts, Some("a.test")), "a");
        for host in [Some("b.test"), Some(""), None] {
            assert!(get(&hosts, host).starts_with("421"), "{host:?}");
        }
    }
}
