//! [`Site`]: what answers requests for some names at some endpoints, and how a name is matched.

use std::path::PathBuf;

use millpond::handlers::{BasicAuth, Cors, FilesOptions};
use millpond::net::Endpoint;

/// What is served: a directory, or a greeting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Site {
    /// The names that it answers for, `*` for all. Empty: all.
    pub(crate) hosts: Vec<String>,
    /// Endpoints of its own. Empty: those of the others.
    pub(crate) bind: Vec<String>,
    /// The directory that is served. `None`: every answer is a greeting.
    pub(crate) root: Option<PathBuf>,
    pub(crate) files: FilesOptions,
    /// Without origins, none.
    pub(crate) cors: Cors,
    pub(crate) realm: String,
    /// Without a file, everybody may read.
    pub(crate) users: Option<PathBuf>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            bind: Vec::new(),
            root: None,
            files: FilesOptions::default(),
            cors: Cors { origins: Vec::new(), ..Cors::default() },
            realm: "millpond".to_owned(),
            users: None,
        }
    }
}

impl Site {
    /// The options of its files.
    pub(crate) fn options(&self) -> FilesOptions {
        let users = |users: &PathBuf| BasicAuth { realm: self.realm.clone(), users: users.clone() };
        FilesOptions {
            cors: (!self.cors.origins.is_empty()).then(|| self.cors.clone()),
            basic_auth: self.users.as_ref().map(users),
            ..self.files.clone()
        }
    }

    /// Whether it answers for names that no site has.
    pub(crate) fn is_default(&self) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host == "*")
    }
}

/// What is wrong with a name of [`Site::hosts`], if anything is.
pub(crate) fn wrong_host(host: &str) -> Option<&'static str> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if host == "*" {
        None
    } else if name.is_empty() || name.contains('*') {
        Some("`*` stands alone, or for the first labels: *.example.org")
    } else if name.contains('/') {
        Some("it is a name without scheme and path: example.org")
    } else if name.contains(':') && !(name.starts_with('[') && name.ends_with(']')) {
        Some("it is a name without a port, as a site answers at every port where it is bound")
    } else if name.bytes().any(|byte| !byte.is_ascii_graphic()) {
        Some("it is a name in ASCII, as in the Host field: xn--mhle-0ra.example for mühle.example")
    } else {
        None
    }
}

/// Whether two endpoints are the same, however they are written.
pub(crate) fn is_same_endpoint(one: &str, other: &str) -> bool {
    match (one.parse::<Endpoint>(), other.parse::<Endpoint>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_without_port_scheme_and_path() {
        for host in ["example.org", "*", "*.example.org", "localhost", "192.0.2.1", "[::1]"] {
            assert_eq!(wrong_host(host), None, "{host}");
        }
        for host in
            ["", "*.", "a.*", "*a", "a:80", "http://a", "a/b", "mühle.example", "a b", "*.*.a"]
        {
            assert!(wrong_host(host).is_some(), "{host}");
        }
    }

    #[test]
    fn an_endpoint_is_the_same_in_every_spelling() {
        assert!(is_same_endpoint("[::]:80", "tcp://[::]:80"));
        assert!(!is_same_endpoint("[::]:80", "[::]:81"));
    }
}
