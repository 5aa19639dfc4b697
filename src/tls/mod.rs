//! TLS (RFC 8446): certificates, and the TLS of one connection. The floor between sockets and the
//! pool.

pub(crate) mod buffer;
mod info;
pub(crate) mod session;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, ErrorKind};
pub use info::TlsInfo;

/// Where the certificates of a server are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The file with the certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The file with the private key, in PEM.
    pub key: PathBuf,
    /// Whether a request without TLS is redirected to `https`. Default: no, the response is a 400.
    pub redirect: bool,
}

/// The certificates of a server. A clone is the same set.
#[derive(Clone)]
pub struct Tls(Arc<TlsState>);

struct TlsState {
    config: ArcSwap<ServerConfig>,
    redirect: AtomicBool,
}

impl Tls {
    /// Loads the certificates.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a file cannot be read, or its content cannot be used.
    pub fn new(settings: &TlsSettings) -> Result<Self, Error> {
        let config = ArcSwap::new(load(settings)?);
        let redirect = AtomicBool::new(settings.redirect);
        Ok(Self(Arc::new(TlsState { config, redirect })))
    }

    /// Replaces the certificates. Open connections keep theirs.
    ///
    /// # Errors
    /// As [`new`](Self::new). After an error the certificates are the same as before.
    pub fn replace(&self, settings: &TlsSettings) -> Result<(), Error> {
        self.0.config.store(load(settings)?);
        self.0.redirect.store(settings.redirect, Ordering::Relaxed);
        Ok(())
    }

    /// The configuration for a new connection.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.0.config.load_full()
    }

    /// Whether a request without TLS is redirected to `https`.
    pub(crate) fn redirects(&self) -> bool {
        self.0.redirect.load(Ordering::Relaxed)
    }
}

fn load(settings: &TlsSettings) -> Result<Arc<ServerConfig>, Error> {
    let invalid = |path: &PathBuf, error: &dyn fmt::Display| {
        Error::new(ErrorKind::Config, format!("{}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid(&settings.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| invalid(&settings.key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| invalid(&settings.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
