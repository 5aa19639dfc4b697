//! [`Hello`]: answers "Hello, world!".

use crate::http::{Handler, HeaderValue, Method, Request, Response, StatusCode, header};

/// Answers `GET` and `HEAD` with "Hello, world!" as text.
///
/// `OPTIONS` is told which methods there are; the other methods of RFC 9110 and `PATCH` (RFC 5789) get
/// a 405, and those that it does not know a 501 (RFC 9110 §9.1). A body is not read.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, Request};
/// use millpond::service::Hello;
///
/// let answer_to = |method: &str| {
///     let request = http::Request::builder().method(method).body(Default::default());
///     Hello.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(answer_to("GET").status(), 200);
/// assert_eq!(answer_to("OPTIONS").headers()["allow"], "GET, HEAD, OPTIONS");
/// assert_eq!(answer_to("POST").status(), 405);
/// assert_eq!(answer_to("BREW").status(), 501);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hello;

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

impl Handler for Hello {
    fn handle(&self, request: &mut Request) -> Response {
        match *request.method() {
            Method::GET | Method::HEAD => Response::text("Hello, world!"),
            Method::OPTIONS => allow(Response::empty(StatusCode::NO_CONTENT)),
            Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::PATCH
            | Method::TRACE
            | Method::CONNECT => allow(Response::error(StatusCode::METHOD_NOT_ALLOWED)),
            _ => Response::error(StatusCode::NOT_IMPLEMENTED),
        }
    }
}

fn allow(answer: Response) -> Response {
    answer.with_header(header::ALLOW, ALLOWED)
}
