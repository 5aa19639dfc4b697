//! `Server-Timing`: the times of a response, for its client (W3C Server Timing).

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::http::message::Response;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Appends the field with the time in the queue and in the handler. A field of the handler stays:
/// several lines are one list.
#[inline(never)]
pub(super) fn add(response: &mut Response, queue: Duration, app: Duration) {
    let text = format!("queue;dur={}, app;dur={}", Millis(queue), Millis(app));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().append(SERVER_TIMING, value);
    }
}

/// A time in milliseconds with three digits.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_with_three_digits_behind_those_of_the_handler() {
        let mut response = Response::text("");
        response.headers_mut().insert(SERVER_TIMING, HeaderValue::from_static("db;dur=2"));
        add(&mut response, Duration::from_nanos(1_999), Duration::from_micros(12_003_045));
        let values: Vec<_> = response.headers().get_all(SERVER_TIMING).iter().collect();
        assert_eq!(values, ["db;dur=2", "queue;dur=0.001, app;dur=12003.045"]);
    }
}
