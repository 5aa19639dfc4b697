//! [`ProblemWriter`]: writes problems in the format that the client prefers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::http::accept::prefers_problem_json;
use crate::http::message::{Body, BodyKind, Problem, ProblemFormat, Response, TEXT};

/// A program's function that makes the responses to problems.
pub(crate) type ProblemFunction = dyn Fn(&Problem, ProblemFormat) -> Response + Send + Sync;

/// Writes problems: by the program's function, if there is one.
#[derive(Clone, Default)]
pub(crate) struct ProblemWriter(Option<Arc<ProblemFunction>>);

/// A problem in one format.
pub(super) struct WrittenProblem {
    /// The fields of the response; at least its media type, unless the program's function sets
    /// none.
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl ProblemWriter {
    pub(crate) fn new(
        function: impl Fn(&Problem, ProblemFormat) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// Writes a problem. If the program's function panics, it is written as if there were none.
    pub(super) fn write(&self, problem: &Problem, format: ProblemFormat) -> WrittenProblem {
        if let Some(function) = &self.0 {
            match catch_unwind(AssertUnwindSafe(|| function(problem, format))) {
                Ok(response) => {
                    let (parts, body, _) = response.into_split();
                    if !matches!(body.0, BodyKind::Problem(_)) {
                        return WrittenProblem { headers: parts.headers, body };
                    }
                }
                Err(_) => log::error!("the function that writes problems panicked"),
            }
        }
        let (content_type, text) = problem.render(format);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        WrittenProblem { headers, body: text.into() }
    }
}

impl fmt::Debug for ProblemWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProblemWriter").field(&self.0.is_some()).finish()
    }
}

/// How to write a problem for one client.
#[derive(Clone, Copy)]
pub(super) struct ClientFormat<'a> {
    pub(super) writer: &'a ProblemWriter,
    /// The fields of the request; `None` if they could not be read.
    pub(super) headers: Option<&'a HeaderMap>,
}

impl ClientFormat<'_> {
    /// Writes the problem of the response, if its body is one.
    #[inline]
    pub(super) fn apply(self, response: &mut Response) {
        if matches!(response.body().0, BodyKind::Problem(_)) {
            self.write(response);
        }
    }

    #[cold]
    fn write(self, response: &mut Response) {
        let BodyKind::Problem(problem) = std::mem::take(&mut response.body_mut().0) else {
            return;
        };
        // A middleware may have changed the status.
        let problem = problem.with_status(response.status());
        let format = format_for(self.headers);
        let WrittenProblem { headers, body } = self.writer.write(&problem, format);
        *response.body_mut() = body;
        for (name, value) in &headers {
            // A media type that the handler has set is that of another text.
            let replaces = name != CONTENT_TYPE
                || response.headers().get(name).is_none_or(|value| value == TEXT);
            if replaces {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
}

/// The format for a client with these request fields.
pub(super) fn format_for(headers: Option<&HeaderMap>) -> ProblemFormat {
    match headers.is_some_and(prefers_problem_json) {
        true => ProblemFormat::Json,
        false => ProblemFormat::Text,
    }
}
