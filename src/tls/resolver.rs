//! [`Resolver`]: the certificate for a name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Chooses the certificate of a connection by the name that the client asks for (SNI, RFC 6066
/// §3).
///
/// A name may have several certificates, as of ECDSA and of RSA. The first one whose signature the
/// client understands is used. If there is none, it is the first one, and rustls refuses the
/// handshake with the alert that clients expect, `handshake_failure`: without a certificate it
/// would send `access_denied`.
#[derive(Default)]
pub(super) struct Resolver {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By the part after `*.`. The asterisk matches one label (RFC 9525 §6.3).
    wildcards: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For other names, and for clients that send none.
    default: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    /// Adds a certificate with its names. The first one is the default.
    pub(super) fn add<'a>(
        &mut self,
        key: &Arc<CertifiedKey>,
        names: impl Iterator<Item = &'a str>,
    ) {
        for name in names {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let keys = match name.strip_prefix("*.") {
                Some(parent) => self.wildcards.entry(parent.to_owned()).or_default(),
                None => self.exact.entry(name).or_default(),
            };
            keys.push(Arc::clone(key));
        }
        // Later ones are for clients that do not understand the signature of the first.
        self.default.push(Arc::clone(key));
    }

    /// The certificate for a name, for a client that understands these signatures.
    pub(super) fn find(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let named =
            name.as_deref().and_then(|name| self.named(name)).map_or(&[][..], Vec::as_slice);
        let mut keys = named.iter().chain(&self.default);
        let usable = keys.clone().find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or_else(|| keys.next())
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let parent = || name.split_once('.').map(|(_, parent)| parent);
        self.exact.get(name).or_else(|| self.wildcards.get(parent()?))
    }

    /// Whether a certificate was added for this name: a host name, or `*.` and a host name.
    pub(super) fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcards.contains_key(parent),
            None => self.named(&name).is_some(),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes()).map(Arc::clone)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.exact.keys()).finish()
    }
}
