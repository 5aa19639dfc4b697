//! Queries and forms as types of serde (`application/x-www-form-urlencoded`, defined by the WHATWG
//! URL standard, §5). Feature `form`.

use http::StatusCode;
use memchr::memchr_iter;
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;

use super::decode::{DECODED_BODY_MAX, check_media_type, field, shorten};
use super::request::Request;
use super::request_error::RequestError;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The most fields of a query or a form.
const FIELDS_MAX: usize = 1000;

impl Request {
    /// The query of the target as a value of `T`, a struct or a map. A name that occurs several
    /// times fills a `Vec`. An empty value of an optional number is `None`. Without a query, all
    /// fields are missing.
    ///
    /// # Errors
    /// 400 if the query does not fit `T`, has more than 1,000 fields, or has one that is not UTF-8.
    /// The text names the field: `query field "page": invalid digit found in string`.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, RequestError};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Search {
    ///     q: String,
    ///     #[serde(default)]
    ///     tag: Vec<String>,
    ///     limit: Option<u32>,
    /// }
    ///
    /// fn search(req: &mut Request) -> Result<String, RequestError> {
    ///     let search: Search = req.query()?;
    ///     let (tags, limit) = (search.tag.join(" and "), search.limit.unwrap_or(20));
    ///     Ok(format!("{} with {tags}, at most {limit}\n", search.q))
    /// }
    ///
    /// let request = http::Request::builder().uri("/search?q=rye+bread&tag=old&tag=good");
    /// let mut request = Request::from(request.body("".into()).unwrap());
    /// assert_eq!(search(&mut request).unwrap(), "rye bread with old and good, at most 20\n");
    /// ```
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        let query = self.uri().query().unwrap_or_default();
        let unfit = StatusCode::BAD_REQUEST;
        Encoded { kind: "query", unfit, too_many: unfit }.decode(query.as_bytes())
    }

    /// Reads the body, a form of at most 1 MiB, as a value of `T`: see [`query`](Self::query).
    ///
    /// # Errors
    /// - 415 unless the content type is `application/x-www-form-urlencoded`.
    /// - 413 for a longer body, or for more than 1,000 fields, and the other errors of
    ///   [`read_body`](Self::read_body).
    /// - 400 if a field is not UTF-8.
    /// - 422 if the form does not fit `T`. The text names the field:
    ///   `form field "age": invalid digit found in string`.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, RequestError, Response};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Order {
    ///     kind: String,
    ///     loaves: u8,
    /// }
    ///
    /// fn order(req: &mut Request) -> Result<Response, RequestError> {
    ///     let order: Order = req.form()?;
    ///     println!("{} of {}", order.loaves, order.kind);
    ///     Ok(Response::redirect("/orders"))
    /// }
    /// ```
    pub fn form<T: DeserializeOwned>(&mut self) -> Result<T, RequestError> {
        check_media_type(self.headers(), FORM, |found| found == FORM)?;
        let body = self.read_body(DECODED_BODY_MAX)?;
        let unfit = StatusCode::UNPROCESSABLE_ENTITY;
        Encoded { kind: "form", unfit, too_many: StatusCode::PAYLOAD_TOO_LARGE }.decode(&body)
    }
}

/// The kind of encoded fields, and the statuses of its errors.
struct Encoded {
    kind: &'static str,
    unfit: StatusCode,
    too_many: StatusCode,
}

impl Encoded {
    fn decode<T: DeserializeOwned>(&self, fields: &[u8]) -> Result<T, RequestError> {
        let kind = self.kind;
        if memchr_iter(b'&', fields).count() >= FIELDS_MAX {
            let message = format!("the {kind} has more than {FIELDS_MAX} fields");
            return Err(RequestError::new(self.too_many, message));
        }
        if let Some(name) = first_not_utf8(fields) {
            let message = format!("{kind} field {:?}: not UTF-8", shorten(&name));
            return Err(RequestError::new(StatusCode::BAD_REQUEST, message));
        }
        let error = match serde_html_form::from_bytes(fields) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Keeping track of the path takes time, so that only a second try does it.
        let again = serde_html_form::Deserializer::from_bytes(fields);
        let (field, error) = match serde_path_to_error::deserialize::<_, T>(again) {
            Ok(_) => (String::new(), error),
            Err(found) => (field(found.path()), found.into_inner()),
        };
        let reason = match error.to_string() {
            // What serde_html_form says of a repeated name where one value is expected.
            vague if vague == "unsupported value" => "expected one value".to_owned(),
            reason => reason,
        };
        let message = format!("{kind}{field}: {}", shorten(&reason));
        Err(RequestError::new(self.unfit, message))
    }
}

/// The name of the first field that is not UTF-8 when it is decoded. serde_html_form would replace
/// such bytes.
fn first_not_utf8(fields: &[u8]) -> Option<String> {
    // Fields are separated by ASCII, so that all together are UTF-8 if each is.
    if percent_decode(fields).decode_utf8().is_ok() {
        return None;
    }
    let mut all = fields.split(|&byte| byte == b'&');
    let field = all.find(|field| percent_decode(field).decode_utf8().is_err())?;
    let name = field.split(|&byte| byte == b'=').next().unwrap_or_default();
    Some(percent_decode(name).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::http::Body;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Search {
        q: String,
        tag: Vec<u8>,
        page: Option<u32>,
    }

    fn query(query: &str) -> Result<Search, RequestError> {
        let request = http::Request::builder().uri(format!("/search{query}"));
        Request::from(request.body(Body::empty()).unwrap()).query()
    }

    fn form<T: DeserializeOwned>(body: impl Into<Body>) -> Result<T, RequestError> {
        let request = http::Request::builder().header("content-type", FORM);
        Request::from(request.body(body.into()).unwrap()).form()
    }

    #[test]
    fn a_query_fills_a_struct() {
        let search = |q: &str, tag: &[u8], page| Search { q: q.into(), tag: tag.into(), page };
        for (text, expected) in [
            ("", search("", &[], None)),
            ("?", search("", &[], None)),
            ("?q=rye+bread%20%e2%82%ac&x=y", search("rye bread €", &[], None)),
            ("?tag=1&q=%26&tag=2&page=3", search("&", &[1, 2], Some(3))),
            ("?tag=1&page=", search("", &[1], None)),
            ("?&&q=a%zz", search("a%zz", &[], None)),
        ] {
            assert_eq!(query(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_field() {
        for (text, message) in [
            ("?page=x", "query field \"page\": invalid digit found in string"),
            ("?tag=1&tag=256", "query field \"tag[1]\": number too large to fit in target type"),
            ("?q=a&q=b", "query field \"q\": expected one value"),
            ("?a=b&q=%e2%82", "query field \"q\": not UTF-8"),
            ("?%ff=b", "query field \"\u{fffd}\": not UTF-8"),
        ] {
            let error = query(text).unwrap_err();
            assert_eq!((error.status().as_u16(), &*error.to_string()), (400, message), "{text}");
        }
        let missing = form::<(u8,)>("").unwrap_err();
        assert_eq!(missing.status(), 422, "{missing}");
        assert_eq!(form::<Search>("page=x").unwrap_err().status(), 422);
        assert_eq!(form::<Search>(&b"q=\xff"[..]).unwrap_err().status(), 400);
        let long = form::<BTreeMap<String, u8>>(format!("{}=x", "k".repeat(10_000)));
        assert!(long.unwrap_err().to_string().len() < 600);
    }

    #[test]
    fn a_form_has_a_type_a_length_and_a_number_of_fields() {
        let many = |count: usize| vec!["tag=1"; count].join("&");
        assert_eq!(form::<Search>(many(1000)).unwrap().tag.len(), 1000);
        let error = form::<Search>(many(1001)).unwrap_err();
        assert_eq!(
            (error.status().as_u16(), &*error.to_string()),
            (413, "the form has more than 1000 fields")
        );
        assert_eq!(query(&format!("?{}", many(1001))).unwrap_err().status(), 400);
        let long = format!("q={}", "a".repeat(1 << 20));
        assert_eq!(form::<Search>(long).unwrap_err().status(), 413);
        let request = http::Request::builder().header("content-type", "text/plain");
        let mut request = Request::from(request.body("q=a".into()).unwrap());
        let error = request.form::<Search>().unwrap_err();
        assert_eq!(error.status(), 415);
        assert_eq!(
            error.to_string(),
            "unsupported content type \"text/plain\": \
             expected application/x-www-form-urlencoded"
        );
    }
}
