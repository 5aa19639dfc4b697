//! [`Hello`]: answers "Hello, world!".

use crate::http::{Handler, HeaderValue, Method, Request, Response, StatusCode, header};

/// Answers `GET` and `HEAD` with "Hello, world!" as text, and `POST` with the body that was sent,
/// so that a client can be tried without a program to answer it.
///
/// A body above [`Hello::BODY_MAX`] gets a 413. `OPTIONS` is told which methods there are; the
/// other methods of RFC 9110 and `PATCH` (RFC 5789) get a 405, and those that it does not know a
/// 501 (RFC 9110 §9.1).
///
/// # Examples
/// ```
/// use millpond::http::{Body, Handler, Request};
/// use millpond::handlers::Hello;
///
/// let answer_to = |method: &str| {
///     let request = http::Request::builder().method(method).body(Body::from("Hi!"));
///     Hello.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(answer_to("GET").status(), 200);
/// assert_eq!(answer_to("POST").body().length(), Some(3));
/// assert_eq!(answer_to("OPTIONS").headers()["allow"], "GET, HEAD, POST, OPTIONS");
/// assert_eq!(answer_to("PUT").status(), 405);
/// assert_eq!(answer_to("BREW").status(), 501);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hello;

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

impl Hello {
    /// The most bytes of a body that are kept and sent back.
    pub const BODY_MAX: u64 = 64 * 1024;
}

impl Handler for Hello {
    fn handle(&self, request: &mut Request) -> Response {
        match *request.method() {
            Method::GET | Method::HEAD => Response::text("Hello, world!"),
            Method::POST => echo_body(request),
            Method::OPTIONS => allow(Response::empty(StatusCode::NO_CONTENT)),
            Method::PUT | Method::DELETE | Method::PATCH | Method::TRACE | Method::CONNECT => {
                allow(Response::error(StatusCode::METHOD_NOT_ALLOWED))
            }
            _ => Response::error(StatusCode::NOT_IMPLEMENTED),
        }
    }
}

/// Answers with the body, read whole: one that turns out to be malformed has its 400.
fn echo_body(request: &mut Request) -> Response {
    let body = match request.body_mut().read_bytes(Hello::BODY_MAX) {
        Ok(body) => body,
        Err(error) => return Response::from(error),
    };
    // Whatever it is, a browser is not to show it as a page of this server's.
    let kind = HeaderValue::from_static("application/octet-stream");
    Response::new(body).with_header(header::CONTENT_TYPE, kind)
}

fn allow(response: Response) -> Response {
    response.with_header(header::ALLOW, ALLOWED)
}
