//! [`Handler`]: responds to requests; and middleware, functions around a handler ([`Next`]).

use std::fmt;
use std::sync::Arc;

use super::message::{IntoResponse, Request, Response};
use crate::error::Error;

/// Responds to requests. It is called on a worker thread and may block.
///
/// Every `Fn(&mut Request) -> R` is a handler if `R` is an [`IntoResponse`], and so is an `Arc<H>`
/// of a handler, and a `Box<dyn Handler>`. A panic fails only its own request: the client gets a
/// 500, the connection is closed, and the worker continues. A [`Router`](super::Router) is a
/// handler that dispatches to others; [`with`](Self::with) wraps a handler in a middleware.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, Request, Response};
///
/// struct Greeter(String);
///
/// impl Handler for Greeter {
///     fn handle(&self, req: &mut Request) -> Response {
///         Response::text(format!("{} from {}", self.0, req.uri().path()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is a function `fn(&mut Request) -> R`, and `R` is an `IntoResponse`",
    note = "a closure names the type of its argument: `|req: &mut Request| ...`",
    note = "a handler blocks: it is not `async`, and it is `Send + Sync + 'static`; what is not, \
            such as a database connection, is made on each worker by `Builder::http_with`",
    note = "a `Router` whose routes use a state becomes a handler by `Router::with_state`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Returns the response to `request`.
    fn handle(&self, request: &mut Request) -> Response;

    /// Decides on a request that expects `100-continue` (RFC 9110 §10.1.1), before its body is
    /// read. `Some` is the final response, and the client does not send the body. Default: `None`.
    fn expect_continue(&self, request: &Request) -> Option<Response> {
        let _ = request;
        None
    }

    /// The plain-text body of the 503 with which the server refuses requests under overload. It is
    /// called once at the start, and once after each change of the configuration. Default: `None`,
    /// the text of the server.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// Checks the handler, once, before the server starts. Default: `Ok`.
    ///
    /// # Errors
    /// A handler that cannot work returns the reason, and the server does not start.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Prepares the calling thread, which is a worker with this index, before the server accepts
    /// connections. Default: nothing.
    ///
    /// # Errors
    /// The server does not start after an error.
    fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
        let _ = worker;
        Ok(())
    }

    /// Wraps this handler in `middleware`: see [`Next`].
    fn with<M, R>(self, middleware: M) -> With<M, Self>
    where
        Self: Sized,
        M: Fn(&mut Request, Next<'_>) -> R + Send + Sync + 'static,
        R: IntoResponse,
    {
        With::new(middleware, self)
    }
}

impl<F, R> Handler for F
where
    F: Fn(&mut Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn handle(&self, request: &mut Request) -> Response {
        self(request).into_response()
    }
}

/// Implements [`Handler`] for pointers to handlers.
macro_rules! forward_to_pointee {
    ($({$($generic:tt)*} $pointer:ty),*) => {$(
        impl $($generic)* Handler for $pointer {
            fn handle(&self, request: &mut Request) -> Response {
                (**self).handle(request)
            }

            fn expect_continue(&self, request: &Request) -> Option<Response> {
                (**self).expect_continue(request)
            }

            fn refusal(&self) -> Option<String> {
                (**self).refusal()
            }

            fn check(&self) -> Result<(), Error> {
                (**self).check()
            }

            fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
                (**self).prepare_worker(worker)
            }
        }
    )*};
}

forward_to_pointee!({<H: Handler + ?Sized>} Arc<H>, {} Box<dyn Handler>);

/// The handler that a middleware wraps, with any middleware in between.
///
/// A middleware is a function of the request and of `Next`. It may read or change the request
/// before it [runs](Next::run) the wrapped handler, and read or change the response afterwards; or
/// it returns a response of its own and does not run the handler. [`Handler::with`] can wrap a
/// handler more than once: the middleware added last runs first.
///
/// A middleware costs one call, and no memory.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, HeaderName, HeaderValue, Next, Request, Response, StatusCode};
///
/// /// Requires a token.
/// fn authenticate(req: &mut Request, next: Next<'_>) -> Response {
///     match req.headers().get("authorization") {
///         Some(value) if value == "Bearer sesame" => next.run(req),
///         _ => Response::error(StatusCode::FORBIDDEN),
///     }
/// }
///
/// let handler = (|_req: &mut Request| Response::text("forty thieves"))
///     .with(authenticate)
///     .with(|req: &mut Request, next: Next<'_>| {
///         // It runs first, and so also sees the responses of `authenticate`.
///         next.run(req).with_header(
///             HeaderName::from_static("x-content-type-options"),
///             HeaderValue::from_static("nosniff"),
///         )
///     });
///
/// let mut request = Request::from(http::Request::new(Default::default()));
/// let response = handler.handle(&mut request);
/// assert_eq!(response.status(), 403);
/// assert_eq!(response.headers()["x-content-type-options"], "nosniff");
/// ```
#[derive(Clone, Copy)]
pub struct Next<'a>(&'a Run<'a>);

/// Runs what a middleware wraps.
type Run<'a> = dyn Fn(&mut Request) -> Response + 'a;

impl<'a> Next<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Self(run)
    }

    /// Runs the wrapped handler.
    pub fn run(self, request: &mut Request) -> Response {
        (self.0)(request)
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// A handler wrapped in a middleware: see [`Handler::with`].
///
/// [`expect_continue`](Handler::expect_continue) calls the wrapped handler without the middleware.
pub struct With<M, H> {
    middleware: M,
    inner: H,
}

impl<M, H> With<M, H> {
    fn new(middleware: M, inner: H) -> Self {
        Self { middleware, inner }
    }
}

impl<M, R, H> Handler for With<M, H>
where
    M: Fn(&mut Request, Next<'_>) -> R + Send + Sync + 'static,
    R: IntoResponse,
    H: Handler,
{
    fn handle(&self, request: &mut Request) -> Response {
        let run = |request: &mut Request| self.inner.handle(request);
        (self.middleware)(request, Next::new(&run)).into_response()
    }

    fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
        self.inner.prepare_worker(worker)
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
        let mut response = next.run(request);
        response.extensions_mut().get_or_insert_default::<String>().push(letter);
        response
    }

    #[test]
    fn the_middleware_added_last_runs_first() {
        let handler = (|request: &mut Request| {
            assert_eq!(request.extensions().get::<String>().unwrap(), "cba");
            Response::empty(StatusCode::OK)
        })
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'a'))
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'b'))
        .with(|request: &mut Request, next: Next<'_>| mark(request, next, 'c'));
        let response = handler.handle(&mut Request::from(http::Request::new(Body::empty())));
        assert_eq!(response.extensions().get::<String>().unwrap(), "abc");
    }

    #[test]
    fn the_other_methods_of_a_handler_bypass_its_middleware() {
        struct Inner;
        impl Handler for Inner {
            fn handle(&self, _: &mut Request) -> Response {
                unreachable!("the middleware does not run it")
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
