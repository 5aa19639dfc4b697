//! Middleware: functions around a handler.

use std::fmt;

use super::handler::Handler;
use super::message::{Request, Response};
use crate::error::Error;

/// What a middleware wraps: the rest of the way to the answer.
///
/// A middleware is a function of the request and the rest. It may look at the request, or change
/// it, before it [runs](Next::run) the rest; look at the answer, or change it, afterwards; or give
/// an answer of its own and run nothing. [`Handler::with`] puts it around a handler, and around
/// what is around that already: of several, the last one comes first.
///
/// It costs a call, and no memory.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, HeaderName, HeaderValue, Next, Request, Response, StatusCode};
///
/// /// Asks for a password.
/// fn guard(req: &mut Request, next: Next<'_>) -> Response {
///     match req.headers().get("authorization") {
///         Some(word) if word == "Bearer sesame" => next.run(req),
///         _ => Response::error(StatusCode::FORBIDDEN),
///     }
/// }
///
/// let handler = (|_req: &mut Request| Response::text("forty thieves"))
///     .with(guard)
///     .with(|req: &mut Request, next: Next<'_>| {
///         // Around everything, refusals too.
///         next.run(req).with_header(
///             HeaderName::from_static("x-content-type-options"),
///             HeaderValue::from_static("nosniff"),
///         )
///     });
///
/// let mut request = Request::from(http::Request::new(Default::default()));
/// let answer = handler.handle(&mut request);
/// assert_eq!(answer.status(), 403);
/// assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
/// ```
#[derive(Clone, Copy)]
pub struct Next<'a>(&'a dyn Handler);

impl Next<'_> {
    /// The answer of what is wrapped.
    pub fn run(self, request: &mut Request) -> Response {
        self.0.handle(request)
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// A handler with a middleware around it: see [`Handler::with`].
///
/// Whether a client may send its body is asked of the handler inside
/// ([`expect_continue`](Handler::expect_continue)), past the middleware.
pub struct With<M, H> {
    middleware: M,
    inner: H,
}

impl<M, H> With<M, H> {
    pub(super) fn new(middleware: M, inner: H) -> Self {
        Self { middleware, inner }
    }
}

impl<M, H> Handler for With<M, H>
where
    M: Fn(&mut Request, Next<'_>) -> Response + Send + Sync + 'static,
    H: Handler,
{
    fn handle(&self, request: &mut Request) -> Response {
        (self.middleware)(request, Next(&self.inner))
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        self.inner.expect_continue(request)
    }

    fn refusal(&self) -> Option<String> {
        self.inner.refusal()
    }

    fn check(&self) -> Result<(), Error> {
        self.inner.check()
    }
}

impl<M, H: fmt::Debug> fmt::Debug for With<M, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::http::Body;

    fn mark(request: &mut Request, next: Next<'_>, letter: char) -> Response {
        request.extensions_mut().get_or_insert_default::<String>().push(letter);
        let mut answer = next.run(request);
        answer.extensions_mut().get_or_insert_default::<String>().push(letter);
        answer
    }

    #[test]
    fn the_last_one_put_around_is_the_first_to_see_the_request() {
        let handler = (|request: &mut Request| {
            assert_eq!(request.extensions().get::<String>().unwrap(), "cba");
            Response::empty(StatusCode::OK)
        })
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'a'))
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'b'))
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'c'));
        let answer = handler.handle(&mut Request::from(http::Request::new(Body::empty())));
        assert_eq!(answer.extensions().get::<String>().unwrap(), "abc");
    }

    #[test]
    fn what_the_handler_says_beside_answers_passes_through() {
        struct Inner;
        impl Handler for Inner {
            fn handle(&self, _: &mut Request) -> Response {
                unreachable!("nobody asks it")
            }
            fn expect_continue(&self, _: &Request) -> Option<Response> {
                Some(Response::error(StatusCode::PAYLOAD_TOO_LARGE))
            }
            fn refusal(&self) -> Option<String> {
                Some("busy".to_owned())
            }
        }
        let handler = Inner.with(|_: &mut Request, _: Next<'_>| Response::text("no"));
        let mut request = Request::from(http::Request::new(Body::empty()));
        assert_eq!(handler.expect_continue(&request).unwrap().status(), 413);
        assert_eq!(handler.refusal().unwrap(), "busy");
        assert_eq!(handler.handle(&mut request).status(), 200);
        assert!(handler.check().is_ok());
    }
}
