//! What `-v` and `--probe` print about a connection with TLS.

use std::time::SystemTime;

use millpond::CertificateInfo;
use rustls::{ClientConnection, ProtocolVersion};

use super::client::TlsClient;
use crate::connect::args::ConnectArgs;
use crate::connect::output::note;
use crate::validity::validity;

/// The most certificates of a chain, and names of a certificate, that are printed.
const MOST: usize = 16;

/// With `-v`, says what was negotiated. With `--insecure`, always says that nothing was verified.
pub(in crate::connect) fn report(args: &ConnectArgs, client: &TlsClient) {
    if args.verbose {
        lines(client).iter().for_each(|line| note(line));
    }
    if args.insecure {
        note("warning: the certificate was not verified (--insecure)");
    }
}

/// What was negotiated, and a line for each certificate.
fn lines(client: &TlsClient) -> Vec<String> {
    let session = client.session();
    let mut lines = vec![negotiated(&session)];
    let chain = session.peer_certificates().unwrap_or_default();
    for (number, der) in chain.iter().take(MOST).enumerate() {
        lines.push(match CertificateInfo::from_der(der) {
            Ok(info) => format!("certificate {number}: {}", describe(&info)),
            Err(error) => format!("certificate {number}: {error}"),
        });
    }
    lines
}

/// `TLSv1.3, TLS13_AES_256_GCM_SHA384, X25519MLKEM768, ALPN http/1.1`.
fn negotiated(session: &ClientConnection) -> String {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "unknown version",
    };
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let group = session.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
    let alpn = session.alpn_protocol().map(|name| format!("ALPN {}", name.escape_ascii()));
    let parts = [Some(version), suite, group, alpn.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn describe(info: &CertificateInfo) -> String {
    let names = info.names();
    let shown = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let names = match names.len() {
        0 => String::new(),
        1..=MOST => format!("; for {shown}"),
        more => format!("; for {shown} and {} more", more - MOST),
    };
    let validity = validity(info, SystemTime::now());
    format!("{}{names}; issued by {}; {validity}", info.subject(), info.issuer())
}

/// The certificate of the server itself.
fn own(client: &TlsClient) -> Option<CertificateInfo> {
    let session = client.session();
    CertificateInfo::from_der(session.peer_certificates()?.first()?).ok()
}

/// Until when the certificate of the server is valid.
pub(in crate::connect) fn certificate_line(client: &TlsClient) -> Option<String> {
    let info = own(client)?;
    Some(format!("certificate for {} {}", info.name(), validity(&info, SystemTime::now())))
}

/// Days until the certificate of the server expires.
pub(in crate::connect) fn days_left(client: &TlsClient) -> Option<i64> {
    own(client).map(|info| info.days_left(SystemTime::now()))
}
