//! [`TlsSettings`]: the certificates of a server and what it requires, as plain values.

use std::path::PathBuf;

/// The certificates of a server, and what it requires of its clients.
///
/// # Examples
/// ```
/// use millpond::{ClientAuth, TlsSettings, TlsVersion};
///
/// let mut settings = TlsSettings::with_certificate("/etc/app/chain.pem", "/etc/app/key.pem");
/// settings.min_version = TlsVersion::V1_3;
/// assert_eq!(settings.client_auth, ClientAuth::Off);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The certificates. A client gets the first one that has the name that it asks for, and that
    /// it can verify the signature of. For other names, and without a name, it gets the first of
    /// all. At least one, at most 1024.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is accepted. Default: TLS 1.2.
    pub min_version: TlsVersion,
    /// Whether clients need a certificate. Default: no.
    pub client_auth: ClientAuth,
    /// The file with the certificates, in PEM, that the certificates of clients are verified by.
    /// Default: `None`.
    pub client_ca: Option<PathBuf>,
    /// Whether a request without TLS is redirected to `https`. Default: no, the response is a 400.
    pub redirect: bool,
}

impl TlsSettings {
    /// Settings with one certificate: the file of its chain, and the file of its key.
    #[must_use]
    pub fn with_certificate(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: vec![CertificateFiles::new(chain, key)], ..Self::default() }
    }
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFiles {
    /// The certificate chain in PEM: the certificate of the server, then those that lead to one
    /// that clients trust.
    pub chain: PathBuf,
    /// The private key in PEM (PKCS #8, PKCS #1 or SEC 1), not encrypted. It can be the same file.
    pub key: PathBuf,
    /// Names that are served with this certificate in addition to those that it has:
    /// `example.org`, or `*.example.org` for the names one label below. Default: none.
    pub names: Vec<String>,
}

impl CertificateFiles {
    /// A certificate that is served for the names that it has.
    #[must_use]
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: chain.into(), key: key.into(), names: Vec::new() }
    }
}

/// The oldest version of TLS that a server accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), only with forward secrecy and authenticated encryption.
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Whether a client needs a certificate, which the server verifies by
/// [`client_ca`](TlsSettings::client_ca).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// The server does not ask for one.
    #[default]
    Off,
    /// The server asks for one. A client without one is served; one that is not valid ends the
    /// handshake.
    Ask,
    /// A client without a valid certificate is not served.
    Require,
}
