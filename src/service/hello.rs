//! [`Hello`]: answers "Hello, world!".

use crate::http::{Handler, Method, Request, Response};

/// Answers `GET` and `HEAD` with "Hello, world!" as text; any other method with 405.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hello;

impl Handler for Hello {
    fn handle(&self, request: &mut Request) -> Response {
        match *request.method() {
            Method::GET | Method::HEAD => Response::text("Hello, world!"),
            _ => Response::method_not_allowed(&[Method::GET, Method::HEAD]),
        }
    }
}
