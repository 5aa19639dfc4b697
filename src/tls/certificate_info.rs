//! [`CertificateInfo`]: what a certificate says, for people and for metrics.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

use super::der::{BMP, BOOLEAN, Der, INTEGER, OBJECT, OCTETS, SEQUENCE, SET, T61};
use crate::error::{Error, ErrorKind};

/// What a certificate says. Nothing is verified here.
///
/// # Examples
/// ```
/// use millpond::CertificateInfo;
///
/// /// The name of a client that has sent this certificate.
/// fn client_name(der: &[u8]) -> Result<String, millpond::Error> {
///     Ok(CertificateInfo::from_der(der)?.subject().to_owned())
/// }
///
/// assert!(client_name(b"no certificate").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// The attributes of a name that are shown (RFC 4519 §2), by their object identifiers below 2.5.4.
const ATTRIBUTES: [(u8, &str); 6] =
    [(3, "CN"), (6, "C"), (7, "L"), (8, "ST"), (10, "O"), (11, "OU")];

/// 2.5.29.17, the alternative names of the subject.
const ALTERNATIVE_NAMES: &[u8] = b"\x55\x1d\x11";

/// The names that are read. A certificate of a public authority has at most a hundred.
const NAMES_MAX: usize = 10_000;

impl CertificateInfo {
    /// Reads a certificate in DER (RFC 5280 §4.1).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the bytes are not a certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        read(der).ok_or_else(|| Error::new(ErrorKind::Config, "not a certificate in DER"))
    }

    /// The subject, such as `CN=example.org`. Control characters are escaped.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The authority that has issued the certificate.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The host names and IP addresses that the certificate is for: `example.org`,
    /// `*.example.org`, `192.0.2.1`. The common name of the subject is not among them, since
    /// clients ignore it.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first name, or else the subject.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }

    /// The time from which on the certificate is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The time until which the certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whole days from `now` until the certificate expires. Below 0: it has expired.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> i64 {
        const DAY: u64 = 86_400;
        match self.not_after.duration_since(now) {
            Ok(left) => (left.as_secs() / DAY) as i64,
            Err(past) => -1 - (past.duration().as_secs() / DAY) as i64,
        }
    }
}

fn read(der: &[u8]) -> Option<CertificateInfo> {
    let mut certificate = Der(der).expect(SEQUENCE)?;
    let mut signed = certificate.expect(SEQUENCE)?;
    // The version.
    signed.optional(0xa0);
    signed.expect(INTEGER)?;
    signed.expect(SEQUENCE)?;
    let issuer = distinguished_name(signed.expect(SEQUENCE)?);
    let mut validity = signed.expect(SEQUENCE)?;
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    let subject = distinguished_name(signed.expect(SEQUENCE)?);
    // The public key, and two fields that are obsolete.
    signed.expect(SEQUENCE)?;
    signed.optional(0x81);
    signed.optional(0x82);
    let extensions = signed.optional(0xa3).and_then(|mut outer| outer.expect(SEQUENCE));
    let names = extensions.map(alternative_names).unwrap_or_default();
    Some(CertificateInfo { subject, issuer, names, not_before, not_after })
}

/// The attributes of a name, the most particular first: `CN=a, O=b`.
fn distinguished_name(mut sequence: Der<'_>) -> String {
    let mut parts = Vec::new();
    while let Some(mut set) = sequence.expect(SET) {
        while let Some(mut attribute) = set.expect(SEQUENCE) {
            let Some(Der(&[0x55, 0x04, kind])) = attribute.expect(OBJECT) else { continue };
            let known = ATTRIBUTES.iter().find(|(number, _)| *number == kind);
            if let (Some((_, name)), Some((tag, value))) = (known, attribute.any()) {
                parts.push(format!("{name}={}", text(tag, value)));
            }
        }
    }
    parts.reverse();
    parts.join(", ")
}

/// A string as text, with control characters escaped, as the text goes to logs and terminals.
fn text(tag: u8, bytes: &[u8]) -> String {
    let text: String = match tag {
        T61 => bytes.iter().copied().map(char::from).collect(),
        BMP => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn alternative_names(mut extensions: Der<'_>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(mut extension) = extensions.expect(SEQUENCE) {
        if extension.expect(OBJECT).map(|id| id.0) != Some(ALTERNATIVE_NAMES) {
            continue;
        }
        // Whether the extension is critical.
        extension.optional(BOOLEAN);
        let list = extension.expect(OCTETS).and_then(|mut value| value.expect(SEQUENCE));
        let Some(mut list) = list else { continue };
        while let Some((tag, value)) = list.any().filter(|_| names.len() < NAMES_MAX) {
            match (tag, value.len()) {
                // A host name is ASCII.
                (0x82, _) => names.push(text(tag, value).to_ascii_lowercase()),
                (0x87, 4) => names.extend(<[u8; 4]>::try_from(value).ok().map(address)),
                (0x87, 16) => names.extend(<[u8; 16]>::try_from(value).ok().map(address)),
                _ => {}
            }
        }
    }
    names
}

fn address(octets: impl Into<IpAddr>) -> String {
    octets.into().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::test_certificates::{self, date};
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_certificate_has_names_dates_and_an_issuer() {
        let made = test_certificates::signed(
            &["a.test", "*.B.test", "192.0.2.1", "::1"],
            (date(2020, 1, 2), date(2060, 3, 4)),
        );
        let info = CertificateInfo::from_der(&made.certificate).unwrap();
        assert_eq!(info.names(), ["a.test", "*.b.test", "192.0.2.1", "::1"]);
        assert_eq!(info.name(), "a.test");
        assert_eq!(info.subject(), "CN=a.test");
        assert_eq!(info.issuer(), "CN=test authority");
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds(info.not_before()), 1_577_923_200);
        assert_eq!(seconds(info.not_after()), 2_845_584_000);
        let day = Duration::from_secs(86_400);
        for (now, left) in [
            (info.not_after() - day, 1),
            (info.not_after() - day / 2, 0),
            (info.not_after(), 0),
            (info.not_after() + day / 2, -1),
            (info.not_after() + day, -2),
        ] {
            assert_eq!(info.days_left(now), left);
        }
    }

    #[test]
    fn a_name_has_no_control_characters() {
        assert_eq!(text(0x0c, b"a\x1b[2J\n\xc3\xa4\xff"), "a\\u{1b}[2J\\nä\u{fffd}");
        assert_eq!(text(T61, b"a\xe4"), "aä");
        assert_eq!(text(BMP, b"\0a\0\xe4"), "aä");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CertificateInfo::from_der(&bytes);
        }

        #[test]
        fn no_damaged_certificate_panics(at in 0..400_usize, byte: u8, cut in 0..500_usize) {
            let made = test_certificates::shared();
            let mut der = made.certificate.clone();
            let index = at % der.len();
            der[index] = byte;
            let _ = CertificateInfo::from_der(&der);
            der.truncate(cut);
            let _ = CertificateInfo::from_der(&der);
        }
    }
}
