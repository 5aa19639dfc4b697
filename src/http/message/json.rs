//! JSON in requests and responses, as types of serde (RFC 8259). Feature `json`.

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::decode::{DECODED_BODY_MAX, check_media_type, field, shorten};
use super::into_response::IntoResponse;
use super::problem::Problem;
use super::request::Request;
use super::request_error::RequestError;
use super::response::Response;

impl Request {
    /// Reads the body, at most 1 MiB of JSON, as a value of `T`. [`json_up_to`](Self::json_up_to)
    /// sets another limit.
    ///
    /// # Errors
    /// - 415 unless the content type is `application/json` or ends with `+json`.
    /// - 413 for a longer body, and the other errors of [`read_body`](Self::read_body).
    /// - 400 if the body is not JSON, or nested deeper than 127 levels. The text names the line and
    ///   the column.
    /// - 422 if the JSON does not fit `T`. The text names the field, too: ``JSON field "tags[1]" at
    ///   line 1 column 34: invalid type: integer `1`, expected a string``.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{IntoResponse, Json, Problem, Request, StatusCode};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize)]
    /// struct Draft {
    ///     title: String,
    ///     #[serde(default)]
    ///     tags: Vec<String>,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Note {
    ///     id: u64,
    ///     title: String,
    /// }
    ///
    /// fn create(req: &mut Request) -> Result<impl IntoResponse + use<>, Problem> {
    ///     let draft: Draft = req.json()?;
    ///     let note = Note { id: draft.tags.len() as u64, title: draft.title };
    ///     Ok((StatusCode::CREATED, Json(note)))
    /// }
    ///
    /// let request = http::Request::builder().header("content-type", "application/json");
    /// let mut request = Request::from(request.body(r#"{"title": "Bread"}"#.into())?);
    /// let mut response = create(&mut request).into_response();
    /// assert_eq!(response.status(), 201);
    /// assert_eq!(response.body_mut().read_text(100)?, r#"{"id":0,"title":"Bread"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, RequestError> {
        self.json_up_to(DECODED_BODY_MAX)
    }

    /// Reads the body, at most `max` bytes of JSON, as a value of `T`.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_up_to<T: DeserializeOwned>(&mut self, max: u64) -> Result<T, RequestError> {
        check_media_type(self.headers(), "application/json", |found| {
            found == "application/json" || found.ends_with("+json")
        })?;
        let body = self.read_body(max)?;
        decode(&body)
    }
}

/// Decodes JSON.
fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, RequestError> {
    let error = match serde_json::from_slice(json) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if error.classify() != Category::Data {
        let message = format!("invalid JSON{}: {}", place(&error), shorten(&reason(&error)));
        return Err(RequestError::new(StatusCode::BAD_REQUEST, message));
    }
    // Keeping track of the path takes time, so that only a second try does it.
    let mut again = serde_json::Deserializer::from_slice(json);
    let (field, error) = match serde_path_to_error::deserialize::<_, T>(&mut again) {
        Ok(_) => (String::new(), error),
        Err(found) => (field(found.path()), found.into_inner()),
    };
    let message = format!("JSON{field}{}: {}", place(&error), shorten(&reason(&error)));
    Err(RequestError::new(StatusCode::UNPROCESSABLE_ENTITY, message))
}

/// Where an error is, if serde knows it.
fn place(error: &serde_json::Error) -> String {
    match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    }
}

/// The text of an error without the place, which serde appends.
fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    let length = text.strip_suffix(&place(error)).unwrap_or(&text).len();
    text.truncate(length);
    text
}

/// A value as a response in JSON: 200, `application/json`. A value that cannot be serialized (a map
/// whose keys are not text, say) is a 500, with the reason in the log.
///
/// # Examples
/// ```
/// use millpond::http::{IntoResponse, Json};
/// use std::collections::BTreeMap;
///
/// let mut response = Json(BTreeMap::from([("flour", 500)])).into_response();
/// assert_eq!(response.headers()["content-type"], "application/json");
/// assert_eq!(response.body_mut().read_text(100).unwrap(), r#"{"flour":500}"#);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => Response::json(json),
            Err(error) => Problem::from(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::http::Body;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Note {
        id: u32,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn request(content_type: Option<&str>, body: impl Into<Body>) -> Request {
        let mut builder = http::Request::builder();
        if let Some(content_type) = content_type {
            builder = builder.header("content-type", content_type);
        }
        Request::from(builder.body(body.into()).unwrap())
    }

    #[test]
    fn a_body_is_decoded_by_its_content_type() {
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/vnd.note+json"]
        {
            let mut request = request(Some(content_type), r#"{"id": 7, "tags": ["a"]}"#);
            assert_eq!(request.json::<Note>().unwrap(), Note { id: 7, tags: vec!["a".into()] });
        }
        for content_type in [None, Some(""), Some("text/plain"), Some("application/jsonp")] {
            let error = request(content_type, r#"{"id": 7}"#).json::<Note>().unwrap_err();
            assert_eq!(error.status(), 415, "{content_type:?}");
            assert!(error.to_string().ends_with("expected application/json"), "{error}");
        }
    }

    #[test]
    fn an_error_names_the_place() {
        for (body, status, text) in [
            ("", 400, "invalid JSON at line 1 column 0: EOF while parsing a value"),
            ("{\"id\":\n 7,}", 400, "invalid JSON at line 2 column 4: trailing comma"),
            ("{\"id\": 7} 8", 400, "invalid JSON at line 1 column 11: trailing characters"),
            (
                r#"{"id": 7, "tags": ["a", 1]}"#,
                422,
                "JSON field \"tags[1]\" at line 1 column 25: \
                 invalid type: integer `1`, expected a string",
            ),
            ("{}", 422, "JSON at line 1 column 2: missing field `id`"),
            (
                r#"{"id": -1}"#,
                422,
                "JSON field \"id\" at line 1 column 9: \
                 invalid value: integer `-1`, expected u32",
            ),
        ] {
            let error = decode::<Note>(body.as_bytes()).unwrap_err();
            assert_eq!((error.status().as_u16(), &*error.to_string()), (status, text), "{body}");
        }
        let error = decode::<String>(b"\"\xff\"").unwrap_err();
        assert_eq!(error.status(), 400, "{error}");
    }

    #[test]
    fn a_bomb_is_rejected_and_its_error_is_short() {
        let deep = "[".repeat(100_000);
        let error = decode::<serde_json::Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(
            error.to_string(),
            "invalid JSON at line 1 column 128: recursion limit exceeded"
        );
        // Skipped values are not limited in depth, and take no stack.
        let skipped = format!("{{\"x\": {deep}{}, \"id\": 1}}", "]".repeat(100_000));
        assert_eq!(decode::<Note>(skipped.as_bytes()).unwrap().id, 1);
        let long = format!("{{\"{}\": \"{0}\"}}", "k".repeat(100_000));
        let error = decode::<BTreeMap<String, u32>>(long.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 600, "{error}");
        let mut large = request(Some("application/json"), format!("\"{}\"", "a".repeat(2 << 20)));
        assert_eq!(large.json::<String>().unwrap_err().status(), 413);
        let mut large = request(Some("application/json"), format!("\"{}\"", "a".repeat(2 << 20)));
        assert_eq!(large.json_up_to::<String>(3 << 20).unwrap().len(), 2 << 20);
    }

    #[test]
    fn a_value_that_cannot_be_serialized_is_a_500() {
        let unfit = BTreeMap::from([(vec![1], 2)]);
        assert_eq!(Json(unfit).into_response().status(), 500);
        assert_eq!(Json([1]).into_response().body_mut().read_text(9).unwrap(), "[1]");
    }
}
