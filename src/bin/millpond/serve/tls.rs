//! TLS of the daemon: the certificates of the sites, and what the log and `check` say about them.

use std::path::PathBuf;
use std::time::SystemTime;

use log::{Level, log};
use millpond::{CertificateFiles, CertificateInfo, Tls, TlsSettings};

use crate::failure::{Failure, code};
use crate::settings::{Loaded, Settings, Site};
use crate::sites::routing::{ListenerSites, site};
use crate::validity::validity;

/// A certificate that expires in fewer days is logged as a warning each day. Certificates of 90
/// days are usually renewed 30 days before.
const WARNING_DAYS: i64 = 14;

const SCHEME: &str = "tls://";

/// Whether connections of an endpoint have TLS.
pub(super) fn is_tls(endpoint: &str) -> bool {
    endpoint.starts_with(SCHEME)
}

/// The endpoint without TLS: `tls://[::]:443` is TCP, `tls://fd:NAME` is a passed socket.
pub(super) fn without_tls(endpoint: &str) -> String {
    match endpoint.strip_prefix(SCHEME) {
        Some(passed) if passed.starts_with("fd:") => passed.to_owned(),
        Some(address) => format!("tcp://{address}"),
        None => endpoint.to_owned(),
    }
}

/// Whether any site has a certificate.
pub(super) fn has_certificate(settings: &Settings) -> bool {
    sites(settings).any(|site| site.tls.cert.is_some())
}

fn sites(settings: &Settings) -> impl Iterator<Item = &Site> {
    std::iter::once(&settings.site).chain(&settings.sites)
}

fn endpoints(settings: &Settings) -> impl Iterator<Item = &String> {
    settings.bind.iter().chain(settings.sites.iter().flat_map(|site| &site.bind))
}

/// The settings of the library. `None`: no site has a certificate.
fn tls_settings(settings: &Settings) -> Option<TlsSettings> {
    let certificates = sites(settings).filter_map(|site| {
        let chain = site.tls.cert.as_ref()?;
        let key = site.tls.key.as_ref().unwrap_or(chain);
        let mut files = CertificateFiles::new(chain, key);
        // A certificate for tests may have other names than its site.
        files.names = site.hosts.iter().filter(|host| *host != "*").cloned().collect();
        Some(files)
    });
    let mut tls = TlsSettings::default();
    tls.certificates = certificates.collect();
    tls.min_version = settings.tls.min;
    tls.client_auth = settings.tls.client_auth;
    tls.client_ca.clone_from(&settings.tls.client_ca);
    tls.redirect = settings.tls.redirect;
    (!tls.certificates.is_empty()).then_some(tls)
}

/// Every file that is read, at the start and by each reload.
pub(super) fn files(settings: &Settings) -> Vec<PathBuf> {
    let of_sites = sites(settings).flat_map(|site| [&site.tls.cert, &site.tls.key]);
    of_sites.chain([&settings.tls.client_ca]).flatten().cloned().collect()
}

/// Loads the certificates, if an endpoint needs them.
pub(super) fn load(settings: &Settings) -> Result<Option<Tls>, Failure> {
    match tls_settings(settings) {
        Some(tls) if endpoints(settings).any(|endpoint| is_tls(endpoint)) => {
            Ok(Some(Tls::new(&tls)?))
        }
        _ => Ok(None),
    }
}

/// Loads new certificates for a running server, without using them yet.
pub(super) fn prepare(
    tls: Option<&Tls>,
    settings: &Settings,
) -> Result<Option<millpond::TlsReplacement>, Failure> {
    match (tls, tls_settings(settings)) {
        (Some(tls), Some(settings)) => Ok(Some(tls.prepare(&settings)?)),
        (Some(_), None) => {
            let what = "no certificate for the endpoints tls:// that the server listens at";
            Err(Failure::new(code::CONFIG, what)
                .with_hint("set tls.cert and tls.key; without TLS, start the server again"))
        }
        (None, _) => Ok(None),
    }
}

/// Logs a line for each certificate: a warning if it is not valid, or expires soon.
pub(super) fn log_certificates(tls: &Tls, now: SystemTime) {
    for info in &tls.certificates() {
        let level = if needs_warning(info, now) { Level::Warn } else { Level::Info };
        log!(level, "{}", line(info, now));
    }
}

/// A line for each certificate that is not valid, or that expires soon.
pub(super) fn expiry_warnings(tls: &Tls, now: SystemTime) -> Vec<String> {
    let certificates = tls.certificates();
    let soon = certificates.iter().filter(|info| needs_warning(info, now));
    soon.map(|info| line(info, now)).collect()
}

fn needs_warning(info: &CertificateInfo, now: SystemTime) -> bool {
    info.days_left(now) < WARNING_DAYS || info.not_before() > now
}

fn line(info: &CertificateInfo, now: SystemTime) -> String {
    format!("the certificate for {} {}", info.name(), validity(info, now))
}

/// The failure for the first certificate that is not valid now, for `millpond check`.
pub(super) fn check_validity(tls: &Tls, now: SystemTime) -> Result<(), Failure> {
    let is_invalid = |info: &&CertificateInfo| info.days_left(now) < 0 || info.not_before() > now;
    let certificates = tls.certificates();
    let Some(info) = certificates.iter().find(is_invalid) else { return Ok(()) };
    let what = line(info, now);
    Err(Failure::new(code::CONFIG, what)
        .with_hint("renew it, or correct the clock; `serve` only warns of it"))
}

/// Warnings of settings without effect, and of names that have no certificate.
pub(super) fn warnings(
    loaded: &Loaded,
    tls: Option<&Tls>,
    listeners: &[ListenerSites],
) -> Vec<String> {
    let settings = &loaded.settings;
    let Some(tls) = tls else {
        let unused = has_certificate(settings);
        let line = "tls.cert has no effect without an endpoint tls://HOST:PORT";
        return unused.then(|| line.to_owned()).into_iter().collect();
    };
    let mut lines = Vec::new();
    let with_tls = listeners.iter().filter_map(|listener| {
        let endpoint = listener.endpoint.as_deref().filter(|endpoint| is_tls(endpoint))?;
        Some((endpoint, &listener.sites))
    });
    for (endpoint, numbers) in with_tls {
        let hosts = numbers.iter().flat_map(|number| &site(settings, *number).hosts);
        for host in hosts.filter(|host| *host != "*" && !is_covered(tls, host)) {
            lines.push(format!("no certificate for {host}, a site at {endpoint}"));
        }
    }
    lines
}

/// Whether a certificate has this name by itself. That of its site is served for it anyway.
fn is_covered(tls: &Tls, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let parent = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let has = |name: &String| *name == host || parent.as_ref() == Some(name);
    tls.certificates().iter().any(|info| info.names().iter().any(has))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_is_warned_of_before_it_is_valid_and_from_two_weeks_before_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2030, 1, 1), date_time_ymd(2030, 4, 1));
        let key = KeyPair::generate().unwrap();
        let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        let tls = Tls::new(&TlsSettings::with_certificate(cert_file, key_file)).unwrap();
        let begin = tls.certificates()[0].not_before();
        assert_eq!(begin.duration_since(UNIX_EPOCH).unwrap().as_secs(), 1_893_456_000);
        let table = [
            (-1.0, Some("is not valid before 2030-01-01")),
            (0.0, None),
            (75.9, None),
            (76.1, Some("expires in 13 days, on 2030-04-01")),
            (89.5, Some("expires within a day")),
            (90.5, Some("has expired on 2030-04-01")),
        ];
        for (day, expected) in table {
            let now = begin - Duration::from_secs(86_400)
                + Duration::from_secs_f64((day + 1.0) * 86_400.0);
            let lines = expiry_warnings(&tls, now);
            let line = expected.map(|text| format!("the certificate for a.test {text}"));
            assert_eq!(lines, Vec::from_iter(line), "day {day}");
        }
    }
}
