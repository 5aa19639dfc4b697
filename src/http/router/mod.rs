//! [`Router`]: which handler answers, by method and path.

pub(super) mod params;

use std::fmt;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use matchit::InsertError;

use super::handler::Handler;
use super::message::{Request, Response};
use crate::error::{Error, ErrorKind};
use crate::http::router::params::Params;

/// Methods that a server knows even if it has no use for them (RFC 9110 §9.3, RFC 5789).
const KNOWN: [Method; 9] = [
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

/// A handler that leaves the answer to others, by method and path.
///
/// A path is matched segment by segment, as it was sent. `{name}` stands for one segment, or a part
/// of one, and `{*name}` for all the rest, which may be empty: `/files/{*rest}` has `/files/` too,
/// unless another route does, but not `/files`. What is written out goes before what stands for
/// anything. A slash at the end counts. The handler finds what the names stood for in
/// [`Request::param`](Request::param).
///
/// - HEAD is answered as GET is, if nothing else is said; the body is left out on the way.
/// - OPTIONS is answered with the methods that there are (204, Allow), if nothing else is said.
/// - A path that is known with another method is a 405 with Allow; an unknown path a 404; a method
///   that neither the standard nor any route knows a 501 (RFC 9110 §9.1, §15.5.6).
///
/// A path that is malformed or is there twice stops the server from starting.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, Request, Response, Router};
///
/// fn greet(req: &mut Request) -> Response {
///     Response::text(format!("Good day, {}", req.param("name").unwrap_or("stranger")))
/// }
///
/// let router = Router::new()
///     .get("/", |_req: &mut Request| Response::html("<h1>The shared</h1>"))
///     .get("/greet/{name}", greet)
///     .post("/flour", |_req: &mut Request| Response::error(http::StatusCode::CREATED));
///
/// let ask = |method: &str, path: &str| {
///     let request = http::Request::builder().method(method).uri(path).body(Default::default());
///     router.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(ask("GET", "/greet/J%C3%B6rg").status(), 200);
/// assert_eq!(ask("GET", "/bran").status(), 404);
/// assert_eq!(ask("GET", "/flour").status(), 405);
/// assert_eq!(ask("OPTIONS", "/flour").headers()["allow"], "OPTIONS, POST");
/// ```
#[must_use]
pub struct Router {
    places: matchit::Router<Place>,
    routes: Vec<Route>,
    /// The paths that catch-all routes have when their rest is empty. A route of its own replaces
    /// one.
    implied: Vec<String>,
    /// What answers a path that no route has.
    fallback: Option<Box<dyn Handler>>,
    /// All methods of all routes.
    allow: Allow,
    wrong: Option<(String, String)>,
}

/// Where a path leads.
#[derive(Clone, Copy)]
struct Place {
    route: usize,
    /// Whether it is the path of a catch-all route without the rest.
    implied: bool,
}

/// The handlers of a path.
struct Route {
    path: String,
    methods: Vec<(Method, Box<dyn Handler>)>,
    any: Option<Box<dyn Handler>>,
    allow: Allow,
}

/// The methods of a path, and the same as Allow has them.
struct Allow {
    methods: Vec<Method>,
    value: HeaderValue,
}

/// What a request leads to.
enum Found<'a> {
    Handler(&'a dyn Handler, Params),
    /// Answered by the router itself.
    Nothing(StatusCode, Option<&'a HeaderValue>),
}

impl Router {
    /// A router without any route: everything is a 404.
    pub fn new() -> Self {
        Self {
            places: matchit::Router::new(),
            routes: Vec::new(),
            implied: Vec::new(),
            fallback: None,
            allow: Allow::new(),
            wrong: None,
        }
    }

    /// `handler` answers GET, and HEAD, at `path`.
    pub fn get(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// `handler` answers POST at `path`.
    pub fn post(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// `handler` answers PUT at `path`.
    pub fn put(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// `handler` answers PATCH at `path`.
    pub fn patch(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// `handler` answers DELETE at `path`.
    pub fn delete(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// `handler` answers this method at `path`; any method may be named.
    pub fn route(mut self, method: Method, path: &str, handler: impl Handler) -> Self {
        let Some(route) = self.place(path) else { return self };
        if route.methods.iter().any(|(other, _)| *other == method) {
            self.wrong.get_or_insert((path.to_owned(), format!("{method} has two handlers")));
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

    /// `handler` answers whatever method has no other handler at `path`.
    pub fn any(mut self, path: &str, handler: impl Handler) -> Self {
        let Some(route) = self.place(path) else { return self };
        if route.any.replace(Box::new(handler)).is_some() {
            self.wrong.get_or_insert((path.to_owned(), "it has two handlers for any".to_owned()));
        }
        self
    }

    /// `handler` answers paths that no route has, in place of a 404.
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Box::new(handler));
        self
    }

    /// The route with this path, made if need be; `None` if there can be none.
    fn place(&mut self, path: &str) -> Option<&mut Route> {
        if let Some(known) = self.routes.iter().position(|route| route.path == path) {
            return Some(&mut self.routes[known]);
        }
        if let Err(error) = self.insert(path) {
            self.wrong.get_or_insert((path.to_owned(), error));
            return None;
        }
        let (path, allow) = (path.to_owned(), Allow::new());
        self.routes.push(Route { path, methods: Vec::new(), any: None, allow });
        self.routes.last_mut()
    }

    /// Makes a path lead to the next route. A catch-all stands for an empty rest too, which matchit
    /// does not match: the path without it becomes a place of its own, unless a route has it.
    fn insert(&mut self, path: &str) -> Result<(), String> {
        if !path.starts_with('/') {
            return Err("a path begins with a slash".to_owned());
        }
        let route = self.routes.len();
        let mut outcome = self.places.insert(path, Place { route, implied: false });
        if let Err(InsertError::Conflict { with }) = &outcome
            && let Some(at) = self.implied.iter().position(|implied| implied == with)
        {
            self.places.remove(self.implied.swap_remove(at));
            outcome = self.places.insert(path, Place { route, implied: false });
        }
        outcome.map_err(|error| error.to_string())?;
        if let Some((prefix, _)) = split_catch_all(path)
            && self.places.insert(prefix, Place { route, implied: true }).is_ok()
        {
            self.implied.push(prefix.to_owned());
        }
        Ok(())
    }

    fn find(&self, request: &Request) -> Found<'_> {
        let (method, path) = (request.method(), request.uri().path());
        let foreign = !KNOWN.contains(method) && !self.allow.methods.contains(method);
        let Ok(matched) = self.places.at(path) else {
            return match &self.fallback {
                _ if path == "*" => Found::Nothing(StatusCode::NO_CONTENT, Some(&self.allow.value)),
                Some(fallback) => Found::Handler(fallback.as_ref(), Params::default()),
                None if foreign => Found::Nothing(StatusCode::NOT_IMPLEMENTED, None),
                None => Found::Nothing(StatusCode::NOT_FOUND, None),
            };
        };
        let place = *matched.value;
        let route = &self.routes[place.route];
        let Some(handler) = route.handler(method) else {
            return match *method {
                Method::OPTIONS => Found::Nothing(StatusCode::NO_CONTENT, Some(&route.allow.value)),
                _ if foreign => Found::Nothing(StatusCode::NOT_IMPLEMENTED, None),
                _ => Found::Nothing(StatusCode::METHOD_NOT_ALLOWED, Some(&route.allow.value)),
            };
        };
        let rest = split_catch_all(&route.path).filter(|_| place.implied);
        let params = matched.params.iter().chain(rest.map(|(_, name)| (name, "")));
        match Params::decode(params) {
            Some(params) => Found::Handler(handler, params),
            None => Found::Nothing(StatusCode::BAD_REQUEST, None),
        }
    }
}

impl Route {
    fn handler(&self, method: &Method) -> Option<&dyn Handler> {
        let of = |method: &Method| {
            self.methods.iter().find(|(other, _)| other == method).map(|(_, handler)| handler)
        };
        let head = || if *method == Method::HEAD { of(&Method::GET) } else { None };
        of(method).or_else(head).or(self.any.as_ref()).map(AsRef::as_ref)
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
        // A method is a token, which any field may have.
        self.value = HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static(""));
    }
}

/// The path before a catch-all, with the slash at its end, and the name of the rest; `None` for a
/// path that has none.
fn split_catch_all(path: &str) -> Option<(&str, &str)> {
    let (prefix, name) = path.strip_suffix('}')?.rsplit_once("{*")?;
    prefix.ends_with('/').then_some((prefix, name))
}

/// The router's own answer.
fn own(status: StatusCode, allow: Option<&HeaderValue>) -> Response {
    let answer = match status {
        StatusCode::NO_CONTENT => Response::empty(status),
        _ => Response::error(status),
    };
    match allow {
        Some(allow) => answer.with_header(ALLOW, allow.clone()),
        None => answer,
    }
}

impl Handler for Router {
    fn handle(&self, request: &mut Request) -> Response {
        match self.find(request) {
            Found::Handler(handler, params) => {
                request.add_params(params);
                handler.handle(request)
            }
            Found::Nothing(status, allow) => own(status, allow),
        }
    }

    /// What leads nowhere needs no body.
    fn expect_continue(&self, request: &Request) -> Option<Response> {
        match self.find(request) {
            Found::Handler(handler, _) => handler.expect_continue(request),
            Found::Nothing(status, allow) => Some(own(status, allow)),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if let Some((path, reason)) = &self.wrong {
            let message = format!("the route {path} cannot be: {reason}");
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("a path is like /users/{id}, /files/{*rest}, or written out"));
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

#[cfg(test)]
mod tests;
