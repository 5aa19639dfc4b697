//! [`Problem`]: an error as a response (RFC 9457), in the format that the client prefers.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};
use std::io;

use http::StatusCode;

use super::body_error::{BodyError, BodyFault, Cause};
use super::request_error::RequestError;
use crate::http::codec::reject::Reject;
use crate::http::json_text::escape_json;

/// An error that becomes a response: a status, and a text for the client.
///
/// It is the error type of handlers that use `?`. Every [`Error`] converts into it:
///
/// - An error of the request keeps its status and its text: a
///   [`RequestError`](super::RequestError), a [`BodyError`](super::BodyError), or an
///   [`io::Error`](std::io::Error) of reading the body.
/// - Any other error becomes a 500. Its text is logged, at most once a second, and not sent, as it
///   is not meant for clients.
///
/// A problem is written when it is sent. A client that names JSON in Accept gets
/// `application/problem+json` (RFC 9457), every other client gets plain text:
///
/// ```text
/// 404 Not Found: no such note
/// {"type":"about:blank","title":"Not Found","status":404,"detail":"no such note"}
/// ```
///
/// [`Builder::problems`](crate::Builder::problems) sets another format for a whole server.
///
/// # Examples
/// ```
/// use millpond::http::{Problem, Request, StatusCode};
///
/// fn show(req: &mut Request) -> Result<String, Problem> {
///     let id: u32 = req.param("id")?; // 404 if it is not a number
///     let path = format!("/srv/notes/{id}");
///     if id > 1000 {
///         return Err(Problem::new(StatusCode::NOT_FOUND).with_detail("no such note"));
///     }
///     Ok(std::fs::read_to_string(path)?) // 500, and a line in the log
/// }
/// ```
pub struct Problem(Box<ProblemParts>);

struct ProblemParts {
    status: StatusCode,
    detail: Option<Cow<'static, str>>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The format of an error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemFormat {
    /// `text/plain`.
    Text,
    /// `application/problem+json` (RFC 9457).
    Json,
}

impl Problem {
    /// A problem with this status, and no text other than the standard phrase.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self(Box::new(ProblemParts { status, detail: None, source: None }))
    }

    /// 404 (RFC 9110 §15.5.5).
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND)
    }

    /// 400 (RFC 9110 §15.5.1), with this text.
    #[must_use]
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).with_detail(detail)
    }

    /// The same problem with a text for the client.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same problem with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The text for the client, if there is more than the standard phrase.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The error that became this problem, if it is one of the server.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// The problem of an error of any type.
    #[must_use]
    pub fn from_boxed(error: Box<dyn Error + Send + Sync>) -> Self {
        client_fault(&*error).unwrap_or_else(|| Self::of_server(error))
    }

    fn of_server(error: Box<dyn Error + Send + Sync>) -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR);
        problem.0.source = Some(error);
        problem
    }

    /// The problem of a request that breaks this rule.
    pub(crate) fn from_reject(reject: Reject) -> Self {
        Self::new(reject.status()).with_detail(reject.explain())
    }

    /// The problem as plain text, with a line feed: `404 Not Found: no such note`.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self.detail() {
            Some(detail) => format!("{}: {detail}\n", self.status()),
            None => format!("{}\n", self.status()),
        }
    }

    /// The problem as an object of RFC 9457 §3, in JSON, with a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        let status = self.status();
        let mut json = String::from("{\"type\":\"about:blank\",\"title\":\"");
        escape_json(status.canonical_reason().unwrap_or("Unknown"), &mut json);
        // Writing to a `String` does not fail.
        let _ = write!(json, "\",\"status\":{}", status.as_u16());
        if let Some(detail) = self.detail() {
            json.push_str(",\"detail\":\"");
            escape_json(detail, &mut json);
            json.push('"');
        }
        json.push_str("}\n");
        json
    }

    /// The problem as a body in this format, with its media type.
    pub(crate) fn render(&self, format: ProblemFormat) -> (&'static str, String) {
        match format {
            ProblemFormat::Text => (TEXT, self.to_text()),
            ProblemFormat::Json => ("application/problem+json", self.to_json()),
        }
    }
}

/// The media type of text. Where a response with a problem has this type, the problem is written
/// with its own; a type that the handler has set stays.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl<E> From<E> for Problem
where
    E: Error + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        match client_fault(&error) {
            Some(problem) => problem,
            None => Self::of_server(Box::new(error)),
        }
    }
}

/// The problem that an error describes, if the client is at fault: if the error, or a source of it,
/// is one of the request.
pub(super) fn client_fault(error: &(dyn Error + 'static)) -> Option<Problem> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(reject) = error.downcast_ref::<Reject>() {
            return Some(Problem::from_reject(*reject));
        }
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return Some(Problem::new(fault.status()).with_detail(fault.to_string()));
        }
        // A parameter that the route does not have is the program's fault.
        if let Some(error) = error.downcast_ref::<RequestError>()
            && error.status() != StatusCode::INTERNAL_SERVER_ERROR
        {
            return Some(Problem::new(error.status()).with_detail(error.to_string()));
        }
        if let Some(error @ BodyError(Cause::Fault(_) | Cause::Reject(_))) = error.downcast_ref() {
            return Some(Problem::new(error.status()).with_detail(error.to_string()));
        }
        // `source` of an I/O error skips the error that it wraps, so that one is checked first.
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// An error and its sources in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().trim_end())
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("status", &self.0.status)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_text_or_json() {
        let problem = Problem::not_found().with_detail("no \"note\"\n");
        assert_eq!(problem.to_text(), "404 Not Found: no \"note\"\n\n");
        assert_eq!(
            problem.to_json(),
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\
             \"detail\":\"no \\\"note\\\"\\u000a\"}\n"
        );
    }

    #[test]
    fn an_error_of_the_request_keeps_its_status_and_any_other_is_a_500() {
        let body = Problem::from(io::Error::from(BodyFault::TooLong));
        assert_eq!(body.status(), 413);
        assert!(body.source().is_none());
        let wrapped = Problem::from(io::Error::other(io::Error::from(BodyFault::NotText)));
        assert_eq!(wrapped.status(), 400);
        let other = Problem::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(other.status(), 500);
        assert!(other.detail().is_none(), "the text is not for clients");
        assert!(other.source().is_some());
    }
}
