//! [`Handler`]: what answers a request. Functions and closures are handlers.

use std::sync::Arc;

use super::message::{Request, Response};
use super::middleware::{Next, With};
use crate::error::Error;

/// Answers requests. It is called on a worker thread and may block.
///
/// Every `Fn(&mut Request) -> Response` is a handler. A panic costs the one request: the client
/// gets a 500, the connection is closed, the worker goes on. A [`Router`](super::Router) is a
/// handler made of others; [`with`](Self::with) puts a function around one.
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
pub trait Handler: Send + Sync + 'static {
    /// The answer to `request`.
    fn handle(&self, request: &mut Request) -> Response;

    /// Asked before the body of a request that expects `100-continue` (RFC 9110 §10.1.1) is read:
    /// `Some` is the final answer, and the body is never sent. Default: `None`.
    fn expect_continue(&self, request: &Request) -> Option<Response> {
        let _ = request;
        None
    }

    /// The body of the 503 that refuses a request under overload, as plain text; asked once at
    /// start, and once after each change of the configuration. Default: `None`, the server's own.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// Asked once, before the server starts. Default: all is well.
    ///
    /// # Errors
    /// What is wrong with the handler, which stops the server from starting.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// This handler with `middleware` around it: see [`Next`].
    fn with<M>(self, middleware: M) -> With<M, Self>
    where
        Self: Sized,
        M: Fn(&mut Request, Next<'_>) -> Response + Send + Sync + 'static,
    {
        With::new(middleware, self)
    }
}

impl<F> Handler for F
where
    F: Fn(&mut Request) -> Response + Send + Sync + 'static,
{
    fn handle(&self, request: &mut Request) -> Response {
        self(request)
    }
}

/// A handler behind a pointer is one.
macro_rules! behind {
    ($($pointer:ty),*) => {$(
        impl Handler for $pointer {
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
        }
    )*};
}

behind!(Arc<dyn Handler>, Box<dyn Handler>);
