//! [`Hello`]: responds with "Hello, world!".

use crate::http::{Handler, HeaderValue, Method, Request, Response, StatusCode, header};

/// A handler for trying out a client: it responds to `GET` and `HEAD` with "Hello, world!" as text,
/// and to `POST` with the body of the request.
///
/// A body longer than [`Hello::BODY_MAX`] gets a 413. The response to `OPTIONS` lists the methods.
/// The other methods of RFC 9110 and `PATCH` (RFC 5789) get a 405, and unknown methods a 501 (RFC
/// 9110 §9.1).
///
/// # Examples
/// ```
/// use millpond::http::{Body, Handler, Request};
/// use millpond::handlers::Hello;
///
/// let response_to = |method: &str| {
///     let request = http::Request::builder().method(method).body(Body::from("Hi!"));
///     Hello.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(response_to("GET").status(), 200);
/// assert_eq!(response_to("POST").body().length(), Some(3));
/// assert_eq!(response_to("OPTIONS").headers()["allow"], "GET, HEAD, POST, OPTIONS");
/// assert_eq!(response_to("PUT").status(), 405);
/// assert_eq!(response_to("BREW").status(), 501);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hello;

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

impl Hello {
    /// The maximum length of a body that is sent back, in bytes.
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

/// Responds with the body, which is read whole first, so that a malformed one gets a 400.
fn echo_body(request: &mut Request) -> Response {
    let body = match request.body_mut().read_bytes(Hello::BODY_MAX) {
        Ok(body) => body,
        Err(error) => return Response::from(error),
    };
    // A browser must not display the body as a page of this server.
    let kind = HeaderValue::from_static("application/octet-stream");
    Response::new(body).with_header(header::CONTENT_TYPE, kind)
}

fn allow(response: Response) -> Response {
    response.with_header(header::ALLOW, ALLOWED)
}
