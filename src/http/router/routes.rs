//! The routes of a [`Router`], and how a request finds its own.

use std::fmt;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use matchit::InsertError;

use super::params::Params;
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

/// A handler that dispatches requests to other handlers, by method and path.
///
/// A path is matched segment by segment, before percent-decoding. `{name}` matches one segment, or
/// a part of one, and `{*name}` the whole rest, which may be empty: `/files/{*rest}` matches
/// `/files/` too, unless another route does, but not `/files`. Literal segments take precedence
/// over names. A trailing slash is significant. The handler gets the values of names from
/// [`Request::param`](Request::param).
///
/// - HEAD goes to the handler of GET, unless the path has a handler for HEAD; the body is not sent.
/// - OPTIONS gets a 204 with the allowed methods (Allow), unless the path has a handler for
///   OPTIONS.
/// - `OPTIONS *` gets a 204 with the methods of all routes.
/// - A known path with another method gets a 405 with Allow. An unknown path gets a 404, unless
///   there is a [`fallback`](Self::fallback). A method that is not standard, and that no route has,
///   gets a 501 (RFC 9110 §9.1, §15.5.6).
/// - A path gets a 400 if the value of a name is not UTF-8 after decoding.
///
/// The server does not start with a route that is malformed or exists twice.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, Request, Response, Router};
///
/// fn greet(req: &mut Request) -> Response {
///     Response::text(format!("Good day, {}", req.param_text("name").unwrap_or("stranger")))
/// }
///
/// let router = Router::new()
///     .get("/", |_req: &mut Request| Response::html("<h1>Users</h1>"))
///     .get("/greet/{name}", greet)
///     .post("/users", |_req: &mut Request| Response::error(http::StatusCode::CREATED));
///
/// let response_to = |method: &str, path: &str| {
///     let request = http::Request::builder().method(method).uri(path).body(Default::default());
///     router.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(response_to("GET", "/greet/J%C3%B6rg").status(), 200);
/// assert_eq!(response_to("GET", "/groups").status(), 404);
/// assert_eq!(response_to("GET", "/users").status(), 405);
/// assert_eq!(response_to("OPTIONS", "/users").headers()["allow"], "OPTIONS, POST");
/// ```
#[must_use]
pub struct Router {
    paths: matchit::Router<PathEntry>,
    routes: Vec<Route>,
    /// The paths that catch-all routes match with an empty rest. An explicit route for such a path
    /// replaces it.
    implied: Vec<String>,
    /// The handler for paths that no route matches.
    fallback: Option<Box<dyn Handler>>,
    /// The methods of all routes.
    allow: Allow,
    /// The first invalid route, and why it is invalid.
    invalid: Option<(String, String)>,
}

/// What a path matches.
#[derive(Clone, Copy)]
struct PathEntry {
    route: usize,
    /// Whether the path is that of a catch-all route with an empty rest.
    implied: bool,
}

/// The handlers for one path.
struct Route {
    path: String,
    methods: Vec<(Method, Box<dyn Handler>)>,
    any: Option<Box<dyn Handler>>,
    allow: Allow,
}

/// The methods of a path, and the value of Allow that lists them.
struct Allow {
    methods: Vec<Method>,
    value: HeaderValue,
}

/// The result of routing a request.
enum RouteMatch<'a> {
    Handler(&'a dyn Handler, Params),
    /// No handler: the router itself responds with this status and Allow.
    NoHandler(StatusCode, Option<&'a HeaderValue>),
}

impl Router {
    /// A router without routes: every request gets a 404.
    pub fn new() -> Self {
        Self {
            paths: matchit::Router::new(),
            routes: Vec::new(),
            implied: Vec::new(),
            fallback: None,
            allow: Allow::new(),
            invalid: None,
        }
    }

    /// Adds `handler` for GET, and HEAD, at `path`.
    pub fn get(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// Adds `handler` for POST at `path`.
    pub fn post(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Adds `handler` for PUT at `path`.
    pub fn put(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// Adds `handler` for PATCH at `path`.
    pub fn patch(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// Adds `handler` for DELETE at `path`.
    pub fn delete(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// Adds `handler` for any method, standard or not, at `path`.
    pub fn route(mut self, method: Method, path: &str, handler: impl Handler) -> Self {
        let Some(route) = self.route_at(path) else { return self };
        if route.methods.iter().any(|(other, _)| *other == method) {
            self.invalid.get_or_insert((path.to_owned(), format!("{method} has two handlers")));
            return self;
        }
        if method == Method::GET {
            route.allow.add(Method::HEAD);
        }
        route.allow.add(Method::OPTIONS);
        route.allow.add(method.clone());
        route.methods.push((method, Box::new(handler)));
        for method in route.allow.methods.clone() {
            self.allow.add(method);
        }
        self
    }

    /// Adds `handler` for the methods that have no other handler at `path`.
    pub fn any(mut self, path: &str, handler: impl Handler) -> Self {
        let Some(route) = self.route_at(path) else { return self };
        if route.any.replace(Box::new(handler)).is_some() {
            self.invalid.get_or_insert((
                path.to_owned(),
                "the path has two handlers for any method".to_owned(),
            ));
        }
        self
    }

    /// Sets the handler for paths that no route matches. Without one they get a 404.
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Box::new(handler));
        self
    }

    /// The route with this path, added if it is new; `None` if the path is invalid.
    fn route_at(&mut self, path: &str) -> Option<&mut Route> {
        if let Some(known) = self.routes.iter().position(|route| route.path == path) {
            return Some(&mut self.routes[known]);
        }
        if let Err(error) = self.insert(path) {
            self.invalid.get_or_insert((path.to_owned(), error));
            return None;
        }
        let (path, allow) = (path.to_owned(), Allow::new());
        self.routes.push(Route { path, methods: Vec::new(), any: None, allow });
        self.routes.last_mut()
    }

    /// Adds the path of the next route. A catch-all also matches an empty rest, which matchit does
    /// not support: the path without the rest is added as well, unless a route has it.
    fn insert(&mut self, path: &str) -> Result<(), String> {
        if !path.starts_with('/') {
            return Err("a path must begin with a slash".to_owned());
        }
        let route = self.routes.len();
        let mut outcome = self.paths.insert(path, PathEntry { route, implied: false });
        if let Err(InsertError::Conflict { with }) = &outcome
            && let Some(at) = self.implied.iter().position(|implied| implied == with)
        {
            self.paths.remove(self.implied.swap_remove(at));
            outcome = self.paths.insert(path, PathEntry { route, implied: false });
        }
        outcome.map_err(|error| error.to_string())?;
        if let Some((prefix, _)) = split_catch_all(path)
            && self.paths.insert(prefix, PathEntry { route, implied: true }).is_ok()
        {
            self.implied.push(prefix.to_owned());
        }
        Ok(())
    }

    fn find(&self, request: &Request) -> RouteMatch<'_> {
        let (method, path) = (request.method(), request.uri().path());
        let unknown_method =
            !STANDARD_METHODS.contains(method) && !self.allow.methods.contains(method);
        let Ok(matched) = self.paths.at(path) else {
            return match &self.fallback {
                _ if path == "*" => {
                    RouteMatch::NoHandler(StatusCode::NO_CONTENT, Some(&self.allow.value))
                }
                Some(fallback) => RouteMatch::Handler(fallback.as_ref(), Params::default()),
                None if unknown_method => RouteMatch::NoHandler(StatusCode::NOT_IMPLEMENTED, None),
                None => RouteMatch::NoHandler(StatusCode::NOT_FOUND, None),
            };
        };
        let entry = *matched.value;
        let route = &self.routes[entry.route];
        let Some(handler) = route.handler(method) else {
            return match *method {
                Method::OPTIONS => {
                    RouteMatch::NoHandler(StatusCode::NO_CONTENT, Some(&route.allow.value))
                }
                _ if unknown_method => RouteMatch::NoHandler(StatusCode::NOT_IMPLEMENTED, None),
                _ => {
                    RouteMatch::NoHandler(StatusCode::METHOD_NOT_ALLOWED, Some(&route.allow.value))
                }
            };
        };
        let rest = split_catch_all(&route.path).filter(|_| entry.implied);
        let params = matched.params.iter().chain(rest.map(|(_, name)| (name, "")));
        match Params::decode(params) {
            Some(params) => RouteMatch::Handler(handler, params),
            None => RouteMatch::NoHandler(StatusCode::BAD_REQUEST, None),
        }
    }
}

impl Route {
    fn handler(&self, method: &Method) -> Option<&dyn Handler> {
        let for_method = |method: &Method| {
            self.methods.iter().find(|(other, _)| other == method).map(|(_, handler)| handler)
        };
        let head = || if *method == Method::HEAD { for_method(&Method::GET) } else { None };
        for_method(method).or_else(head).or(self.any.as_ref()).map(AsRef::as_ref)
    }
}

impl Allow {
    fn new() -> Self {
        Self { methods: Vec::new(), value: HeaderValue::from_static("") }
    }

    fn add(&mut self, method: Method) {
        if self.methods.contains(&method) {
            return;
        }
        self.methods.push(method);
        self.methods.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        let list = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        // A method is a token, so the value is valid.
        self.value = HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static(""));
    }
}

/// The path before a catch-all, with its trailing slash, and the name of the rest; `None` for a
/// path without a catch-all.
fn split_catch_all(path: &str) -> Option<(&str, &str)> {
    let (prefix, name) = path.strip_suffix('}')?.rsplit_once("{*")?;
    prefix.ends_with('/').then_some((prefix, name))
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

impl Handler for Router {
    fn handle(&self, request: &mut Request) -> Response {
        match self.find(request) {
            RouteMatch::Handler(handler, params) => {
                request.add_params(params);
                handler.handle(request)
            }
            RouteMatch::NoHandler(status, allow) => own_response(status, allow),
        }
    }

    /// A request without a handler is refused before its body is read.
    fn expect_continue(&self, request: &Request) -> Option<Response> {
        match self.find(request) {
            RouteMatch::Handler(handler, _) => handler.expect_continue(request),
            RouteMatch::NoHandler(status, allow) => Some(own_response(status, allow)),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if let Some((path, reason)) = &self.invalid {
            let message = format!("invalid route {path:?}: {reason}");
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("expected a path like /users, /users/{id} or /files/{*rest}"));
        }
        let handlers = self.routes.iter().flat_map(|route| {
            route.methods.iter().map(|(_, handler)| handler).chain(route.any.as_ref())
        });
        handlers.chain(self.fallback.as_ref()).try_for_each(Handler::check)
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|route| (&route.path, &route.allow.value));
        f.debug_map().entries(routes).finish()
    }
}
