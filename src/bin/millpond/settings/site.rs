//! [`Site`]: what is served for some host names at some endpoints.

use std::path::PathBuf;

use millpond::BindOptions;
use millpond::handlers::{BasicAuth, Cors, FilesOptions};
use millpond::net::Endpoint;

/// A site: a directory that is served, or a greeting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Site {
    /// The host names of the site; `*` matches every other name. Empty: like `*`.
    pub(crate) hosts: Vec<String>,
    /// The endpoints of the site alone. Empty: the endpoints at the top of the file.
    pub(crate) bind: Vec<String>,
    /// The directory that is served. `None`: every response is a greeting.
    pub(crate) root: Option<PathBuf>,
    pub(crate) files: FilesOptions,
    /// The rules of CORS; none without origins.
    pub(crate) cors: Cors,
    /// The realm of basic authentication, which browsers show.
    pub(crate) realm: String,
    /// The file of user names and password hashes. `None`: every client may read.
    pub(crate) users: Option<PathBuf>,
    /// The certificate of its names, at endpoints `tls://`.
    pub(crate) tls: SiteCertificate,
}

/// The files of a certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SiteCertificate {
    pub(crate) cert: Option<PathBuf>,
    /// `None`: the key is in the file of the certificate.
    pub(crate) key: Option<PathBuf>,
}

impl Default for Site {
    fn default() -> Self {
        let mut cors = Cors::default();
        cors.origins.clear();
        Self {
            hosts: Vec::new(),
            bind: Vec::new(),
            root: None,
            files: FilesOptions::default(),
            cors,
            realm: "millpond".to_owned(),
            users: None,
            tls: SiteCertificate::default(),
        }
    }
}

impl Site {
    /// The options of the handler for files, including CORS and basic authentication.
    pub(crate) fn options(&self) -> FilesOptions {
        let mut options = self.files.clone();
        options.cors = (!self.cors.origins.is_empty()).then(|| self.cors.clone());
        options.basic_auth = self.users.as_ref().map(|users| BasicAuth::new(&self.realm, users));
        options
    }

    /// Whether the site is served for host names that no site has.
    pub(crate) fn is_default(&self) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host == "*")
    }
}

/// Checks a name of [`Site::hosts`]. The error says which form is expected.
pub(crate) fn check_host(host: &str) -> Result<(), &'static str> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if host == "*" {
        Ok(())
    } else if name.is_empty() || name.contains('*') {
        Err("a name, `*` alone, or `*.` before a name")
    } else if name.contains('/') {
        Err("a name without scheme and path")
    } else if name.contains(':') && !(name.starts_with('[') && name.ends_with(']')) {
        Err("a name without a port (`bind` sets the port)")
    } else if name.bytes().any(|byte| !byte.is_ascii_graphic()) {
        Err("a name in ASCII, such as xn--mhle-0ra.example for mühle.example")
    } else {
        Ok(())
    }
}

/// Whether two texts are spellings of the same endpoint.
pub(crate) fn is_same_endpoint(one: &str, other: &str) -> bool {
    if let (Some(one), Some(other)) = (one.strip_prefix("tls://"), other.strip_prefix("tls://")) {
        return is_same_endpoint(one, other);
    }
    let parse = |text| {
        let (endpoint, options) = BindOptions::split(text).ok()?;
        Some((endpoint.parse::<Endpoint>().ok()?, options))
    };
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_without_port_scheme_and_path() {
        for host in ["example.org", "*", "*.example.org", "localhost", "192.0.2.1", "[::1]"] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in
            ["", "*.", "a.*", "*a", "a:80", "http://a", "a/b", "mühle.example", "a b", "*.*.a"]
        {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn an_endpoint_is_the_same_in_every_spelling() {
        assert!(is_same_endpoint("[::]:80", "tcp://[::]:80"));
        assert!(!is_same_endpoint("[::]:80", "[::]:81"));
        let (one, other) = ("?priority=high&proxy=require", "?proxy=require&priority=high");
        assert!(is_same_endpoint(&format!("[::]:80{one}"), &format!("tcp://[::]:80{other}")));
        // Such a server binds an endpoint twice, which is reported when it is bound.
        assert!(!is_same_endpoint("[::]:80", "[::]:80?proxy=require"));
        assert!(is_same_endpoint("tls://:443", "tls://[::]:443"));
        assert!(!is_same_endpoint("tls://[::]:443", "tcp://[::]:443"));
    }
}
