//! [`Hosts`]: several sites behind one listener, told apart by the Host field.

use std::collections::HashMap;
use std::sync::Arc;

use millpond::http::header::HOST;
use millpond::http::{Handler, Request, Response, StatusCode};

/// Gives each request to the site that has its name.
///
/// The longest name wins: `a.example.org` before `*.example.org` before `*.org` before the site for
/// all others. Without one for all others, a name that no site has is answered with 421 (RFC 9110
/// §15.5.20): a client that came by mistake is told so, rather than shown another's pages.
#[derive(Default)]
pub(crate) struct Hosts {
    exact: HashMap<String, Arc<dyn Handler>>,
    /// What follows the `*`, dot included: `.example.org`. The longest stands first.
    below: Vec<(String, Arc<dyn Handler>)>,
    others: Option<Arc<dyn Handler>>,
}

impl Hosts {
    /// A site for these names; no names at all are all others.
    pub(crate) fn add(&mut self, hosts: &[String], site: &Arc<dyn Handler>) {
        if hosts.is_empty() {
            self.others = Some(Arc::clone(site));
        }
        for host in hosts {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            match host.strip_prefix('*') {
                Some("") => self.others = Some(Arc::clone(site)),
                Some(below) => self.below.push((below.to_owned(), Arc::clone(site))),
                None => drop(self.exact.insert(host, Arc::clone(site))),
            }
        }
        self.below.sort_by_key(|(below, _)| std::cmp::Reverse(below.len()));
    }

    fn find(&self, request: &Request) -> Option<&Arc<dyn Handler>> {
        // The server has seen to it that there is one field at most, that it is well-formed, and
        // that the host of an absolute target goes before it.
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        let name = host.map(|host| name(host).to_ascii_lowercase()).unwrap_or_default();
        let below = || {
            self.below
                .iter()
                .find(|(below, _)| name.len() > below.len() && name.ends_with(below.as_str()))
                .map(|(_, site)| site)
        };
        self.exact.get(&name).or_else(below).or(self.others.as_ref())
    }
}

/// The name in a Host field, without the port and without the dot that may end it.
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
        for (name, of) in sites {
            let name = (*name).to_owned();
            let site: Arc<dyn Handler> =
                Arc::new(move |_: &mut Request| Response::text(name.clone()));
            hosts.add(&of.iter().map(ToString::to_string).collect::<Vec<_>>(), &site);
        }
        hosts
    }

    fn asked(hosts: &Hosts, host: Option<&str>) -> String {
        let mut request = http::Request::builder();
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut request = Request::from(request.body(Body::empty()).unwrap());
        let mut answer = hosts.handle(&mut request);
        let mut text = String::new();
        answer.body_mut().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_longest_name_wins() {
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
            assert_eq!(asked(&hosts, Some(host)), site, "{host}");
        }
        assert_eq!(asked(&hosts, None), "rest");
    }

    #[test]
    fn a_name_that_no_site_has_is_misdirected() {
        let hosts = hosts(&[("a", &["a.test"])]);
        assert_eq!(asked(&hosts, Some("a.test")), "a");
        for host in [Some("b.test"), Some(""), None] {
            assert!(asked(&hosts, host).starts_with("421"), "{host:?}");
        }
    }
}
