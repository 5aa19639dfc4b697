//! The middlewares of a router: [`Layer`], and [`StateNext`] for those that use the state.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::target::RouteTarget;
use crate::http::handler::{Handler, Next};
use crate::http::message::{IntoResponse, Request, Response};

/// A middleware of a router with the state `S`.
pub(super) trait Layer<S>: Send + Sync {
    fn call(&self, state: &mut S, request: &mut Request, next: StateNext<'_, S>) -> Response;
}

/// The middlewares of a router, in the order in which they were added: the last one runs first.
pub(super) type Layers<S> = Vec<Box<dyn Layer<S>>>;

/// The handler that a middleware that uses the state wraps: see
/// [`Router::with_stateful`](super::Router::with_stateful).
pub struct StateNext<'a, S> {
    layers: &'a [Box<dyn Layer<S>>],
    inner: &'a dyn RouteTarget<S>,
}

impl<'a, S> StateNext<'a, S> {
    pub(super) fn new(layers: &'a [Box<dyn Layer<S>>], inner: &'a dyn RouteTarget<S>) -> Self {
        Self { layers, inner }
    }

    /// Runs the wrapped handler.
    pub fn run(self, state: &mut S, request: &mut Request) -> Response {
        match self.layers.split_last() {
            None => self.inner.call(state, request),
            Some((layer, layers)) => layer.call(state, request, Self { layers, ..self }),
        }
    }
}

impl<S> Clone for StateNext<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for StateNext<'_, S> {}

impl<S> fmt::Debug for StateNext<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateNext").finish_non_exhaustive()
    }
}

/// A middleware that does not use the state.
pub(super) struct PlainLayer<M>(pub(super) M);

impl<S, M, R> Layer<S> for PlainLayer<M>
where
    M: Fn(&mut Request, Next<'_>) -> R + Send + Sync,
    R: IntoResponse,
{
    fn call(&self, state: &mut S, request: &mut Request, next: StateNext<'_, S>) -> Response {
        // The middleware may run the wrapped handler more than once, and never twice at a time.
        let state = RefCell::new(state);
        let run = |request: &mut Request| next.run(*state.borrow_mut(), request);
        (self.0)(request, Next::new(&run)).into_response()
    }
}

/// A middleware that uses the state.
pub(super) struct StateLayer<M>(pub(super) M);

impl<S, M, R> Layer<S> for StateLayer<M>
where
    M: Fn(&mut S, &mut Request, StateNext<'_, S>) -> R + Send + Sync,
    R: IntoResponse,
{
    fn call(&self, state: &mut S, request: &mut Request, next: StateNext<'_, S>) -> Response {
        (self.0)(state, request, next).into_response()
    }
}

/// A route of a router that was merged into another, with the middlewares of its own router.
pub(super) struct Layered<S> {
    pub(super) layers: Arc<Layers<S>>,
    pub(super) inner: Box<dyn RouteTarget<S>>,
}

impl<S> RouteTarget<S> for Layered<S> {
    fn call(&self, state: &mut S, request: &mut Request) -> Response {
        StateNext::new(&self.layers, self.inner.as_ref()).run(state, request)
    }

    fn handler(&self) -> Option<&dyn Handler> {
        self.inner.handler()
    }
}
