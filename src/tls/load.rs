//! From files to certificates with their keys. Each error names the file, and what is wrong in it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate_info::CertificateInfo;
use super::settings::CertificateFiles;
use crate::error::{Error, ErrorKind};

/// Bytes of the largest file. A bundle of all public authorities has about 300 KiB.
const FILE_MAX: u64 = 4 << 20;

/// A certificate that is ready for use.
pub(super) struct LoadedCertificate {
    pub(super) info: CertificateInfo,
    pub(super) key: Arc<CertifiedKey>,
}

/// Loads a certificate and its key, and checks that they belong together.
pub(super) fn certificate(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<LoadedCertificate, Error> {
    let chain = certificates(&files.chain, "the certificate")?;
    let key = private_key(&files.key)?;
    let shown = files.chain.display();
    let own = chain.first().expect("`certificates` returns at least one");
    let info = CertificateInfo::from_der(own)
        .map_err(|error| invalid("certificate", &files.chain, &error))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let key = files.key.display();
            let what = format!("the key {key} does not belong to the certificate {shown}");
            Error::new(ErrorKind::Config, what)
                .with_hint("the first certificate in the file must be that of the server itself")
        }
        rustls::Error::InvalidCertificate(reason) => {
            invalid("certificate", &files.chain, &format!("{reason:?}"))
        }
        _ => invalid("key", &files.key, &"a key of an unknown kind")
            .with_hint("RSA from 2048 bits, ECDSA with P-256 or P-384, and Ed25519 are possible"),
    })?;
    Ok(LoadedCertificate { info, key: Arc::new(key) })
}

/// The certificates in a PEM file, at least one. `what` is for the error if it cannot be read.
pub(super) fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path, what)?;
    let mut found = Vec::new();
    let mut has_key = false;
    for (kind, der) in sections(&bytes, "certificate", path)? {
        match kind {
            SectionKind::Certificate => found.push(CertificateDer::from(der)),
            _ => has_key |= PrivateKeyDer::from_pem(kind, der).is_some(),
        }
    }
    match (found.is_empty(), has_key) {
        (false, _) => Ok(found),
        (true, true) => Err(invalid("certificate", path, &"it has a key and no certificate")
            .with_hint("the files of the certificate and of the key may be exchanged")),
        (true, false) => Err(invalid("certificate", path, &"no certificate in it")
            .with_hint("a certificate in PEM begins with -----BEGIN CERTIFICATE-----")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = read(path, "the key")?;
    let mut has_certificate = false;
    for (kind, der) in sections(&bytes, "key", path)? {
        has_certificate |= kind == SectionKind::Certificate;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            // PKCS #1 and SEC 1 keys may be encrypted within the section (RFC 1421 §4.6.1.1).
            return match contains(&bytes, b"Proc-Type: 4,ENCRYPTED") {
                true => Err(encrypted(path)),
                false => Ok(key),
            };
        }
    }
    if contains(&bytes, b"ENCRYPTED") {
        return Err(encrypted(path));
    }
    Err(match has_certificate {
        true => invalid("key", path, &"it has a certificate and no key")
            .with_hint("the key is in another file, or the two files are exchanged"),
        false => invalid("key", path, &"no private key in it")
            .with_hint("a key in PEM begins with -----BEGIN PRIVATE KEY-----"),
    })
}

fn encrypted(path: &Path) -> Error {
    invalid("key", path, &"it is encrypted").with_hint(format!(
        "`openssl pkey -in {} -out NEW` decrypts it; let only the server's user read the new file",
        path.display()
    ))
}

/// The sections of a PEM file.
fn sections(bytes: &[u8], what: &str, path: &Path) -> Result<Vec<(SectionKind, Vec<u8>)>, Error> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes);
    sections.collect::<Result<_, _>>().map_err(|error| {
        // The base64 of an encrypted section follows its header lines.
        if contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
            return encrypted(path);
        }
        let reason = match error {
            pem::Error::MissingSectionEnd { end_marker } => {
                let name = String::from_utf8_lossy(&end_marker);
                format!("the line -----END {}----- is missing", name.trim().trim_matches('-'))
            }
            pem::Error::IllegalSectionStart { .. } => "a malformed line -----BEGIN".to_owned(),
            pem::Error::Base64Decode(_) => "malformed base64".to_owned(),
            other => other.to_string(),
        };
        invalid(what, path, &reason).with_hint("the file is PEM, as `openssl x509` writes it")
    })
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    // A named pipe without a writer must not block a reload.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    opened.and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).map_err(|error| {
        let what = format!("cannot read {what} {}", path.display());
        Error::new(ErrorKind::Config, what).with_source(error)
    })?;
    if bytes.len() as u64 > FILE_MAX {
        let what = format!("{} is too long for {what}: expected at most 4 MiB", path.display());
        return Err(Error::new(ErrorKind::Config, what));
    }
    Ok(bytes)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

pub(super) fn invalid(what: &str, path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("invalid {what} {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::provider::provider;
    use crate::tls::test_certificates::{self, Made};

    /// The error for these two files.
    fn error(certificate: &str, key: &str) -> Error {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("c.pem"), certificate).unwrap();
        std::fs::write(path("k.pem"), key).unwrap();
        let files = CertificateFiles::new(path("c.pem"), path("k.pem"));
        let error = super::certificate(&files, &provider()).map(|_| ()).unwrap_err();
        let message = format!("{error:#}").replace(&format!("{}/", dir.path().display()), "");
        Error::new(error.kind(), message).with_hint(error.hint().unwrap_or_default())
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let Made { certificate_pem: cert, key_pem: key, .. } = test_certificates::shared();
        let other = test_certificates::for_names(&["b.test"]);
        let cut = cert.rsplit_once("-----END").unwrap().0;
        let in_base64 = cert.replacen("MII", "M*I", 1);
        let not_der = "-----BEGIN CERTIFICATE-----\nTWlsbHBvbmQ=\n-----END CERTIFICATE-----\n";
        let not_a_key = "-----BEGIN PRIVATE KEY-----\nTWlsbHBvbmQ=\n-----END PRIVATE KEY-----\n";
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nTWls\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                             DEK-Info: AES-256-CBC,00\n\nTWls\n-----END RSA PRIVATE KEY-----\n";
        let table = [
            ("", key.as_str(), "invalid certificate c.pem: no certificate in it"),
            ("text", key, "invalid certificate c.pem: no certificate in it"),
            (key, cert, "invalid certificate c.pem: it has a key and no certificate"),
            (cut, key, "invalid certificate c.pem: the line -----END CERTIFICATE----- is missing"),
            (&in_base64, key, "invalid certificate c.pem: malformed base64"),
            (not_der, key, "invalid certificate c.pem: not a certificate in DER"),
            (cert, "", "invalid key k.pem: no private key in it"),
            (cert, cert, "invalid key k.pem: it has a certificate and no key"),
            (cert, encrypted, "invalid key k.pem: it is encrypted"),
            (cert, old_encrypted, "invalid key k.pem: it is encrypted"),
            (cert, not_a_key, "invalid key k.pem: a key of an unknown kind"),
            (cert, &other.key_pem, "the key k.pem does not belong to the certificate c.pem"),
        ];
        for (certificate, key, message) in table {
            let error = error(certificate, key);
            assert_eq!(error.to_string(), message);
            assert_eq!(error.kind(), ErrorKind::Config, "{message}");
            assert!(message.ends_with("DER") || !error.hint().unwrap().is_empty(), "{message}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason_of_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none.pem");
        let error = certificates(&missing, "the certificate").unwrap_err();
        let expected =
            format!("cannot read the certificate {}: no such file or directory", missing.display());
        assert_eq!(format!("{error:#}"), expected);
        assert!(certificates(dir.path(), "the certificate").is_err());
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let error = certificates(&pipe, "the certificate").unwrap_err();
        assert!(error.to_string().ends_with("no certificate in it"), "{error}");
        let long = dir.path().join("long.pem");
        std::fs::File::create(&long).unwrap().set_len(FILE_MAX + 1).unwrap();
        let error = certificates(&long, "the certificate").unwrap_err();
        assert!(error.to_string().contains("expected at most 4 MiB"), "{error}");
    }

    #[test]
    fn one_file_may_have_the_certificate_and_the_key() {
        let made = test_certificates::shared();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("both.pem");
        std::fs::write(&path, format!("{}{}", made.key_pem, made.certificate_pem)).unwrap();
        let files = CertificateFiles::new(&path, &path);
        let loaded = certificate(&files, &provider()).unwrap();
        assert_eq!(loaded.info.names(), ["a.test"]);
    }
}
