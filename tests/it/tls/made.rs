//! Certificates that tests make as they run, and a daemon that serves them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::daemon::{Daemon, command};

/// An authority, and a directory for its certificates.
pub(crate) struct Authority {
    pub(crate) dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two authorities of one name would be taken for one whose signature is wrong.
        let name = format!("test authority {}", dir.path().file_name().unwrap().display());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes `FILE.pem` and `FILE.key`, for these names and years.
    pub(crate) fn sign(&self, file: &str, names: &[&str], years: (i32, i32)) {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // Replaced at once, as tools for renewal do it: no reader finds half a file.
        replace(&self.path(&format!("{file}.pem")), &certificate.pem());
        replace(&self.path(&format!("{file}.key")), &key.serialize_pem());
    }

    /// The same, valid now and for long.
    pub(crate) fn good(&self, file: &str, names: &[&str]) {
        self.sign(file, names, (2020, 2100));
    }
}

/// Replaces a file by a new one.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Starts `millpond serve` on a free port with TLS. Its endpoint is returned, too.
pub(crate) fn serve(args: &[&str]) -> (Daemon, String) {
    let mut daemon =
        Daemon::start(command(&[&["serve", "-b", "tls://127.0.0.1:0"], args].concat()));
    let line = daemon.wait_for("listening on tls://");
    let endpoint = line.split("listening on ").last().unwrap().to_owned();
    (daemon, endpoint)
}

/// Runs `millpond connect`.
pub(crate) fn connect(args: &[&str]) -> Output {
    command(&[&["connect"], args].concat()).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
