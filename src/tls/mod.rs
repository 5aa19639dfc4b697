//! TLS (RFC 8446): the certificates of a server, and the TLS of one connection. The floor between
//! sockets and the pool.
//!
//! ```text
//! TlsSettings ──► load: files, keys, names ──► resolver: which certificate for which name
//!                                        └───► server_config ──► session: one connection
//! ```

pub(crate) mod buffer;
mod certificate_info;
mod der;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod hybrid;
mod info;
mod load;
mod provider;
mod resolver;
mod server_config;
pub(crate) mod session;
mod settings;
#[cfg(test)]
pub(crate) mod test_certificates;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;

use crate::error::Error;
pub use certificate_info::CertificateInfo;
pub use info::TlsInfo;
use server_config::TlsConfig;
pub use settings::{CertificateFiles, ClientAuth, TlsSettings, TlsVersion};

/// The certificates of a server, which can be replaced while it runs. A clone is the same set.
///
/// # Examples
/// ```no_run
/// use millpond::{Tls, TlsSettings};
///
/// let settings = TlsSettings::with_certificate("/etc/app/chain.pem", "/etc/app/key.pem");
/// let tls = Tls::new(&settings)?;
/// for certificate in tls.certificates() {
///     let days = certificate.days_left(std::time::SystemTime::now());
///     println!("{}: {days} days", certificate.name());
/// }
/// // Later, when the files have been renewed:
/// tls.replace(&settings)?;
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<TlsConfig>>);

impl Tls {
    /// Loads the certificates and their keys.
    ///
    /// A certificate that has expired, or is not valid yet, is not an error: see
    /// [`certificates`](Self::certificates).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a file cannot be read or has no
    /// certificate or key, if a key is encrypted, or does not belong to its certificate.
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) if the system denies a file.
    pub fn new(settings: &TlsSettings) -> Result<Self, Error> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(TlsConfig::load(settings, None)?))))
    }

    /// Replaces the certificates for new connections, all or none. Open connections stay as they
    /// are, and sessions can be resumed as before, unless the policy for client certificates has
    /// changed.
    ///
    /// # Errors
    /// As [`new`](Self::new). After an error nothing has changed.
    pub fn replace(&self, settings: &TlsSettings) -> Result<(), Error> {
        self.prepare(settings).map(TlsReplacement::apply)
    }

    /// Loads new certificates, which [`TlsReplacement::apply`] puts in use.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn prepare(&self, settings: &TlsSettings) -> Result<TlsReplacement, Error> {
        let config = TlsConfig::load(settings, Some(&self.0.load()))?;
        Ok(TlsReplacement { tls: self.clone(), config })
    }

    /// What the certificates say, in the order of the settings.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.0.load().certificates.clone()
    }

    /// Whether there is a certificate for a name: `example.org`, or `*.example.org`. For other
    /// names, clients get the first certificate, which they do not accept.
    #[must_use]
    pub fn has_certificate_for(&self, name: &str) -> bool {
        self.0.load().resolver.has(name)
    }

    /// The cryptography of the server, for a client of rustls in the same program.
    #[doc(hidden)]
    #[must_use]
    pub fn crypto_provider() -> Arc<CryptoProvider> {
        provider::provider()
    }

    /// Whether both are the same set, replaced together.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The configuration for a new connection.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().server)
    }

    /// Whether a request without TLS is redirected to `https`.
    pub(crate) fn redirects(&self) -> bool {
        self.0.load().redirect
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.load().resolver).finish()
    }
}

/// New certificates that are loaded and not in use yet, so that a program can check everything
/// else before it changes anything.
#[must_use]
pub struct TlsReplacement {
    tls: Tls,
    config: TlsConfig,
}

impl TlsReplacement {
    /// Puts the certificates in use.
    pub fn apply(self) {
        self.tls.0.store(Arc::new(self.config));
    }
}

impl fmt::Debug for TlsReplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsReplacement").field(&self.config.resolver).finish()
    }
}
