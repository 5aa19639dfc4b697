//! How a router finds the target of a request.

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::layers::StateNext;
use super::params::Params;
use super::routes::Router;
use super::table::NamedTarget;
use super::target::RouteTarget;
use crate::error::{Error, ErrorKind};
use crate::http::handler::Handler;
use crate::http::message::{Request, Response};

/// The standard methods (RFC 9110 §9.3, RFC 5789). Any other is a 501 unless a route names it.
const STANDARD_METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The result of routing a request.
enum RouteMatch<'a, S> {
    Target {
        target: &'a NamedTarget<S>,
        /// The values of the path's names, if it has any.
        params: Option<Params>,
        /// The length of the path that the target does not see.
        prefix_len: usize,
    },
    /// The handler for paths that no route matches.
    Fallback(&'a dyn RouteTarget<S>),
    /// The handler for methods that a path does not have.
    MethodNotAllowed(&'a dyn RouteTarget<S>, &'a HeaderValue),
    /// No handler: the router itself responds with this status and Allow.
    NoTarget(StatusCode, Option<&'a HeaderValue>),
}

impl<S> Router<S> {
    /// Calls the route of the request, inside of the middlewares of the router.
    ///
    /// It is for programs that keep the state themselves; otherwise [`with_state`] and
    /// [`Builder::http`](crate::Builder::http) call it.
    ///
    /// [`with_state`]: Self::with_state
    pub fn call(&self, state: &mut S, request: &mut Request) -> Response {
        StateNext::new(&self.layers, &Dispatch(self)).run(state, request)
    }

    fn dispatch(&self, state: &mut S, request: &mut Request) -> Response {
        // Most requests are for a path without names. What is left to do for them is little.
        if let Some(routes) = self.table.find_literal(request.path())
            && let Some(NamedTarget { target, name }) = routes.target(request.method())
        {
            if name.is_some() {
                request.set_route_name(*name);
            }
            return target.call(state, request);
        }
        self.dispatch_matched(state, request)
    }

    fn dispatch_matched(&self, state: &mut S, request: &mut Request) -> Response {
        match self.find(request) {
            RouteMatch::Target { target, params, prefix_len } => {
                if let Some(params) = params {
                    request.add_params(params);
                }
                if target.name.is_some() {
                    request.set_route_name(target.name);
                }
                let outer = request.prefix().get();
                request.prefix().set(outer + prefix_len);
                let response = target.target.call(state, request);
                request.prefix().set(outer);
                response
            }
            RouteMatch::Fallback(fallback) => fallback.call(state, request),
            RouteMatch::MethodNotAllowed(target, allow) => {
                let mut response = target.call(state, request);
                response.headers_mut().entry(ALLOW).or_insert_with(|| allow.clone());
                response
            }
            RouteMatch::NoTarget(status, allow) => own_response(status, allow),
        }
    }

    fn find(&self, request: &Request) -> RouteMatch<'_, S> {
        let (method, path) = (request.method(), request.path());
        let allow = &self.table.allow;
        let unknown_method =
            || !STANDARD_METHODS.contains(method) && !allow.methods.contains(method);
        let Some(found) = self.table.find(path) else {
            return match &self.fallback {
                _ if path == "*" => {
                    RouteMatch::NoTarget(StatusCode::NO_CONTENT, Some(&allow.value))
                }
                Some(fallback) => RouteMatch::Fallback(fallback.as_ref()),
                None if unknown_method() => RouteMatch::NoTarget(StatusCode::NOT_IMPLEMENTED, None),
                None => RouteMatch::NoTarget(StatusCode::NOT_FOUND, None),
            };
        };
        let routes = found.routes;
        let Some(target) = routes.target(method) else {
            let allow = &routes.allow.value;
            return match (&self.method_not_allowed, method) {
                (_, &Method::OPTIONS) => RouteMatch::NoTarget(StatusCode::NO_CONTENT, Some(allow)),
                _ if unknown_method() => RouteMatch::NoTarget(StatusCode::NOT_IMPLEMENTED, None),
                (Some(target), _) => RouteMatch::MethodNotAllowed(target.as_ref(), allow),
                (None, _) => RouteMatch::NoTarget(StatusCode::METHOD_NOT_ALLOWED, Some(allow)),
            };
        };
        let prefix_len = if routes.nested { found.prefix_len(path) } else { 0 };
        if found.is_literal() {
            return RouteMatch::Target { target, params: None, prefix_len };
        }
        match Params::decode(found.params()) {
            Some(params) => RouteMatch::Target { target, params: Some(params), prefix_len },
            None => RouteMatch::NoTarget(StatusCode::BAD_REQUEST, None),
        }
    }

    /// A request without a handler is refused before its body is read.
    pub(super) fn respond_to_expect(&self, request: &Request) -> Option<Response> {
        match self.find(request) {
            RouteMatch::Target { target, prefix_len, .. } => {
                let outer = request.prefix().get();
                request.prefix().set(outer + prefix_len);
                let response = expect_continue(target.target.as_ref(), request);
                request.prefix().set(outer);
                response
            }
            RouteMatch::Fallback(target) | RouteMatch::MethodNotAllowed(target, _) => {
                expect_continue(target, request)
            }
            RouteMatch::NoTarget(status, allow) => Some(own_response(status, allow)),
        }
    }

    /// The handlers among the targets of the router: those of its routes, and those for the other
    /// requests.
    fn handlers(&self) -> impl Iterator<Item = &dyn Handler> {
        let routes = self.table.targets().map(|named| &named.target);
        let others = [&self.fallback, &self.method_not_allowed].into_iter().flatten();
        routes.chain(others).filter_map(|target| target.handler())
    }

    pub(super) fn check_routes(&self) -> Result<(), Error> {
        if let Some((path, reason)) = &self.table.invalid {
            let message = format!("invalid route {path:?}: {reason}");
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("expected a path like /users, /users/{id} or /files/{*rest}"));
        }
        self.handlers().try_for_each(Handler::check)
    }

    pub(super) fn prepare_routes(&self, worker: usize) -> Result<(), Error> {
        self.handlers().try_for_each(|handler| handler.prepare_worker(worker))
    }
}

/// The routes of a router, inside of its middlewares.
struct Dispatch<'a, S>(&'a Router<S>);

impl<S> RouteTarget<S> for Dispatch<'_, S> {
    fn call(&self, state: &mut S, request: &mut Request) -> Response {
        self.0.dispatch(state, request)
    }
}

/// The decision of a target on a request that expects `100-continue`, if it is a handler.
fn expect_continue<S>(target: &dyn RouteTarget<S>, request: &Request) -> Option<Response> {
    target.handler()?.expect_continue(request)
}

/// The response of the router itself.
fn own_response(status: StatusCode, allow: Option<&HeaderValue>) -> Response {
    let response = match status {
        StatusCode::NO_CONTENT => Response::empty(status),
        _ => Response::error(status),
    };
    match allow {
        Some(allow) => response.with_header(ALLOW, allow.clone()),
        None => response,
    }
}

impl Handler for Router<()> {
    fn handle(&self, request: &mut Request) -> Response {
        self.call(&mut (), request)
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        self.respond_to_expect(request)
    }

    fn check(&self) -> Result<(), Error> {
        self.check_routes()
    }

    fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
        self.prepare_routes(worker)
    }
}
