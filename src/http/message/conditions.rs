//! Conditional requests for handlers: validators in responses, and preconditions (RFC 9110 §13).

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED,
};
use http::{Method, StatusCode};

use super::body::Body;
use super::request::Request;
use super::request_error::RequestError;
use super::response::Response;
use crate::http::conditional::{
    FailedWrite, Preconditions, Validators, evaluate, evaluate_write, http_date, is_tag, seconds,
};
use crate::sync::unix_seconds;

impl Response {
    /// This response with an entity tag (RFC 9110 §8.8.3): a text that differs for each version of
    /// the resource, such as a revision or a hash. A text without quotes gets them; `W/"…"` is a
    /// weak tag.
    ///
    /// A text with spaces, control characters or inner quotes makes the response a 500, as in
    /// [`with_header`](Self::with_header).
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Response;
    ///
    /// let response = Response::text("bread\n").with_etag("v7");
    /// assert_eq!(response.headers()["etag"], "\"v7\"");
    /// ```
    #[must_use]
    pub fn with_etag(self, tag: &str) -> Self {
        let quoted = quoted(tag);
        match is_tag(quoted.as_bytes()) && !quoted.bytes().any(|b| b <= b' ' || b == 0x7f) {
            true => self.with_header(ETAG, &*quoted),
            false => self.into_failed(format_args!("invalid entity tag {tag:?}")),
        }
    }

    /// This response with the time of the last modification (RFC 9110 §8.8.2), in whole seconds. A
    /// time in the future is replaced by the present, and one before 1970 is left out.
    #[must_use]
    pub fn with_last_modified(self, time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(time) => {
                self.with_header(LAST_MODIFIED, http_date(time.as_secs().min(unix_seconds())))
            }
            Err(_) => self,
        }
    }

    /// The response to a GET or HEAD under the request's conditions (RFC 9110 §13.2.2), by the
    /// ETag and the Last-Modified of this response: a 304 if the client has this version already, a
    /// 412 if it expects another. Other methods, and any status but 200, leave the response as it
    /// is.
    ///
    /// The body of a response made by [`Body::from_writer`] is not written for a 304.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    ///
    /// fn show(req: &mut Request) -> Response {
    ///     Response::text("bread\n").with_etag("v7").conditional(req)
    /// }
    ///
    /// let request = http::Request::builder().header("if-none-match", "\"v7\"");
    /// let mut request = Request::from(request.body("".into()).unwrap());
    /// assert_eq!(show(&mut request).status(), 304);
    /// ```
    #[must_use]
    pub fn conditional(mut self, request: &Request) -> Self {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads || self.status() != StatusCode::OK {
            return self;
        }
        let field = |name| self.headers().get(name).map(http::HeaderValue::as_bytes);
        let validators = Validators {
            etag: field(ETAG).unwrap_or_default(),
            modified: field(LAST_MODIFIED).and_then(seconds),
        };
        match evaluate(request.headers(), &validators, unix_seconds()) {
            Preconditions::Proceed => self,
            Preconditions::Failed => Self::error(StatusCode::PRECONDITION_FAILED),
            Preconditions::NotModified => {
                *self.body_mut() = Body::empty();
                // RFC 9110 §15.4.5: what describes the content is for those who get it.
                for name in [
                    CONTENT_ENCODING,
                    CONTENT_LANGUAGE,
                    CONTENT_LENGTH,
                    CONTENT_RANGE,
                    CONTENT_TYPE,
                ] {
                    self.headers_mut().remove(name);
                }
                self.with_status(StatusCode::NOT_MODIFIED)
            }
        }
    }
}

impl Request {
    /// Checks If-Match and If-None-Match before the handler changes a resource, by its present
    /// entity tag, with or without quotes: `None` if it does not exist. So no client overwrites a
    /// version that it has not seen (RFC 9110 §13.1.1), or a resource where it expects none
    /// (`If-None-Match: *`, §13.1.2).
    ///
    /// A request without these fields has no conditions.
    ///
    /// # Errors
    /// 412 if a condition is false.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Problem, Request, Response};
    ///
    /// fn replace(req: &mut Request) -> Result<Response, Problem> {
    ///     let revision = 7; // of the database
    ///     req.check_preconditions(Some(&format!("v{revision}")))?;
    ///     let text = req.read_text(10_000)?;
    ///     println!("saved {} bytes as revision {}", text.len(), revision + 1);
    ///     Ok(Response::no_content().with_etag(&format!("v{}", revision + 1)))
    /// }
    ///
    /// let request = http::Request::builder().method("PUT").header("if-match", "\"v6\"");
    /// let mut request = Request::from(request.body("rye".into()).unwrap());
    /// assert_eq!(replace(&mut request).unwrap_err().status(), 412);
    /// ```
    pub fn check_preconditions(&self, etag: Option<&str>) -> Result<(), RequestError> {
        let etag = etag.map(quoted);
        let etag = etag.as_ref().map(|etag| etag.as_bytes());
        evaluate_write(self.headers(), etag).map_err(|failed| {
            let message = match (failed, etag) {
                (FailedWrite::IfMatch, None) => "If-Match: the resource does not exist",
                (FailedWrite::IfMatch, Some(_)) => "If-Match: the resource has another version",
                (FailedWrite::IfNoneMatch, _) => "If-None-Match: the resource has this version",
            };
            RequestError::new(StatusCode::PRECONDITION_FAILED, message)
        })
    }
}

/// The tag with quotes, which it may have already.
fn quoted(tag: &str) -> Cow<'_, str> {
    match tag.starts_with('"') || tag.starts_with("W/\"") {
        true => Cow::Borrowed(tag),
        false => Cow::Owned(format!("\"{tag}\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(method: &str, fields: &[(&str, &str)]) -> Request {
        let mut builder = http::Request::builder().method(method);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        Request::from(builder.body(Body::empty()).unwrap())
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn dated() -> Response {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        Response::text("12345").with_etag("v1").with_last_modified(time)
    }

    #[test]
    fn a_tag_gets_quotes_unless_it_has_them() {
        for (tag, value) in [
            ("v1", Some("\"v1\"")),
            ("\"v1\"", Some("\"v1\"")),
            ("W/\"v1\"", Some("W/\"v1\"")),
            ("", Some("\"\"")),
            ("W/v1", Some("\"W/v1\"")),
            ("a b", None),
            ("a\"b", None),
            ("\"", None),
            ("\"a", None),
            ("a\r\nb", None),
        ] {
            let response = Response::text("x").with_etag(tag);
            let found = response.headers().get(ETAG).map(|value| value.to_str().unwrap());
            assert_eq!(found, value, "{tag}");
            assert_eq!(response.status() == 500, value.is_none(), "{tag}");
        }
    }

    #[test]
    fn a_date_is_neither_in_the_future_nor_before_1970() {
        assert_eq!(dated().headers()[LAST_MODIFIED], DATE);
        let early = Response::text("x").with_last_modified(UNIX_EPOCH - Duration::from_secs(1));
        assert!(!early.headers().contains_key(LAST_MODIFIED));
        let late = SystemTime::now() + Duration::from_secs(1000);
        let late = Response::text("x").with_last_modified(late);
        assert!(seconds(late.headers()[LAST_MODIFIED].as_bytes()).unwrap() <= unix_seconds());
    }

    #[test]
    fn conditions_apply_to_a_200_of_get_and_head() {
        for (method, fields, expected) in [
            ("GET", &[][..], 200),
            ("GET", &[("if-none-match", "\"v1\"")], 304),
            ("HEAD", &[("if-none-match", "W/\"v1\"")], 304),
            ("GET", &[("if-none-match", "\"v2\""), ("if-modified-since", DATE)], 200),
            ("GET", &[("if-modified-since", DATE)], 304),
            ("GET", &[("if-match", "\"v2\"")], 412),
            ("POST", &[("if-none-match", "\"v1\"")], 200),
        ] {
            let response = dated().conditional(&request(method, fields));
            assert_eq!(response.status(), expected, "{method} {fields:?}");
        }
        let fields = &[("if-none-match", "\"v1\"")];
        let missing = dated().with_status(StatusCode::NOT_FOUND);
        assert_eq!(missing.conditional(&request("GET", fields)).status(), 404);
        let not_modified =
            dated().with_header("vary", "accept").conditional(&request("GET", fields));
        let mut names: Vec<_> =
            not_modified.headers().keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["etag", "last-modified", "vary"]);
        assert_eq!(not_modified.body().length(), Some(0));
        let untagged = Response::text("x").conditional(&request("GET", fields));
        assert_eq!(untagged.status(), 200);
    }

    #[test]
    fn a_write_under_a_false_condition_is_a_412_that_names_the_field() {
        let put = request("PUT", &[("if-match", "\"v1\"")]);
        assert!(put.check_preconditions(Some("v1")).is_ok());
        assert!(put.check_preconditions(Some("\"v1\"")).is_ok());
        for etag in [Some("v2"), Some("W/\"v1\""), None] {
            let error = put.check_preconditions(etag).unwrap_err();
            assert_eq!(error.status(), 412, "{etag:?}");
            assert!(error.to_string().starts_with("If-Match: "), "{error}");
        }
        let create = request("PUT", &[("if-none-match", "*")]);
        assert!(create.check_preconditions(None).is_ok());
        let error = create.check_preconditions(Some("v1")).unwrap_err();
        assert!(error.to_string().starts_with("If-None-Match: "), "{error}");
    }
}
