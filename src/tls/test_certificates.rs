//! Certificates for unit tests, which are made as they run.

use std::path::Path;
use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::settings::CertificateFiles;

/// A certificate and its key.
pub(crate) struct Made {
    pub(crate) certificate: Vec<u8>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

pub(crate) type Date = time::OffsetDateTime;

pub(crate) fn date(year: i32, month: u8, day: u8) -> Date {
    rcgen::date_time_ymd(year, month, day)
}

/// The certificates of the authority, and of what it signs.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, names: &[&str], valid: (Date, Date)) -> Made {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = valid;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Made {
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

pub(crate) fn signed(names: &[&str], valid: (Date, Date)) -> Made {
    Authority::new().sign(names, valid)
}

pub(crate) fn for_names(names: &[&str]) -> Made {
    signed(names, (date(2020, 1, 1), date(2100, 1, 1)))
}

/// A certificate for `a.test`, the same for all tests.
pub(crate) fn shared() -> &'static Made {
    static SHARED: LazyLock<Made> = LazyLock::new(|| for_names(&["a.test"]));
    &SHARED
}

impl Made {
    /// Writes `NAME.pem` and `NAME.key` into a directory.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> CertificateFiles {
        let chain = dir.join(format!("{name}.pem"));
        let key = dir.join(format!("{name}.key"));
        std::fs::write(&chain, &self.certificate_pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        CertificateFiles::new(chain, key)
    }
}
