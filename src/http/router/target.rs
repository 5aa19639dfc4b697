//! [`Route`]: the target of a path and a method.

use std::fmt;
use std::marker::PhantomData;

use crate::http::handler::Handler;
use crate::http::message::{IntoResponse, Request, Response};

/// A target of a router with the state `S`.
pub(super) trait RouteTarget<S>: Send + Sync {
    fn call(&self, state: &mut S, request: &mut Request) -> Response;

    /// The handler, if it is one: for the methods of [`Handler`] that use no state.
    fn handler(&self) -> Option<&dyn Handler> {
        None
    }
}

/// The target of a route of a [`Router`](super::Router): see [`IntoRoute`].
pub struct Route<S>(pub(super) Box<dyn RouteTarget<S>>);

/// A target of a [`Router`](super::Router) with the state `S`: a [`Handler`], which does not use
/// the state, or a function `Fn(&mut S, &mut Request) -> R`, where `R` is an
/// [`IntoResponse`].
///
/// The compiler finds `Kind`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a route",
    label = "not a route",
    note = "a route is a function `fn(&mut Request) -> R`, or `fn(&mut S, &mut Request) -> R` for \
            a router with the state `S`, and `R` is an `IntoResponse`: text, bytes, a \
            `StatusCode`, a `Response`, or a `Result` of these whose error is a `Problem`; it \
            does not borrow from the request",
    note = "a closure names the types of its arguments: `|req: &mut Request| ...`",
    note = "a route blocks: it is not `async`, and it is `Send + Sync + 'static`"
)]
pub trait IntoRoute<S, Kind> {
    /// The route.
    fn into_route(self) -> Route<S>;
}

/// The kind of routes that are handlers; see [`IntoRoute`].
#[derive(Debug)]
pub struct WithoutState;

/// The kind of routes that use the state; see [`IntoRoute`].
#[derive(Debug)]
pub struct UsesState<R>(PhantomData<R>);

struct HandlerTarget<H>(H);

impl<S, H: Handler> RouteTarget<S> for HandlerTarget<H> {
    fn call(&self, _state: &mut S, request: &mut Request) -> Response {
        self.0.handle(request)
    }

    fn handler(&self) -> Option<&dyn Handler> {
        Some(&self.0)
    }
}

impl<S, H: Handler> IntoRoute<S, WithoutState> for H {
    fn into_route(self) -> Route<S> {
        Route(Box::new(HandlerTarget(self)))
    }
}

struct StateTarget<F>(F);

impl<S, F, R> RouteTarget<S> for StateTarget<F>
where
    F: Fn(&mut S, &mut Request) -> R + Send + Sync,
    R: IntoResponse,
{
    fn call(&self, state: &mut S, request: &mut Request) -> Response {
        (self.0)(state, request).into_response()
    }
}

impl<S, F, R> IntoRoute<S, UsesState<R>> for F
where
    F: Fn(&mut S, &mut Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn into_route(self) -> Route<S> {
        Route(Box::new(StateTarget(self)))
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}
