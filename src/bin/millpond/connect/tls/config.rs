//! [`TlsTarget`]: whom the client trusts, and which name it expects.

use std::path::Path;
use std::sync::Arc;

use millpond::Tls;
use millpond::net::{Endpoint, Host};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::verifier::AnyCertificate;
use crate::connect::args::ConnectArgs;
use crate::failure::{Failure, code};

/// What the client needs for TLS with a server.
#[derive(Clone, Debug)]
pub(in crate::connect) struct TlsTarget {
    pub(super) config: Arc<ClientConfig>,
    /// The name that the certificate must have. A host name is sent to the server (SNI).
    pub(super) name: ServerName<'static>,
}

/// The endpoint below TLS, and whether there is TLS: `tls://HOST:PORT` is TCP.
pub(in crate::connect) fn split_scheme(endpoint: &str) -> (String, bool) {
    match endpoint.strip_prefix("tls://") {
        Some(rest) => (format!("tcp://{rest}"), true),
        None => (endpoint.to_owned(), false),
    }
}

impl TlsTarget {
    /// Reads the certificates of authorities, and finds the name.
    pub(in crate::connect) fn new(
        args: &ConnectArgs,
        endpoint: &Endpoint,
    ) -> Result<Self, Failure> {
        let provider = Tls::crypto_provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(code::RUNTIME, error.to_string()))?;
        let mut config = if args.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        } else {
            let roots = match &args.ca {
                Some(path) => from_file(path)?,
                None => of_the_system()?,
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        let alpn = args.alpn.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = alpn.collect();
        Ok(Self { config: Arc::new(config), name: name(args, endpoint)? })
    }
}

fn name(args: &ConnectArgs, endpoint: &Endpoint) -> Result<ServerName<'static>, Failure> {
    let text = match (&args.sni, endpoint) {
        (Some(name), _) => name.clone(),
        (None, Endpoint::Inet { host: Host::Ip(ip), .. }) => return Ok((*ip).into()),
        (None, Endpoint::Inet { host: Host::Zoned(ip, _), .. }) => {
            return Ok(std::net::IpAddr::from(*ip).into());
        }
        (None, Endpoint::Inet { host: Host::Name(name), .. }) => name.clone(),
        _ => return Err(Failure::new(code::USAGE, "TLS is possible over TCP only")),
    };
    ServerName::try_from(text.clone()).map_err(|_| {
        let what = format!("invalid server name {text:?}: expected a host name or an IP address");
        Failure::new(code::USAGE, what).with_hint("--sni sets the name that the certificate has")
    })
}

fn from_file(path: &Path) -> Result<RootCertStore, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::io(code::CONFIG, format!("cannot read {shown}"), error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| {
            Failure::new(code::CONFIG, format!("invalid certificate in {shown}: expected PEM"))
        })?;
    }
    if roots.is_empty() {
        return Err(Failure::new(code::CONFIG, format!("no certificate in {shown}"))
            .with_hint("--ca takes the certificates of authorities in PEM"));
    }
    Ok(roots)
}

/// The authorities that this machine trusts.
fn of_the_system() -> Result<RootCertStore, Failure> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let what = "no certificates of authorities on this machine";
        return Err(Failure::new(code::CONFIG, what).with_hint(
            "install them (ca-certificates), or name a file by --ca or SSL_CERT_FILE; --insecure \
             verifies nothing",
        ));
    }
    Ok(roots)
}
