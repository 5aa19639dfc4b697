//! Until when a certificate is valid, in words.

use std::time::SystemTime;

use millpond::CertificateInfo;
use time::OffsetDateTime;

/// `expires in 89 days, on 2027-02-23`, to follow what names the certificate.
pub(crate) fn validity(info: &CertificateInfo, now: SystemTime) -> String {
    let date = |time: SystemTime| OffsetDateTime::from(time).date();
    let (days, end) = (info.days_left(now), date(info.not_after()));
    if info.not_before() > now {
        return format!("is not valid before {}", date(info.not_before()));
    }
    match days {
        ..0 => format!("has expired on {end}"),
        0 => "expires within a day".to_owned(),
        1 => "expires in 1 day".to_owned(),
        _ => format!("expires in {days} days, on {end}"),
    }
}
