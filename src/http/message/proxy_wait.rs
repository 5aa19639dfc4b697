//! `X-Request-Start`: how long a request waited in a proxy before it arrived.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName};

use crate::http::codec::request::request_age;

/// The field in which a proxy sends when it received the request.
const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// How long a proxy had the request with these fields before it `arrived` here. Only a trusted
/// proxy can be believed: any other client could claim any wait.
pub(crate) fn wait_at_proxy(headers: &HeaderMap, arrived: Instant) -> Duration {
    proxied_at(headers).map_or(Duration::ZERO, |at| arrived.saturating_duration_since(at))
}

/// When a proxy received the request, if it says so.
pub(super) fn proxied_at(headers: &HeaderMap) -> Option<Instant> {
    let value = headers.get(REQUEST_START)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Instant::now().checked_sub(request_age(value.as_bytes(), now)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_lengthens_the_wait_unless_its_clock_is_ahead() {
        let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut headers = HeaderMap::new();
        let value = format!("t={:.6}", (unix_now - Duration::from_secs(2)).as_secs_f64());
        headers.insert("X-Request-Start", value.try_into().unwrap());
        let arrived = Instant::now();
        let wait = wait_at_proxy(&headers, arrived);
        assert!((1.9..=2.1).contains(&wait.as_secs_f64()), "{wait:?}");
        let before = arrived - Duration::from_secs(9);
        assert_eq!(wait_at_proxy(&headers, before), Duration::ZERO);
    }
}
